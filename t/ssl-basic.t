#!/usr/bin/perl
# Goal: a TLS port speaks TLS and nothing else, in both versions, for every kind of command.
# Method: clients of TLS 1.2 and 1.3, plain clients on a TLS port, TLS clients on a plain one, sockets
# that are never encrypted.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestWire;

my $server = TestServer->start({ tls => 1 }, '-t', '2');

for my $version ('1.2', '1.3') {
    my $name = "TLSv1_" . substr $version, 2;
    my $c = $server->client(tls => { SSL_version => $name });
    is($c->socket->get_sslversion, $name, "TLS $version");
    $c->answers([ 'set k 0 0 5', 'value', 'get k', 'mg k v s', 'delete k', 'get k' ],
        [ 'STORED', 'VALUE k 0 5', 'value', 'END', 'VA 5 s5', 'value', 'DELETED', 'END' ], 'commands are served');
    for my $length (1000, 16_383, 16_384, 16_385, 100_000, 1_000_000) {
        my $value = substr join(',', 1 .. 200_000), 0, $length;
        $c->set('v', $value);
        ok($c->get('v') eq $value, "TLS $version: a value of $length bytes both ways");
    }
    ok($c->socket->get_cipher, 'with a cipher: ' . ($c->socket->get_cipher // ''));
}

# many connections share what is stored
my @clients = map { $server->client } 1 .. 30;
$clients[$_]->set("c$_", "value $_") for 0 .. 29;
is(join(',', map { $clients[ 29 - $_ ]->get("c$_") } 0 .. 29), join(',', map { "value $_" } 0 .. 29), 'thirty connections');
$_->close for @clients;

# plaintext to a TLS port
for my $bytes ("get k\r\n", "GET / HTTP/1.1\r\n\r\n", "stats\r\n", "\x80" . "\0" x 23, "\xff" x 100) {
    my $plain = $server->client(tls => 0);
    $plain->send($bytes);
    my $rest = $plain->rest;
    ok(defined $rest && $rest !~ /END|ERROR|VALUE|HTTP/, 'plaintext gets no plaintext reply: ' . TestClient::visible($bytes));
}
is($server->client->ask('mn'), 'MN', 'the server goes on');

# TLS to a plain port
my $open = TestServer->start({ tls => 0 }, '-t', '1');
ok(!$open->try_client(tls => { SSL_version => 'TLSv1_3', Timeout => 2 }), 'a plain port has no handshake');
is($open->client->ask('mn'), 'MN', 'and goes on');

# the settings
my $settings = $server->settings;
is($settings->{ssl_enabled}, 'yes', 'ssl_enabled');
is($open->settings->{ssl_enabled}, 'no', 'ssl_enabled without -Z');
my $stats = $server->stats;
ok(exists $stats->{$_}, "stats have $_") for grep { !TestServer::is_old() || $_ ne 'ssl_proto_errors' } qw(ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh);
cmp_ok($stats->{time_since_server_cert_refresh}, '<', 30, 'the refresh time counts from the start') unless TestServer::is_old();
my $plain_stats = $open->stats;
ok(!exists $plain_stats->{$_}, "without -Z there is no $_") for qw(ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh);

# bytes are counted as the commands see them
my $c = $server->client;
$c->ask('mn');
my $before = $server->stat('bytes_read');
$c->ask('mn');
is($server->stat('bytes_read') - $before, length("mn\r\n") + length("stats\r\n"), 'bytes_read is about the text, not the records');

# Unix sockets are never encrypted, but the certificates are read
SKIP: {
    skip 'no Unix sockets', 3 unless TestServer::has_feature('unix');
    require TestCerts;
    my $certs = TestCerts::ensure();
    my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
    my $local = TestServer->start({ unix => 1 }, '-t', '1', @tls);
    is($local->client->ask('mn'), 'MN', 'a Unix socket of a TLS server is plain');
    is($local->settings->{ssl_enabled}, 'yes', 'though TLS is on');
    my $run = TestServer->run('-s', TestServer::scratch() . '/never', '-Z', '-o', "ssl_chain_cert=$certs/nothing,ssl_key=$certs/server.key");
    is($run->{status}, 64, 'and a certificate that is not there ends the start');
}

done_testing;
