#!/usr/bin/perl
# Goal: a saved session shortens a handshake and never opens a door: it is good for the kind of port it was
# made on, and a stranger's is answered by a full handshake.
# Method: sessions of TLS 1.2 and 1.3 offered again: to the same port, to ports that want certificates, to
# another server.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it turns saved sessions away, or takes too many');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key,ssl_ca_cert=$certs/ca.crt");
my @pair = (cert => "$certs/client.crt", key => "$certs/client.key");

for my $cache ([], [ '-o', 'ssl_session_cache' ]) {
    for my $mode (0, 2) {
        my $server = TestServer->start({ tls => 1 }, '-t', '2', @tls, @$cache, '-o', "ssl_verify_mode=$mode",
            '-l', '127.0.0.1:-1,btls:127.0.0.1:-1,mtls:127.0.0.1:-1');
        my ($default, $basic, $mutual) = $server->ports;
        my $stranger = TestServer->start({ tls => 1 }, '-t', '1', @tls);
        for my $version ('1.2', '1.3') {
            my $name = "@$cache mode $mode, TLS $version";
            my @as = (version => $version, $mode ? @pair : ());

            my $session = TestWire->session_of($default, @as);
            ok($session, "$name: a session");
            is(TestWire->offered($default, $session, @as), 'resumed', 'offered to the same port');
            is(TestWire->offered($stranger->port, $session, version => $version), 'full', 'to another server: a full handshake');

            # Without a certificate, where none is wanted; it must not lead in where one is.
            my $anonymous = TestWire->session_of($basic, version => $version);
            ok($anonymous, 'a session without a certificate');
            is(TestWire->offered($mutual, $anonymous, version => $version), 'refused', 'does not open a mutual port');
            is(TestWire->offered($default, $anonymous, version => $version), $mode ? 'refused' : 'full', 'is not taken by another kind of port');

            my $known = TestWire->session_of($mutual, version => $version, @pair);
            ok($known, 'a session with a certificate');
            is(TestWire->offered($mutual, $known, version => $version, @pair), 'resumed', 'is taken again, at every connection') for 1 .. 3;
        }
        is($server->client(port => $basic)->ask('mn'), 'MN', 'the server goes on');
    }
}

done_testing;
