#!/usr/bin/perl
# Goal: a connection that is handed over to another thread is told everything by it, delays nobody meanwhile, and goes on
# where it was when it is back; or it ends without a trace.
# Method: the debug server's debughandover: clients that read, that do not, that leave, that have more to say, and a
# server that stops while they are away.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestClient;
use TestServer;

TestServer::need_debug();
my $server = TestServer->start('-t', '1');
my $c = $server->client;

# the lines that are told
sub told { my ($count) = @_; return join '', "OK\r\n", (map { "LINE $_\r\n" } 0 .. $count - 1), "END\r\n" }
# More than the sockets between the two hold.
my $MANY = 1_000_000;
my $MANY_BYTES = length told($MANY);
sub away { my ($on) = @_; return grep { $_ eq 'conn_watch' } values %{ $on->stats('conns') } }
# Reads what $MANY lines are, without keeping them, and nothing behind them.
sub read_many {
    my ($client) = @_;
    my ($left, $tail) = ($MANY_BYTES, '');
    while ($left > 0) {
        my $bytes = $client->bytes($left < 65_536 ? $left : 65_536) // return 'the stream ended';
        $left -= length $bytes;
        $tail = substr($tail . $bytes, -30);
    }
    return $tail =~ /LINE ${\ ($MANY - 1)}\r\nEND\r\n\z/ ? 'all' : $tail;
}

# what is no order
$c->answers("debughandover$_", ['ERROR'], "debughandover$_") for '', ' x', ' -1', ' 4294967296', ' 1x';

