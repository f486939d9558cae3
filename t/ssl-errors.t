#!/usr/bin/perl
# Goal: handshakes that fail and errors on open connections are counted once each, in the right counter,
# and never on somebody else's account.
# Method: differences of ssl_handshake_errors and ssl_proto_errors around one mishap of each kind; aborted
# handshakes on the worker of a connection whose records come in halves.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it counts by timing');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $server = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o',
    "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key,ssl_ca_cert=$certs/ca.crt", '-l', '127.0.0.1:-1,mtls:127.0.0.1:-1');
my ($port, $mutual) = $server->ports;
$server->admin;

sub errors { my $stats = $server->stats; return ($stats->{ssl_handshake_errors}, $stats->{ssl_proto_errors}) }

# Does it, and expects the counters to move by so much and then to stand still.
sub counts {
    my ($name, $handshake, $proto, $action) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @before = errors();
    my $connections = $server->stat('curr_connections');
    $action->();
    my @moved;
    my $met = TestServer::wait_until(sub {
        my @now = errors();
        @moved = map { $now[$_] - $before[$_] } 0, 1;
        $moved[0] >= $handshake && $moved[1] >= $proto;
    }, 5);
    # Whatever would be counted too much, comes with the connection's end.
    $server->wait_stat('curr_connections', sub { $_[0] <= $connections });
    my @now = errors();
    return is_deeply([ map { $now[$_] - $before[$_] } 0, 1 ], [ $handshake, $proto ], $name);
}

counts('plaintext', 1, 0, sub { my $c = $server->client(tls => 0); $c->send("get k\r\n"); $c->rest });
counts('an HTTP request', 1, 0, sub { my $c = $server->client(tls => 0); $c->send("GET / HTTP/1.1\r\n\r\n"); $c->rest });
counts('a connection without a byte', 1, 0, sub { $server->client(tls => 0)->close });
counts('half a ClientHello', 1, 0, sub {
    my $wire = TestWire->connect($port, handshake => 0);
    $wire->put(substr $wire->hello, 0, 50);
    $server->admin->ask('mn');
    $wire->close;
});
counts('a handshake left in the middle', 1, 0, sub {
    my $wire = TestWire->connect($port, handshake => 0);
    $wire->put($wire->hello);
    $wire->receive(5);
    $wire->close;
});
counts('a reset in the handshake', 1, 0, sub {
    my $wire = TestWire->connect($port, handshake => 0);
    $wire->put($wire->hello);
    $server->admin->ask('mn');
    setsockopt $wire->socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0;
    $wire->close;
});
counts('too old a version', 1, 0, sub { $server->try_client(tls => { SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0' }) });
counts('a client that does not know the authority', 1, 0, sub { $server->try_client(tls => { SSL_ca_file => "$certs/foreign-ca.crt" }) });
for my $version ('TLSv1_2', 'TLSv1_3') {
    counts("$version: a client certificate that is missing", 1, 0, sub {
        my $c = $server->try_client(port => $mutual, tls => { SSL_version => $version });
        $c->rest if $c;
    });
    counts("$version: one of a foreign authority", 1, 0, sub {
        my $c = $server->try_client(port => $mutual,
            tls => { SSL_version => $version, SSL_cert_file => "$certs/client-foreign.crt", SSL_key_file => "$certs/client-foreign.key" });
        $c->rest if $c;
    });
    counts("$version: one that ran out", 1, 0, sub {
        my $c = $server->try_client(port => $mutual,
            tls => { SSL_version => $version, SSL_cert_file => "$certs/client-expired.crt", SSL_key_file => "$certs/client-expired.key" });
        $c->rest if $c;
    });
    counts("$version: a good client", 0, 0, sub {
        my $c = $server->client(port => $mutual, tls => { SSL_version => $version, SSL_cert_file => "$certs/client.crt", SSL_key_file => "$certs/client.key" });
        is($c->ask('mn'), 'MN', 'is served');
        $c->close;
    });
}
for my $version ('1.2', '1.3') {
    counts("TLS $version: a damaged record", 0, 1, sub {
        my $wire = TestWire->connect($port, version => $version);
        my $record = $wire->seal("get k\r\n");
        substr($record, -1, 1) ^= "\x80";
        $wire->put($record);
        $wire->rest;
    });
    counts("TLS $version: plaintext inside the stream", 0, 1, sub {
        my $wire = TestWire->connect($port, version => $version);
        $wire->put("get k\r\nget k\r\n");
        $wire->rest;
    });
    counts("TLS $version: the end without close_notify", 0, 0, sub { my $wire = TestWire->connect($port, version => $version); $wire->say("mn\r\n"); $wire->take(4); $wire->close });
    counts("TLS $version: a reset", 0, 0, sub {
        my $wire = TestWire->connect($port, version => $version);
        $wire->say("mn\r\n");
        $wire->take(4);
        setsockopt $wire->socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0;
        $wire->close;
    });
}

# Errors of one connection are not found by the next: records in halves, with aborted handshakes between
# the halves, on the only worker.
my $steady = TestWire->connect($port);
$steady->say("set k 0 0 5\r\nvalue\r\n");
is($steady->take(8), "STORED\r\n", 'a connection');
my @before = errors();
my $aborted = 0;
for my $round (1 .. 20) {
    my $record = $steady->seal("get k\r\n");
    my $half = 1 + $round % (length($record) - 1);
    $steady->put(substr $record, 0, $half);
    if ($round % 3 == 0) { my $c = $server->client(tls => 0); $c->send("rubbish\r\n"); $c->rest }
    elsif ($round % 3 == 1) { $server->try_client(tls => { SSL_ca_file => "$certs/foreign-ca.crt" }) }
    else { my $c = $server->try_client(port => $mutual); $c->rest if $c }
    $aborted++;
    $steady->put(substr $record, $half);
    is($steady->take(25), "VALUE k 0 5\r\nvalue\r\nEND\r\n", "round $round: a record in halves around an aborted handshake");
}
ok(TestServer::wait_until(sub { (errors())[0] - $before[0] >= $aborted }), 'the handshakes are counted');
my @after = errors();
is_deeply([ map { $after[$_] - $before[$_] } 0, 1 ], [ $aborted, 0 ], 'once each, and nothing else');

# stats reset
$server->client->ask('stats reset');
is_deeply([ errors() ], [ 0, 0 ], 'stats reset clears both');
is($server->stderr_text, '', 'nothing of this is printed');

done_testing;
