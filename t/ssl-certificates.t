#!/usr/bin/perl
# Goal: the server shows the certificates it was given, whatever their kind and dates, in versions and
# ciphers as configured.
# Method: chains, key types, expired and future pairs, version limits and cipher lists, seen by clients.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestCerts;

my $certs = TestCerts::ensure();

sub with { my ($pair, @options) = @_; return TestServer->start({ tls => 1 }, '-t', '1', '-Z', map { ('-o', $_) } "ssl_chain_cert=$certs/$pair.crt", "ssl_key=$certs/$pair.key", @options) }

sub subject { my ($client) = @_; return $client->socket->peer_certificate('commonName') }

# key types
for my $row ([ 'server', 'localhost' ], [ 'server2', 'second.localhost' ], [ 'rsa', 'rsa.localhost' ]) {
    my ($pair, $name) = @$row;
    my $server = with($pair);
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        my $client = $server->client(tls => { SSL_version => $version });
        is(subject($client), $name, "$pair: $version client sees $name");
        is($client->ask('mn'), 'MN', 'and is served');
    }
}

# the intermediate authority is sent with it
my $server = with('chain');
my $client = $server->client;
is(subject($client), 'chain.localhost', 'a client that knows the root only accepts a chain');
is($client->ask('mn'), 'MN', 'and is served');

# names are the client's business
ok(with('server')->try_client(tls => { SSL_verifycn_scheme => 'default', SSL_verifycn_name => 'localhost' }), 'a client may check the name');

# dates are not the server's business
for my $pair (qw(expired future)) {
    my $other = with($pair);
    ok(!$other->try_client, "$pair: a client that verifies refuses");
    like($@, qr/verify|certificate/i, 'for that reason');
    my $trusting = $other->client(tls => { SSL_verify_mode => 0 });
    is($trusting->ask('mn'), 'MN', "$pair: one that does not is served");
}
ok(!with('server')->try_client(tls => { SSL_ca_file => "$certs/foreign-ca.crt" }), 'a client that trusts another authority refuses');

# versions
for my $row ([ 2, 1, 1 ], [ 3, 0, 1 ]) {
    my ($least, $two, $three) = @$row;
    my $other = with('server', "ssl_min_version=$least");
    is($other->try_client(tls => { SSL_version => 'TLSv1_2' }) ? 1 : 0, $two, "ssl_min_version=$least: TLS 1.2");
    is($other->try_client(tls => { SSL_version => 'TLSv1_3' }) ? 1 : 0, $three, "ssl_min_version=$least: TLS 1.3");
    is($other->try_client(tls => { SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0' }) ? 1 : 0, 0, "ssl_min_version=$least: TLS 1.1");
    is($other->settings->{ssl_min_version}, "tlsv1.$least", 'the settings');
    is($other->client->ask('mn'), 'MN', 'refusals hurt nobody');
}
for my $version ('TLSv1', 'TLSv1_1') {
    my $other = with('rsa', 'ssl_min_version=0', 'ssl_ciphers=ALL:@SECLEVEL=0');
    my $old = $other->try_client(tls => { SSL_version => $version, SSL_cipher_list => 'ALL:@SECLEVEL=0' });
    SKIP: {
        skip "this OpenSSL has no $version", 1 unless $old;
        is($old->ask('mn'), 'MN', "$version works where it is allowed in full");
    }
}

# ciphers of TLS 1.2
$server = with('rsa', 'ssl_ciphers=ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305');
is($server->settings->{ssl_ciphers}, 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305', 'ssl_ciphers shows');
for my $cipher ('ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-RSA-CHACHA20-POLY1305') {
    my $c = $server->client(tls => { SSL_version => 'TLSv1_2', SSL_cipher_list => $cipher });
    is($c->socket->get_cipher, $cipher, $cipher);
    is($c->ask('mn'), 'MN', 'serves');
}
ok(!$server->try_client(tls => { SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-RSA-AES128-GCM-SHA256' }), 'a cipher not in the list');
ok($server->try_client(tls => { SSL_version => 'TLSv1_3' }), 'TLS 1.3 has ciphers of its own');

# no ALPN, any name
SKIP: {
    skip 'no ALPN in this IO::Socket::SSL', 1 unless IO::Socket::SSL->can_alpn;
    my $c = $server->client(tls => { SSL_alpn_protocols => [ 'http/1.1', 'x' ], SSL_hostname => 'any.name.example' });
    is($c->socket->alpn_selected, undef, 'no protocol is negotiated, any name is taken');
    is($c->ask('mn'), 'MN', 'and served');
}

done_testing;