# there and back
for my $count (0, 1, 3, 1000, 20_000) {
    $c->send("debughandover $count\r\n");
    my $expected = told($count);
    is_deeply([ $c->bytes(length $expected) ], [$expected], "$count lines are told");
    $c->answers('mn', ['MN'], 'and the next command is answered');
}
for my $round (1 .. 50) {
    $c->send("debughandover 2\r\n");
    $c->bytes(length told(2)) eq told(2) or fail("round $round");
}
$c->answers('version', ['VERSION ' . TestServer::version_text() =~ s/^\S+ //r =~ s/\s*\z//r], 'again and again');
is(scalar(away($server)), 0, 'nobody is away');

# replies come in order, whatever stands before and behind, however it arrives
my $pipeline = "set a 0 0 3\r\nabc\r\nget a\r\ndebughandover 3\r\nget a\r\ndebughandover 1\r\ndebughandover 0\r\nset b 0 0 2\r\nxy\r\nget b\r\nmn\r\n";
my $answer = "STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\n" . told(3) . "VALUE a 0 3\r\nabc\r\nEND\r\n" . told(1) . told(0)
    . "STORED\r\nVALUE b 0 2\r\nxy\r\nEND\r\nMN\r\n";
$c->send($pipeline);
TestClient::same_bytes($c->bytes(length $answer), $answer, 'in one packet');
$c->send_slowly($pipeline);
TestClient::same_bytes($c->bytes(length $answer), $answer, 'byte by byte');
for my $cut (5, 30, 45, 50, 60, 75, 95, 110) {
    $c->send(substr $pipeline, 0, $cut);
    $c->fill(0.01);
    $c->send(substr $pipeline, $cut);
    TestClient::same_bytes($c->bytes(length $answer), $answer, "cut at $cut");
}
# large replies are sent before the connection leaves
$c->set('large', 'x' x 700_000);
$c->send("get large\r\nget large\r\ndebughandover 1\r\nmn\r\n");
my $value = "VALUE large 0 700000\r\n" . 'x' x 700_000 . "\r\nEND\r\n";
is(length($c->bytes(2 * length $value) // ''), 2 * length $value, 'large replies come first');
TestClient::same_bytes($c->bytes(length(told(1) . "MN\r\n")), told(1) . "MN\r\n", 'then what was ordered');

# a client that does not read
my @idlers = map { $server->client } 1 .. 5;
my $before = $server->resident;
$_->send("debughandover $MANY\r\nmn\r\n") for @idlers;
ok(TestServer::wait_until(sub { away($server) == 5 }), 'stats conns shows conn_watch');
$c->answers('get a', ['VALUE a 0 3', 'abc', 'END'], 'another client of the worker is answered');
$c->send("debughandover 2000\r\n");
TestClient::same_bytes($c->bytes(length told(2000)), told(2000), 'and told things by the same thread');
is($server->stat('curr_connections'), 7, 'they count as connections');
cmp_ok($server->resident - $before, '<', 4096, 'memory is bounded') unless $ENV{VALGRIND_TEST};
ok(TestServer::wait_until(sub { away($server) == 5 }), 'they are still there');
is(read_many($idlers[0]), 'all', 'one reads after all');
is($idlers[0]->line, 'MN', 'and is back');
# three ways to leave in the middle
$idlers[1]->close;
$idlers[2]->abort;
ok($server->wait_stat('curr_connections', sub { $_[0] == 5 }), 'clients that have left are noticed');
is(read_many($idlers[3]), 'all', 'others go on');
is($idlers[3]->line, 'MN', 'and come back');
$idlers[4]->abort;
ok(TestServer::wait_until(sub { away($server) == 0 }), 'nobody is away in the end');
$c->answers('mn', ['MN'], 'and the server is well');
my $half = $server->client;
SKIP: {
    skip 'TLS has no half of a connection', 1 if $ENV{SSL_TEST};
    $half->send("debughandover 20000\r\nget a\r\n");
    $half->half_close;
    TestClient::same_bytes($half->rest, told(20_000) . "VALUE a 0 3\r\nabc\r\nEND\r\n", 'a client that says no more gets all it is owed');
}
$half->close;

# many at once
my @crowd = map { $server->client } 1 .. 40;
$_->send("debughandover 3000\r\nmn\r\n") for @crowd;
my $lines = told(3000) . "MN\r\n";
is(scalar(grep { ($_->bytes(length $lines) // '') eq $lines } @crowd), 40, 'forty at a time');
for my $round (1 .. 5) {
    $_->send("debughandover 50000\r\n") for @crowd[0 .. 9];
    $_->abort for @crowd[0 .. 9];
    splice @crowd, 0, 10, map { $server->client } 1 .. 10;
}
is(scalar(grep { ($_->ask('mn') // '') eq 'MN' } @crowd), 40, 'descriptors are used again');
$_->close for @crowd;

# the idle timeout lets those alone who are away, and those who have just come back
my $strict = TestServer->start('-t', '1', '-o', 'idle_timeout=10');
my $listener = $strict->client;
$listener->send("debughandover $MANY\r\n");
ok(TestServer::wait_until(sub { away($strict) == 1 }), 'one is away');
my $silent = $strict->client;
$silent->ask('mn');
my $asker = $strict->admin;
ok(TestServer::wait_until(sub { $strict->advance_clock(3); $strict->stat('idle_kicks') >= 1 }), 'a silent client is closed');
is(scalar(away($strict)), 1, 'not the one that is away');
is(read_many($listener), 'all', 'it is told all');
is($listener->ask('mn'), 'MN', 'and is welcome');

# the limit of connections
my $full = TestServer->start('-t', '1', '-c', '40', '-o', 'maxconns_fast');
my $guest = $full->client;
$guest->send("debughandover $MANY\r\n");
ok(TestServer::wait_until(sub { away($full) == 1 }), 'one is away');
my @served;
while (my $next = $full->try_client) {
    last if ($next->ask('mn') // '') ne 'MN';
    push @served, $next;
}
cmp_ok($full->stat('rejected_connections'), '>=', 1, 'a client too many is turned away');
my $open = $full->stat('curr_connections');
$guest->abort;
ok($full->wait_stat('curr_connections', sub { $_[0] == $open - 1 }), 'one leaves that was away');
is($full->client->ask('mn'), 'MN', 'and its place is free');

# a server that stops
for my $signal (qw(USR1 TERM)) {
    my $ending = TestServer->start('-t', '2', '-v');
    my @gone = map { $ending->client } 1 .. 4;
    $_->send("debughandover $MANY\r\nmn\r\n") for @gone;
    ok(TestServer::wait_until(sub { away($ending) == 4 }), "four are away when $signal comes");
    $ending->signal($signal);
    is($ending->wait_exit, 0, 'the server ends');
    unlike($_->rest // '-', qr/END|MN|-/, 'a client sees the end, too early') for @gone;
}

done_testing;
