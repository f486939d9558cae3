#!/usr/bin/perl
# Goal: a get of a very long line is answered as any other, and other clients are served in its middle.
# Method: a line of millions of keys on a server with one worker; the longest wait of a second client beside it, held
# against what the whole line takes.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use POSIX ();
use Time::HiRes qw(time);

my $server = TestServer->start('-t', '1');
my $other = $server->client;
$other->set('k', 'value');
# Under valgrind a tenth of them takes as long.
my $keys = $ENV{VALGRIND_TEST} ? 400_000 : 4_000_000;

my $c = $server->client;
my $pid = fork // die "fork: $!";
if ($pid == 0) {
    $c->send('get ' . 'a ' x $keys . "k\r\n", 60);
    my $answer = $c->through("END\r\n", 60);
    POSIX::_exit($answer eq "VALUE k 0 5\r\nvalue\r\nEND\r\n" ? 0 : 1);
}
ok(TestServer::wait_until(sub { $other->stats->{get_misses} > 0 }, 60), 'the line is being executed');
my ($begun, $slowest, $asked, $misses) = (time, 0, 0, 0);
while ($misses < $keys && time - $begun < 60) {
    my $start = time;
    $misses = $other->stats->{get_misses};
    my $took = time - $start;
    $slowest = $took if $took > $slowest;
    ++$asked;
}
my $all = time - $begun;
is($misses, $keys, 'all keys are looked up');
cmp_ok($asked, '>', 10, 'the other client was answered many times meanwhile');
cmp_ok($slowest, '<', $all / 4, 'and never waited for a large part of it');
waitpid $pid, 0;
is($?, 0, 'the line has its answer');
is($server->stat('cmd_get'), $keys + 1, 'every key counts once');

# a key that is too long takes back what millions of keys before it have found
my $hits = 100_000;
$c = $server->client;
$c->send("get k\r\nget " . 'k ' x $hits . 'x' x 251 . "\r\nget k\r\n", 30);
my $one = "VALUE k 0 5\r\nvalue\r\nEND\r\n";
my $want = "${one}CLIENT_ERROR bad command line format\r\n$one";
is($c->bytes(length $want, 30), $want, 'a key that is too long');
$c->send('gets ' . 'k ' x $hits . "\r\n", 30);
my $answer = $c->through("END\r\n", 30);
is(() = $answer =~ /VALUE k 0 5 \d+\r\nvalue\r\n/g, $hits, 'each of many keys is answered');

done_testing;
