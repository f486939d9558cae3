#!/usr/bin/perl
# Goal: client certificates are asked for, judged and required as the mode says.
# Method: each mode against clients without a certificate, with a good one, a foreign one, an expired one
# and one that is not valid yet, in TLS 1.2 and 1.3.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestCerts;

my $certs = TestCerts::ensure();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
my @clients = qw(none client client-foreign client-expired client-future);

sub outcome { my ($server, $version, $name) = @_; return $server->outcome(tls => { SSL_version => $version, TestCerts::client_pair($name) }) }

# mode, with a CA file or not, who is served
for my $row (
    [ 0, 1, qw(none client client-foreign client-expired client-future) ],
    [ 1, 1, qw(none client) ],
    [ 2, 1, qw(client) ],
    [ 3, 1, qw(client) ],
    [ 0, 0, qw(none client client-foreign client-expired client-future) ],
    [ 1, 0, qw(none) ],
    [ 2, 0 ],
) {
    my ($mode, $with_ca, @served) = @$row;
    my $server = TestServer->start({ tls => 1 }, '-t', '2', @tls, '-o',
        "ssl_verify_mode=$mode" . ($with_ca ? ",ssl_ca_cert=$certs/ca.crt" : ''));
    my %served = map { $_ => 1 } @served;
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        for my $client (@clients) {
            is(outcome($server, $version, $client), $served{$client} ? 'served' : 'refused',
                "mode $mode" . ($with_ca ? '' : ' without a CA file') . ", $version: $client");
        }
    }
    if ($mode == 2 && $with_ca) {
        # The authorities announced to clients are those of the file.
        my $openssl = qx(openssl s_client -connect 127.0.0.1:${\ $server->port } -CAfile '$certs/ca.crt' </dev/null 2>/dev/null);
        my ($names) = $openssl =~ /^Acceptable client certificate CA names\n((?:[^\n]*CN ?=[^\n]*\n)*)/m;
        like($names // '', qr/\A[^\n]*tests CA[^\n]*\n\z/, 'the announced authorities') if $openssl;
        # Many good clients among bad ones.
        my $wrong = 0;
        for my $i (1 .. 20) {
            $wrong++ if outcome($server, 'TLSv1_3', 'client') ne 'served';
            $wrong++ if outcome($server, 'TLSv1_3', $clients[ $i % 3 ? 2 : 3 ]) ne 'refused';
        }
        is($wrong, 0, 'good and bad clients in turn');
    }
    $server->kill_now;
}

# several authorities in one file
my $dir = TestServer::scratch();
open my $file, '>', "$dir/two.crt" or die $!;
print $file map { TestServer::slurp("$certs/$_.crt") } qw(ca foreign-ca);
close $file;
my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-o', "ssl_verify_mode=2,ssl_ca_cert=$dir/two.crt");
is(outcome($server, 'TLSv1_3', $_), 'served', "two authorities: $_") for qw(client client-foreign);
is(outcome($server, 'TLSv1_3', $_), 'refused', "two authorities: $_") for qw(none client-expired);

done_testing;
