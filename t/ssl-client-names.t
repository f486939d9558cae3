#!/usr/bin/perl
# Goal: with ssl_client_allow only clients whose certificate bears an allowed name are served, in every
# class that asks for certificates; who is on the list may change while the server runs.
# Method: patterns of each type against a client with a name of each type, on ports of each class, in TLS
# 1.2 and 1.3; bad lists; a list file that is refreshed.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it looks at no name of a client');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my $pair = "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key";
my $ca = "ssl_ca_cert=$certs/ca.crt";
my @ports = ('-l', '127.0.0.1:-1,btls:127.0.0.1:-1,mtls:127.0.0.1:-1,notls:127.0.0.1:-1');

sub start { return TestServer->start({ tls => 1 }, '-t', '2', '-Z', @ports, map { ('-o', $_) } $pair, $ca, @_) }

sub outcome {
    my ($server, $port, $version, $name) = @_;
    return $server->outcome(port => $port, tls => { SSL_version => $version, TestCerts::client_pair($name) });
}

# a pattern, and whether it lets the client with the four names in
for my $row (
    [ 'CN:workload', 1 ],
    [ 'CN:Workload', 0 ],
    [ 'CN:work*', 1 ],
    [ 'CN:work', 0 ],
    [ 'DNS:*.cache.example', 1 ],
    [ 'DNS:WEB-*.Cache.Example', 1 ],
    [ 'DNS:*.example', 0 ],
    [ 'DNS:**.example', 1 ],
    [ 'URI:spiffe://corp/ns/*/sa/web', 1 ],
    [ 'URI:spiffe://corp/*/sa/web', 0 ],
    [ 'URI:spiffe://corp/**', 1 ],
    [ 'EMAIL:*@corp.example', 1 ],
    [ 'EMAIL:*@example', 0 ],
    [ 'CN:web-7.cache.example', 0 ],
    [ 'DNS:other.example|CN:nobody|EMAIL:joe@corp.example', 1 ],
) {
    my ($list, $good) = @$row;
    my $server = start('ssl_verify_mode=2', "ssl_client_allow=$list");
    my ($port) = $server->ports;
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        is(outcome($server, $port, $version, 'named'), $good ? 'served' : 'refused', "$list, $version");
    }
    $server->kill_now;
}

# classes and modes: who is asked for a certificate must be on the list
for my $mode (0 .. 3) {
    my $server = start("ssl_verify_mode=$mode", 'ssl_client_allow=CN:workload');
    my ($default, $basic, $mutual, $plain) = $server->ports;
    my $before = $server->client(port => $plain, tls => 0)->stats->{ssl_handshake_errors};
    my $refused = 0;
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        for my $row ([ named => 'served' ], [ client => 'refused' ], [ none => 'refused' ], [ 'client-foreign' => 'refused' ]) {
            my ($name, $asked) = @$row;
            is(outcome($server, $mutual, $version, $name), $asked, "mode $mode, mutual, $version: $name");
            is(outcome($server, $default, $version, $name), $mode ? $asked : 'served', "default: $name");
            is(outcome($server, $basic, $version, $name), 'served', "basic: $name");
            $refused += $asked eq 'refused' ? $mode ? 2 : 1 : 0;
        }
    }
    my $c = $server->client(port => $plain, tls => 0);
    is($c->ask('mn'), 'MN', 'a plain port serves everybody');
    is($c->stats->{ssl_handshake_errors} - $before, $refused, 'each refusal is one handshake error');
    is($c->stats->{ssl_proto_errors}, 0, 'and no other error');
    is($c->stats('settings')->{ssl_verify_mode}, (0, 1, 3, 7)[$mode], 'the settings show the mode as given');
    $server->kill_now;
}

# a refused client gets an alert; no command of it is carried out, not even one sent along with its handshake
{
    my $server = start('ssl_verify_mode=2', 'ssl_client_allow=CN:workload');
    my ($port, undef, undef, $plain) = $server->ports;
    for my $version ('1.2', '1.3') {
        my $wire = TestWire->connect($port, version => $version, cert => "$certs/client.crt", key => "$certs/client.key");
        if ($wire) {
            $wire->say("set stolen 0 0 1\r\nx\r\n");
            is($wire->rest, '', "TLS $version: no reply");
            like($wire->alert, qr/alert|certificate|handshake/i, 'but an alert');
        }
        else { pass("TLS $version: refused in the handshake") }
    }
    is($server->client(port => $plain, tls => 0)->get('stolen'), undef, 'nothing was stored');
}

