#!/usr/bin/perl
# Goal: a TLS connection ends in order: close_notify is sent and understood, commands before it are
# answered, and no way of ending hurts anyone else.
# Method: clients that end in each way, with their bytes on the wire in hand (TestWire).

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestWire;

my $server = TestServer->start({ tls => 1 }, '-t', '1');
my $watcher = $server->client;
my $errors = sub { my $stats = $server->stats; return ($stats->{ssl_handshake_errors} // 0) . ' ' . ($stats->{ssl_proto_errors} // 0) };

for my $version ('1.2', '1.3') {
    # the server closes
    my $before = $errors->();
    my $wire = TestWire->connect($server->port, version => $version);
    $wire->say("set k 0 0 1\r\nv\r\nget k\r\nquit\r\nget k\r\n");
    is($wire->rest, "STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n", "TLS $version: replies before quit");
    ok($wire->notified, 'then close_notify');
    ok($wire->ended, 'then the end');

    # the client says close_notify behind commands
    $wire = TestWire->connect($server->port, version => $version);
    my $records = $wire->seal(("get k\r\n") x 100);
    Net::SSLeay::shutdown($wire->{ssl});
    $wire->put($records . $wire->sealed);
    is(length $wire->rest, 100 * length "VALUE k 0 1\r\nv\r\nEND\r\n", 'a hundred commands before close_notify are answered');
    ok($wire->notified, 'with close_notify for close_notify');

    # the client's end without it
    $wire = TestWire->connect($server->port, version => $version);
    $wire->say("get k\r\n");
    is($wire->take(21), "VALUE k 0 1\r\nv\r\nEND\r\n", 'a client');
    shutdown $wire->socket, 1;
    is($wire->rest, '', 'that sends the end without close_notify is let go');
    ok($wire->ended, 'at once');
    is($errors->(), $before, 'none of these is an error') unless TestServer::is_old();

    # half a command, half a value
    for my $half ('get ', "set k 0 0 10\r\n12345") {
        my $leaver = TestWire->connect($server->port, version => $version);
        $leaver->say($half);
        shutdown $leaver->socket, 1;
        is($leaver->rest, '', 'amid a command: no reply');
    }
    # what is owed at that moment goes out before the end, whichever way the client has said it
    for my $end (sub { $_[0]->notify }, sub { shutdown $_[0]->socket, 1 }) {
        last if TestServer::is_old();
        for (["set k 0 0 100\r\nhalf", ''], ["set other 0 0 2000000\r\nhalf", "SERVER_ERROR object too large for cache\r\n"], ["get", '']) {
            my ($half, $reply) = @$_;
            my $leaver = TestWire->connect($server->port, version => $version);
            $leaver->say("get k\r\n$half");
            $end->($leaver);
            is($leaver->rest, "VALUE k 0 1\r\nv\r\nEND\r\n$reply", 'a reply is owed amid a command, and sent');
            ok($leaver->notified, 'with close_notify');
        }
    }
    is($watcher->get('k'), 'v', 'the older value stays');
    # ends amid a record
    my $cut = TestWire->connect($server->port, version => $version);
    my $record = $cut->seal("get k\r\n");
    $cut->put(substr $record, 0, length($record) - 3);
    shutdown $cut->socket, 1;
    is($cut->rest, '', 'amid a record: no reply');
}

# resets
for my $version ('1.2', '1.3') {
    for my $bytes ('', "get k\r\n", "set k 0 0 100000\r\n" . 'x' x 30_000) {
        my $wire = TestWire->connect($server->port, version => $version);
        $wire->say($bytes) if $bytes ne '';
        setsockopt $wire->socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0;
        $wire->close;
    }
}
ok($server->wait_stat('curr_connections', 2), 'no connection is left');
is($watcher->get('k'), 'v', 'others go on');

# what is wrong ends with an alert, for the one who did it
for my $version ('1.2', '1.3') {
    my $before = $server->stat('ssl_proto_errors');
    my $wire = TestWire->connect($server->port, version => $version);
    my $record = $wire->seal("get k\r\n");
    substr($record, -3, 1) ^= "\x01";
    $wire->put($record);
    is($wire->rest, '', "TLS $version: a damaged record has no reply");
    like($wire->alert, qr/bad record mac|decrypt/i, 'but an alert');
    $wire = TestWire->connect($server->port, version => $version);
    $wire->put("get k\r\nget k\r\nget k\r\n");
    is($wire->rest, '', 'nor has plaintext inside the stream');
    next if TestServer::is_old();
    is($server->stat('ssl_proto_errors') - $before, 2, 'each counts once');
}
is($watcher->ask('mn'), 'MN', 'others go on');

# idle kicks
my $kicking = TestServer->start({ tls => 1 }, '-t', '1', '-o', 'idle_timeout=1');
my $idle = TestWire->connect($kicking->port);
my $half = TestWire->connect($kicking->port, handshake => 0);
$half->put(substr $half->hello, 0, 20);
my $busy = $kicking->client;
ok(TestServer::wait_until(sub { $busy->ask('mn'); $busy->stats->{idle_kicks} >= 2 }), 'idle clients are closed, half a handshake, too');
is($idle->rest, '', 'an idle client');
ok($idle->notified, 'gets close_notify');
is($half->rest, '', 'half a handshake just ends');

done_testing;
