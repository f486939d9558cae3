#!/usr/bin/perl
# Goal: three mistakes around accepting TLS clients are not made: the time since the certificates were loaded begins
# at 0 and not at the clock's own beginning; a TLS client that is one too many is not answered in plain text; and a
# handshake that fails leaves no complaint of accept on standard error.
# Method: the first look at a fresh server; the limit of connections, met on a TLS and on a plain port; clients whose
# ClientHello waits in the backlog and is bad.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(time);

BEGIN { TestServer::need_feature('tls') }
use TestCerts;
use TestWire;

$SIG{PIPE} = 'IGNORE';    # clients that are turned away
my $certs = TestCerts::ensure();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key", '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');

# D14
{
    my $begin = time;
    my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls);
    my $since = $server->client(port => ($server->ports)[1], tls => 0)->stats->{time_since_server_cert_refresh};
    cmp_ok($since, '<=', time - $begin + 1, 'D14: certificates of a fresh server were loaded just now');
}

# D15
{
    my $server = TestServer->start({ tls => 1 }, '-t', '2', '-c', '40', @tls);
    my ($secured, $plain) = $server->ports;
    my $admin = $server->{admin} = $server->client(port => $plain, tls => 0);
    my @kept;
    while (@kept < 40) {
        my $client = $server->client(port => $plain, tls => 0);
        last if $client->ask('mn') ne 'MN';
        push @kept, $client;
    }
    cmp_ok(scalar @kept, '<', 40, 'the server is full');
    my $before = $server->stat('rejected_connections');
    my $client = $server->client(port => $plain, tls => 0);
    is($client->rest, "ERROR Too many open connections\r\n", 'D15: on a plain port the client that is one too many is told');
    is($server->stat('rejected_connections'), $before + 1, 'and counted');
    $client = $server->client(port => $secured, tls => 0);
    is($client->rest, '', 'on a TLS port it is not: it could not read it');
    is($server->stat('rejected_connections'), $before + 2, 'and counted as well');
    ok(!$server->try_client(port => $secured, tls => 1), 'a TLS client sees no handshake');
    is($server->stat('ssl_handshake_errors'), 0, 'nor is there one to fail');
    (pop @kept)->close;
    ok(TestServer::wait_until(sub { my $c = $server->try_client(port => $secured, tls => 1); $c && ($c->ask('mn') // '') eq 'MN' }), 'when one leaves, a TLS client is served');
}

# D16: what a client sends lies there before accept looks, since the process is stopped.
{
    my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls);
    $server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);
    my $errors = sub { my $s = $server->stats; return $s->{ssl_handshake_errors} + ($s->{ssl_proto_errors} // 0) };
    for my $round (1 .. 3) {
        $server->signal('STOP');
        my @bad = map { my $c = $server->client(tls => 0); $c->send($_); $c } ("GET / HTTP/1.1\r\n\r\n") x 4, ("rubbish\r\n") x 4, ("\x16\x03\x01\x00\x05hello") x 4;
        $server->signal('CONT');
        $_->rest for @bad;
    }
    ok(TestServer::wait_until(sub { $errors->() >= 36 }), 'D16: handshakes that fail at once');
    is($server->stderr_text, '', 'are nothing to tell');
    my $wire = TestWire->connect(($server->ports)[0]);
    ok($wire, 'others succeed');
}

done_testing;
