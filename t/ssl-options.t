#!/usr/bin/perl
# Goal: each mistake in a TLS option, and in the files it names, ends the start with its text and status.
# Method: command lines that must end by themselves; then options that are kept without -Z.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestCerts;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();

sub refuses {
    my ($args, $status, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run(@$args);
    $name //= "@$args";
    $name =~ s/\Q$certs\E/CERTS/g;
    my $fits = $run->{stderr} =~ $text;
    return ok(1, $name) if !$run->{running} && $run->{status} == $status && $fits;
    ok(0, $name);
    diag($run->{running} ? 'it runs' : "status $run->{status} (signal $run->{signal}), not $status");
    diag("stderr: $run->{stderr}wanted: $text") unless $fits;
}

# the options themselves, with and without -Z
for my $with ([], ['-Z']) {
    for my $option (qw(ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size ssl_min_version)) {
        refuses([ @$with, '-o', $option ], 1, qr/^Missing $option argument$/m);
    }
    for my $option (qw(ssl_verify_mode ssl_wbuf_size ssl_min_version)) {
        refuses([ @$with, '-o', "$option=x" ], 1, qr/^could not parse argument to $option$/m);
        refuses([ @$with, '-o', "$option=1x" ], 1, qr/^could not parse argument to $option$/m);
    }
    refuses([ @$with, '-o', "ssl_keyformat=x" ], 1, qr/^could not parse argument to ssl_keyformat$/m);
    refuses([ @$with, '-o', "ssl_verify_mode=$_" ], 1, qr/^Invalid ssl_verify_mode\. Use help to see valid options\.$/m) for 4, -1;
    refuses([ @$with, '-o', "ssl_min_version=$_" ], 1, qr/^Invalid ssl_min_version\. Use help to see valid options\.$/m) for 4, -1;
    refuses([ @$with, '-o', 'no_ssl_session_cache' ], 1, qr/^Illegal suboption "no_ssl_session_cache"$/m);
    unless (TestServer::is_old()) {
        refuses([ @$with, '-o', "ssl_wbuf_size=$_" ], 1, qr/^Invalid ssl_wbuf_size\. Use help to see valid options\.$/m) for 0, 1_048_577, 4_194_304;
    }
}

# the files
sub with { return [ '-Z', '-l', '127.0.0.1', '-p', '-1', map { ('-o', $_) } @_ ] }
my $chain = "ssl_chain_cert=$certs/server.crt";
my $key = "ssl_key=$certs/server.key";
open my $file, '>', "$dir/empty" or die $!;
close $file;
open $file, '>', "$dir/garbage" or die $!;
print $file "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n";
close $file;
{
    open my $in, '<', "$certs/server.crt" or die $!;
    local $/;
    my $text = <$in>;
    open $file, '>', "$dir/cut" or die $!;
    print $file substr $text, 0, length($text) / 2;
    close $file;
}
refuses(with($key), 64, qr/^Error loading the certificate chain: \(null\) : .+$/m, 'no chain');
for my $path ("$certs/nothing", $dir, "$dir/empty", "$dir/garbage", "$dir/cut", "$certs/server.key") {
    refuses(with("ssl_chain_cert=$path", $key), 64, qr/^Error loading the certificate chain: \Q$path\E : .+$/m, "a chain that is none: $path");
}
refuses(with($chain), 64, qr/^Error loading the key: \(null\) : .+$/m, 'no key');
for my $path ("$certs/nothing", $dir, "$dir/empty", "$certs/server.crt", "$certs/server.der", "$certs/rsa-locked.key") {
    refuses(with($chain, "ssl_key=$path"), 64, qr/^Error loading the key: \Q$path\E : .+$/m, "a key that is none: $path");
}
refuses(with($chain, $key, "ssl_keyformat=$_"), 64, qr/^Error loading the key: \Q$certs\E\/server\.key : .+$/m, "key format $_") for 0, 2, 3, 9;
refuses(with($chain, "ssl_key=$certs/server2.key"), 64, qr/^Error loading the key: \Q$certs\E\/server2\.key : .*key values mismatch/m,
    'the key of another certificate');
refuses(with($chain, "ssl_key=$certs/rsa.key"), 64, qr/^Error (validating the certificate|loading the key: \S+ ): .*(no certificate assigned|mismatch)/m,
    'a key of another type');
for my $path ("$certs/nothing", "$dir/empty", "$certs/server.key") {
    refuses(with($chain, $key, "ssl_ca_cert=$path"), 64, qr/^Error loading the CA certificate: \Q$path\E : .+$/m, "a CA file that is none: $path");
}
refuses(with($chain, $key, "ssl_ciphers=$_"), 64, qr/^Error setting the provided cipher\(s\): \Q$_\E$/m, "ciphers '$_'")
    for 'NOSUCH', 'TLS_AES_128_GCM_SHA256';
refuses(with($chain, $key, 'ssl_ciphers='), 64, qr/^Error setting the provided cipher\(s\): ?$/m, 'no ciphers');
refuses([ '-Z', '-p', '0', '-l', '127.0.0.1:-1', '-o', "$chain,$key" ], 64, qr/^ERROR: You cannot enable SSL without a TCP port\.$/m,
    'no TCP port');
refuses([ '-d', @{ with("ssl_chain_cert=$certs/nothing", $key) } ], 64, qr/^Error loading the certificate chain/m, 'with -d the caller is told');

# the order of the checks: chain, key, CA, ciphers
refuses(with("ssl_chain_cert=$certs/nothing", "ssl_key=$certs/nothing"), 64, qr/^Error loading the certificate chain/m, 'the chain comes first');
refuses(with($chain, "ssl_key=$certs/nothing", "ssl_ca_cert=$certs/nothing"), 64, qr/^Error loading the key/m, 'then the key');
refuses(with($chain, $key, "ssl_ca_cert=$certs/nothing", 'ssl_ciphers=NOSUCH'), 64, qr/^Error loading the CA/m, 'then the authorities');

# what loads
for my $row (
    [ 'the key as DER', "ssl_key=$certs/server.der", 'ssl_keyformat=2' ],
    [ 'the last option counts', "ssl_chain_cert=$certs/nothing", $chain, $key ],
    [ 'a pair in one file', do {
        open my $both, '>', "$dir/both" or die $!;
        print $both map { TestServer::slurp("$certs/server.$_") } qw(crt key);
        close $both;
        ("ssl_chain_cert=$dir/both", "ssl_key=$dir/both");
    } ],
) {
    my ($name, @options) = @$row;
    my $server = TestServer->start({ tls => 1 }, '-t', '1', '-Z', map { ('-o', $_) } $chain, @options);
    is($server->client->ask('mn'), 'MN', $name);
    $server->kill_now;
}

# options beyond those of C memcached; their effects have files of their own
unless (TestServer::is_old()) {
    for my $with ([], ['-Z']) {
        refuses([ @$with, '-o', $_ ], 1, qr/^Missing $_ argument$/m)
            for qw(ssl_handshake_timeout ssl_refresh_interval ssl_client_allow ssl_client_allow_file ssl_ciphersuites ssl_crl
            ssl_ticket_key_file ssl_ticket_rotation ssl_session_tickets);
        for my $row ([ ssl_handshake_timeout => 3600 ], [ ssl_refresh_interval => 86_400 ], [ ssl_ticket_rotation => 86_400 ], [ ssl_session_tickets => 8 ]) {
            my ($option, $most) = @$row;
            refuses([ @$with, '-o', "$option=$_" ], 1, qr/^could not parse argument to $option$/m) for '', 'x', '1x', '-1';
            refuses([ @$with, '-o', "$option=" . ($most + 1) ], 1, qr/^Invalid $option\. Use help to see valid options\.$/m);
        }
    }
    # suites of TLS 1.3
    for my $list ('', 'NOSUCH', 'ECDHE-RSA-AES128-GCM-SHA256', 'TLS_AES_128_GCM_SHA256:NOSUCH', 'NOSUCH:TLS_AES_128_GCM_SHA256') {
        refuses(with($chain, $key, "ssl_ciphersuites=$list"), 64, qr/^Error setting the provided TLS 1\.3 cipher suite\(s\): \Q$list\E$/m,
            "suites '$list'");
    }
    refuses(with($chain, $key, 'ssl_ciphers=NOSUCH', 'ssl_ciphersuites=NOSUCH'), 64, qr/^Error setting the provided cipher\(s\)/m, 'ciphers come before suites');
    my $suites = 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
    my $chosen = TestServer->start({ tls => 1 }, '-t', '1', '-Z', map { ('-o', $_) } $chain, $key, "ssl_ciphersuites=$suites");
    is($chosen->settings->{ssl_ciphersuites}, $suites, 'ssl_ciphersuites shows');
    my $cipher = sub {
        my ($offer) = @_;
        my $text = qx(openssl s_client -tls1_3 -ciphersuites $offer -connect 127.0.0.1:${\ $chosen->port} </dev/null 2>/dev/null);
        return $text =~ /^New, \S+, Cipher is (\S+)/m ? $1 : '';
    };
    is($cipher->('TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256'), 'TLS_AES_128_GCM_SHA256', 'a suite of the list is taken');
    is($cipher->('TLS_AES_256_GCM_SHA384'), '(NONE)', 'and no other');
    ok($chosen->try_client(tls => { SSL_version => 'TLSv1_2' }), 'TLS 1.2 has ciphers of its own');
    $chosen->kill_now;

    # names where numbers are meant
    for my $row ([ 'ssl_min_version=tlsv1.3', 'ssl_min_version', 'tlsv1.3' ], [ 'ssl_min_version=TLSv1.0', 'ssl_min_version', 'tlsv1.0' ],
        [ 'ssl_keyformat=PEM', 'ssl_keyformat', 1 ], [ "ssl_keyformat=der,ssl_key=$certs/server.der", 'ssl_keyformat', 2 ]) {
        my ($options, $name, $shown) = @$row;
        my $named = TestServer->start({ tls => 1 }, '-t', '1', '-Z', map { ('-o', $_) } $chain, $key, $options);
        is($named->settings->{$name}, $shown, "$name shows $shown" . ($options =~ /(=[^,]*)/ ? " for $1" : ''));
        $named->kill_now;
    }
    refuses([ '-o', "ssl_min_version=$_" ], 1, qr/^could not parse argument to ssl_min_version$/m) for qw(tlsv1.4 tls1.2 1.2);
    refuses([ '-o', 'ssl_keyformat=PKCS12' ], 1, qr/^could not parse argument to ssl_keyformat$/m);

    # shown only when they are given, in one order, behind the known ones
    my @given = (ssl_handshake_timeout => 5, ssl_refresh_interval => 0, ssl_client_allow => 'CN:a|DNS:*.b', ssl_client_allow_file => '/allow',
        ssl_ciphersuites => 'X', ssl_crl => '/crl', ssl_ticket_key_file => '/tickets', ssl_ticket_rotation => 0, ssl_session_tickets => 2);
    my @options = map { $given[ 2 * $_ ] . '=' . $given[ 2 * $_ + 1 ] } 0 .. $#given / 2;
    my $plain = TestServer->start({ tls => 0 }, '-t', '1', '-o', join ',', reverse @options);
    my @lines = map { @$_ } grep { $_->[0] =~ /^ssl_/ } $plain->client->stats_list('settings');
    is_deeply([ @lines[ 22 .. $#lines ] ], \@given, 'stats settings shows what is given, behind the known lines');
    is($lines[20], 'ssl_min_version', 'of which there are eleven');
    $plain->kill_now;
    my $help = TestServer->run({ bare => 1 }, '-h')->{stdout};
    like($help, qr/^   - $_:/m, "-h lists $_") for grep { /^ssl/ } @given;

    # the secrets of sessions are for the debug server
    if (TestServer::has_feature('debug')) {
        my $log = TestServer->start({ tls => 1 }, '-t', '1', '-Z', map { ('-o', $_) } $chain, $key, "ssl_keylog_file=$dir/secrets");
        is($log->client->ask('mn'), 'MN', 'a server with a key log');
        like(TestServer::slurp("$dir/secrets"), qr/^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/m, 'has written secrets');
        is((stat "$dir/secrets")[2] & 0777, 0600, 'for its owner alone');
        $log->kill_now;
    }
    if (my $production = TestServer::production_path()) {
        my $run = TestServer->run({ binary => $production }, '-o', 'ssl_keylog_file=x');
        is_deeply([ @$run{qw(running status)} ], [ 0, 1 ], 'the installed server has none') unless $ENV{MEMCACHED_SERVER};
    }
}

# kept without -Z, unchecked, and shown
my $server = TestServer->start({ tls => 0 }, '-t', '1', '-o',
    'ssl_chain_cert=/no/such,ssl_key=/none,ssl_verify_mode=2,ssl_keyformat=7,ssl_ciphers=X:Y,ssl_ca_cert=/ca,ssl_wbuf_size=32,ssl_session_cache,ssl_min_version=3');
my $settings = $server->settings;
my %want = (ssl_enabled => 'no', ssl_chain_cert => '/no/such', ssl_key => '/none', ssl_verify_mode => 3, ssl_keyformat => 7,
    ssl_ciphers => 'X:Y', ssl_ca_cert => '/ca', ssl_wbuf_size => 32_768, ssl_session_cache => 'yes', ssl_min_version => 'tlsv1.3');
is($settings->{$_}, $want{$_}, "without -Z: $_") for sort keys %want;
is($server->client->ask('mn'), 'MN', 'and the server is a plain one');
$settings = TestServer->start({ tls => 0 }, '-t', '1')->settings;
my @defaults = (ssl_enabled => 'no', ssl_chain_cert => '(null)', ssl_key => '(null)', ssl_verify_mode => 0, ssl_keyformat => 1,
    ssl_ciphers => 'NULL', ssl_ca_cert => 'NULL', ssl_wbuf_size => 16_384, ssl_session_cache => 'no', ssl_kernel_tls => 'no',
    ssl_min_version => 'tlsv1.2');
while (my ($name, $value) = splice @defaults, 0, 2) { is($settings->{$name}, $value, "by default $name is $value") }
for my $row ([ 0, 0 ], [ 1, 1 ], [ 2, 3 ], [ 3, 7 ]) {
    my ($mode, $shown) = @$row;
    my $other = TestServer->start({ tls => 0 }, '-t', '1', '-o', "ssl_verify_mode=$mode,ssl_min_version=$mode");
    is($other->settings->{ssl_verify_mode}, $shown, "ssl_verify_mode=$mode shows as $shown");
    is($other->settings->{ssl_min_version}, "tlsv1.$mode", "ssl_min_version=$mode shows as tlsv1.$mode");
    $other->kill_now;
}

done_testing;