# the file
sub write_list { TestCerts::write_file("$dir/allow", @_) }
write_list("# web servers\n\nURI:spiffe://corp/ns/*/sa/web\n   \n  # indented\n  CN:client one  \n");
my $server = start('ssl_verify_mode=2', 'ssl_client_allow=CN:nobody', "ssl_client_allow_file=$dir/allow", 'ssl_session_cache');
my ($port, undef, undef, $plain) = $server->ports;
my $admin = $server->client(port => $plain, tls => 0);
is(outcome($server, $port, 'TLSv1_3', $_), 'served', "the file lets $_ in") for qw(named client);
is(outcome($server, $port, 'TLSv1_3', $_), 'refused', "and not $_") for qw(none revoked);
for my $version ('1.2', '1.3') {
    my @as = (version => $version, cert => "$certs/client.crt", key => "$certs/client.key");
    write_list("CN:client one\n");
    is($admin->ask('refresh_certs'), 'OK', 'a refresh takes the file');
    is(outcome($server, $port, 'TLSv1_3', 'named'), 'refused', 'who is off the list is refused');
    my $wire = TestWire->connect($port, @as);
    $wire->say("mn\r\n");
    is($wire->take(4), "MN\r\n", "TLS $version: a client that is on it");
    my $session = $wire->session;
    my $again = TestWire->connect($port, @as, session => $session);
    $again->say("mn\r\n");
    is($again->take(4), "MN\r\n", 'comes again');
    ok($again->resumed, 'and resumes its session');

    write_list("CN:nobody\n");
    is($admin->ask('refresh_certs'), 'OK', 'it is taken off');
    my $late = TestWire->connect($port, @as, session => $session);
    if ($late) {
        $late->say("mn\r\n");
        is($late->rest, '', 'its session opens no door');
    }
    else { pass('its session opens no door') }
    $wire->say("mn\r\n");
    is($wire->take(4), "MN\r\n", 'the connection it has goes on');
}
write_list("CN:workload\nworkload\n");
is($admin->ask('refresh_certs'), "Error loading the client allow list: $dir/allow : malformed pattern in line 2", 'a malformed file');
is(outcome($server, $port, 'TLSv1_3', 'client'), 'refused', 'changes nothing');
unlink "$dir/allow";
like($admin->ask('refresh_certs'), qr/^Error loading the client allow list: \Q$dir\E\/allow : .*No such file/, 'nor does an absent one');

# mistakes
sub refuses {
    my ($status, $text, @options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run('-Z', '-l', '127.0.0.1', '-p', '-1', map { ('-o', $_) } @options);
    my $name = "@options" =~ s/\Q$certs\E|\Q$dir\E/DIR/gr;
    is_deeply([ $run->{running}, $run->{status} ], [ 0, $status ], "$name: status $status");
    like($run->{stderr}, $text, 'and its line');
}
for my $list ('', 'workload', 'CN', 'CN:', 'cn:workload', 'IP:127.0.0.1', 'CN:a|', 'CN:a||CN:b') {
    refuses(1, qr/^Invalid ssl_client_allow\. Use help to see valid options\.$/m, "ssl_client_allow=$list");
}
refuses(1, qr/^Missing $_ argument$/m, $_) for qw(ssl_client_allow ssl_client_allow_file);
refuses(64, qr/^ERROR: ssl_client_allow needs ssl_ca_cert\.$/m, $pair, 'ssl_client_allow=CN:a');
write_list("CN:a\n\nB:c\n");
refuses(64, qr/^ERROR: ssl_client_allow needs ssl_ca_cert\.$/m, $pair, "ssl_client_allow_file=$dir/allow");
refuses(64, qr/^Error loading the client allow list: \Q$dir\E\/allow : malformed pattern in line 3$/m, $pair, $ca, "ssl_client_allow_file=$dir/allow");
refuses(64, qr/^Error loading the client allow list: \Q$dir\E\/none : .*No such file/m, $pair, $ca, "ssl_client_allow_file=$dir/none");

# the settings
write_list("CN:a\n");
is($server->client(port => $plain, tls => 0)->stats('settings')->{ssl_client_allow}, 'CN:nobody', 'stats settings shows the list');
is($server->client(port => $plain, tls => 0)->stats('settings')->{ssl_client_allow_file}, "$dir/allow", 'and the file');
my $without = TestServer->start({ tls => 1 }, '-t', '1')->settings;
ok(!exists $without->{$_}, "without the option there is no $_") for qw(ssl_client_allow ssl_client_allow_file);

done_testing;
