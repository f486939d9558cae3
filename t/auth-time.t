#!/usr/bin/perl
# Goal: a refused login takes as long whether its user is known or not, and however much of its password is right
# (CVE-2026-47783).
# Method: instructions are counted, by callgrind, of servers that refuse the same number of tokens of the same length, each
# server another kind of them. What a clock would have to find in its noise shows at once here.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $TRIES = 200;

TestServer::need_new('its comparison ends early');
my $valgrind = TestServer::program('valgrind');
plan skip_all => 'valgrind is not installed' unless $valgrind;
plan skip_all => 'the server is under valgrind already' if $ENV{VALGRIND_TEST};

my $users = TestServer::write_file(TestServer::scratch() . '/users', "first:password\nsecond:password\n" . join '', map { "user$_:x\n" } 1 .. 6);

# Instructions of a server that refuses this token so many times.
sub cost {
    my ($token, $tries) = @_;
    my $counts = TestServer::scratch() . '/callgrind.' . ($token =~ tr/a-zA-Z0-9/_/cr) . ".$tries";
    my $server = TestServer->start({ tls => 0, binary => $valgrind, user => undef }, '--tool=callgrind', "--callgrind-out-file=$counts", '-q', TestServer::server_path(),
        ($> == 0 ? ('-u', 'root') : ()), '-c', '100', '-t', '1', '-o', 'no_lru_crawler,no_lru_maintainer,no_slab_reassign,no_hashexpand', '-Y', $users);
    my $c = $server->client;
    my $login = sprintf "set x 0 0 %d\r\n%s\r\n", length $token, $token;
    for (1 .. $tries) {
        $c->send($login);
        my $answer = $c->line(60) // 'nothing';
        die "$token: $answer\n" unless $answer eq 'CLIENT_ERROR authentication failure';
    }
    $server->stop;
    return TestServer::slurp($counts) =~ /^(?:summary|totals): (\d+)/m ? $1 : die "no counts in $counts\n";
}

# All of one length: nobody, the first and the last user, with a password of which nothing, all but the end, or too much is
# right.
my @tokens = ('nobody password', 'first zzzzzzzzz', 'first passwordx', 'second passworx', 'user66666 xxxxx');
my $idle = cost($tokens[0], 1);
my %cost = map { $_ => cost($_, $TRIES + 1) - $idle } @tokens;
my ($least, $most) = (sort { $a <=> $b } values %cost)[ 0, -1 ];
cmp_ok($least, '>', 0, 'a login costs something');
cmp_ok($most, '<', $least * 1.03, 'and no more or less for what is right about it')
    or diag(join "\n", map { "$_: $cost{$_}" } sort keys %cost);

done_testing;
