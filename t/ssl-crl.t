#!/usr/bin/perl
# Goal: ssl_crl refuses clients that their authority has revoked, and those whose authority says nothing.
# Method: good, revoked and foreign clients in TLS 1.2 and 1.3; lists that are refreshed; bad files.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it knows no revocation lists');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");

sub put { my ($name, @text) = @_; TestCerts::write_file("$dir/$name", @text) }
sub taken { return TestServer::slurp("$certs/$_[0]") }

sub outcome { my ($server, $version, $name) = @_; return $server->outcome(tls => { SSL_version => $version, TestCerts::client_pair($name) }) }

# two authorities, a list of one of them
put('both.crt', map { taken($_) } qw(ca.crt foreign-ca.crt));
put('crl.pem', taken('crl.pem'));
for my $mode (1, 2) {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', @tls, '-o', "ssl_verify_mode=$mode,ssl_ca_cert=$dir/both.crt,ssl_crl=$dir/crl.pem");
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        is(outcome($server, $version, 'client'), 'served', "mode $mode, $version: a good client");
        is(outcome($server, $version, 'revoked'), 'refused', 'a revoked one');
        is(outcome($server, $version, 'client-foreign'), 'refused', 'one whose authority has no list');
        is(outcome($server, $version, 'none'), $mode == 1 ? 'served' : 'refused', 'one without a certificate');
    }
    $server->kill_now;
}

# a refresh revokes: neither a new handshake nor a session of before gets in
my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-o', "ssl_session_cache,ssl_ca_cert=$certs/ca.crt,ssl_crl=$dir/crl.pem",
    '-l', 'mtls:127.0.0.1:-1,notls:127.0.0.1:-1');
my ($port, $plain) = $server->ports;
my $admin = $server->client(port => $plain, tls => 0);
for my $version ('1.2', '1.3') {
    put('crl.pem', taken('crl-before.pem'));
    is($admin->ask('refresh_certs'), 'OK', 'a list with nobody on it');
    my @as = (version => $version, cert => "$certs/revoked.crt", key => "$certs/revoked.key");
    my $wire = TestWire->connect($port, @as);
    $wire->say("mn\r\n");
    is($wire->take(4), "MN\r\n", "TLS $version: served");
    my $session = $wire->session;
    put('crl.pem', taken('crl.pem'));
    is($admin->ask('refresh_certs'), 'OK', 'the client is put on it');
    for my $offer ([], [ session => $session ]) {
        my $late = TestWire->connect($port, @as, @$offer);
        $late->say("mn\r\n") if $late;
        is($late ? $late->rest : '', '', @$offer ? 'its session is refused' : 'it is refused');
    }
    $wire->say("mn\r\n");
    is($wire->take(4), "MN\r\n", 'the connection it has goes on');
}

# bad files
put('crl.pem', substr taken('crl.pem'), 0, 200);
like($admin->ask('refresh_certs'), qr/^Error loading the CRL: \Q$dir\E\/crl\.pem : .+/, 'a list that is cut off is refused at a refresh');
put('empty', '');
for my $path ("$dir/none", "$dir/empty", "$dir/crl.pem", "$certs/ca.crt") {
    my $run = TestServer->run('-l', '127.0.0.1', '-p', '-1', @tls, '-o', "ssl_ca_cert=$certs/ca.crt,ssl_crl=$path");
    is($run->{status}, 64, "a list that is none: " . ($path =~ s/.*\///r));
    like($run->{stderr}, qr/^Error loading the CRL: \Q$path\E : .+$/m, 'with its line');
}
my $run = TestServer->run('-o', 'ssl_crl');
is($run->{status}, 1, 'no path');
like($run->{stderr}, qr/^Missing ssl_crl argument$/m, 'with its line');
is($server->client(port => $plain, tls => 0)->stats('settings')->{ssl_crl}, "$dir/crl.pem", 'stats settings shows the path');
ok(!exists TestServer->start({ tls => 1 }, '-t', '1')->settings->{ssl_crl}, 'and no line without the option');

done_testing;
