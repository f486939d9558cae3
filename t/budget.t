#!/usr/bin/perl
# Goal: after -R requests a connection gives way to others, and nothing is lost when it does.
# Method: conn_yields after bursts of known length; a busy connection beside a polite one.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(time);

my $server = TestServer->start('-t', '1');
my $c = $server->client;
is($server->settings->{reqs_per_event}, 20, 'the budget is twenty');

sub yields_of {
    my ($server, $c, $n, $command, $reply) = @_;
    $command //= "mn\r\n";
    my $before = $server->stat('conn_yields');
    $c->send($command x $n);
    $c->bytes(length($reply // $command) * $n);
    return $server->stat('conn_yields') - $before;
}
# `mn` sends its reply at once, so the budget of a turn ends with the next command; the replies of `get` wait, and
# their sending ends it with the twentieth.
for my $row ([ 1, 0, 0 ], [ 19, 0, 0 ], [ 20, 0, 1 ], [ 21, 1, 1 ], [ 39, 1, 1 ], [ 40, 1, 2 ], [ 41, 2, 2 ], [ 99, 4, 4 ],
    [ 100, 4, 5 ], [ 101, 5, 5 ], [ 1000, 49, 50 ]) {
    my ($n, $no_ops, $gets) = @$row;
    is(yields_of($server, $c, $n), $no_ops, "$n times mn in one segment");
    is(yields_of($server, $c, $n, "get absent\r\n", "END\r\n"), $gets, "$n times get");
}

for my $budget (1, 2, 5, 1000) {
    my $other = TestServer->start('-t', '1', '-R', $budget);
    my $o = $other->client;
    is($other->settings->{reqs_per_event}, $budget, "-R $budget shows in the settings");
    my $yields = yields_of($other, $o, 100);
    if ($budget == 1000) { is($yields, 0, 'a hundred commands within a budget of a thousand') }
    else { cmp_ok($yields, '>=', 100 / $budget - 2, "a hundred commands with -R $budget") }
    # values of every size behind each other, cut by the budget anywhere
    my ($send, $want) = ('', '');
    for my $i (1 .. 60) {
        my $length = ($i * 977) % 5000;
        $send .= "set k 0 0 $length\r\n" . 'v' x $length . "\r\nget k\r\n";
        $want .= "STORED\r\nVALUE k 0 $length\r\n" . 'v' x $length . "\r\nEND\r\n";
    }
    ok($o->talk(\$send) eq $want, "-R $budget: uploads and fetches");
    # the last command of a burst is answered though no event follows
    for my $n (1 .. 24) {
        my $burst = join '', map { 'set k 0 0 20000' . "\r\n" . 'x' x 20_000 . "\r\n" } 1 .. $n;
        $o->send($burst . "get none\r\n");
        my $reply = $o->bytes(8 * $n + 5, 5);
        is($reply, "STORED\r\n" x $n . "END\r\n", "-R $budget: $n uploads and one more command") or last;
    }
}

# one that never stops does not shut out another on the same worker
my $busy = $server->client;
my $pid = fork // die "fork: $!";
if ($pid == 0) {
    my $bytes = "get none\r\n" x 2000;
    my $socket = $busy->socket;
    while (1) { $busy->send($bytes, 1); $busy->{input} = '' }
}
my $slowest = 0;
for (1 .. 200) {
    my $start = time;
    $c->ask('mn');
    my $took = time - $start;
    $slowest = $took if $took > $slowest;
}
kill 'KILL', $pid;
waitpid $pid, 0;
cmp_ok($slowest, '<', TestServer::patience(2), 'a polite connection is served beside a busy one');

done_testing;
