#!/usr/bin/perl
# Goal: the helpers beside the server do what test harnesses want of them.
# Method: timedrun with commands that end, fail, hang and get signals, and the table of sizes.

use strict;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $build = TestServer::build_dir();
my $dir = TestServer::scratch();
plan skip_all => "there is no timedrun in $build" unless -x "$build/timedrun";

sub timedrun {
    my (@args) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', "$dir/stderr";
        open STDOUT, '>', "$dir/stdout";
        exec "$build/timedrun", @args or POSIX::_exit(99);
    }
    return $pid;
}
# As a shell would say it.
sub status_of { my ($pid) = @_; waitpid $pid, 0; return $? & 127 ? 128 + ($? & 127) : $? >> 8 }
sub status { return status_of(timedrun(@_)) }

is(status(), 255, 'no argument is a usage error');
is(status('5'), 255, 'and so is one');
like(TestServer::slurp("$dir/stderr"), qr/^usage: /i, 'which is told');
for my $seconds ('0', '1800', '-1', 'soon', '') { is(status($seconds, 'true'), 134, "'$seconds' is no deadline") }
is(status('1799', 'true'), 0, 'the status is the command\'s own');
is(status('5', 'sh', '-c', 'exit 33'), 33, 'whatever it is');
is(status('5', 'sh', '-c', 'kill -9 $$'), 137, 'and 128 more than the signal that ended it');
is(status('5', "$dir/nothing"), 70, 'a command that is not there');
like(TestServer::slurp("$dir/stderr"), qr/^exec: \S/, 'is told');
is(status('5', 'echo', 'a b', 'c'), 0, 'arguments');
is(TestServer::slurp("$dir/stdout"), "a b c\n", 'stay what they are');
my $begin = time;
is(status('1', 'sleep', '30'), 142, 'a command that takes too long gets SIGALRM');
like(TestServer::slurp("$dir/stderr"), qr/^Timeout\.\. killing the process$/m, 'which is told');
cmp_ok(time - $begin, '<', 10, 'at its deadline');

# What is sent to it reaches the command.
for my $row ([ INT => 130 ], [ USR1 => 138 ], [ TERM => 143 ], [ PIPE => 141 ], [ HUP => 129 ]) {
    my ($signal, $status) = @$row;
    my $pid = timedrun('20', 'sh', '-c', "echo here > '$dir/here'; exec sleep 20");
    ok(TestServer::wait_until(sub { -s "$dir/here" }), 'a command is running');
    kill $signal, $pid;
    is(status_of($pid), $status, "SIG$signal is passed on");
    unlink "$dir/here";
}

SKIP: {
    skip 'there is no sizes', 2 unless -x "$build/sizes";
    my @lines = split /\n/, `'$build/sizes'`;
    is($?, 0, 'sizes ends well');
    is_deeply([ grep { !/^[^\t]+\t\d+$/ } @lines ], [ '-' x 40 ], 'and prints labels and numbers, with one rule between them');
}

done_testing;
