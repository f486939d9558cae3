#!/usr/bin/perl
# Goal: how many session tickets are issued, with whose keys, and for how long they are good.
# Method: sessions of TLS 1.2 and 1.3 offered again, to the same server, to others that share its keys, after
# refreshes and after the time of a key.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(sleep time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has one ticket key for good');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my @pair = (cert => "$certs/client.crt", key => "$certs/client.key");
my @versions = ('1.2', '1.3');

sub start { return TestServer->start({ tls => 1 }, '-t', '2', '-Z', map { ('-o', $_) } "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key", @_) }
sub put { my ($name, @bytes) = @_; TestCerts::write_file("$dir/$name", @bytes) }
sub ticket_key { my ($seed) = @_; return join '', map { chr(($seed + $_ * 7) % 256) } 1 .. 80 }

sub refresh {
    my ($server) = @_;
    return $server->client(tls => { SSL_cert_file => "$certs/client.crt", SSL_key_file => "$certs/client.key" })->ask('refresh_certs');
}

# the number of tickets
for my $row ([ undef, 2 ], [ 0, 0 ], [ 1, 1 ], [ 8, 8 ]) {
    my ($count, $issued) = @$row;
    my $server = start('ssl_session_cache', defined $count ? "ssl_session_tickets=$count" : ());
    my $output = qx(printf 'mn\\r\\nquit\\r\\n' | openssl s_client -tls1_3 -ign_eof -connect 127.0.0.1:${\ $server->port} 2>/dev/null);
    is(scalar(() = $output =~ /Post-Handshake New Session Ticket arrived/g), $issued, 'tickets of TLS 1.3: ' . ($count // 'the default'));
    $output = qx(printf 'mn\\r\\nquit\\r\\n' | openssl s_client -tls1_2 -ign_eof -connect 127.0.0.1:${\ $server->port} 2>/dev/null);
    is($output =~ /TLS session ticket:/ ? 1 : 0, $issued ? 1 : 0, 'a ticket of TLS 1.2');
    is($server->settings->{ssl_session_tickets}, $count, 'the settings');
    $server->kill_now;
}
{
    my $server = start('ssl_session_tickets=0');
    for my $version (@versions) {
        my $session = TestWire->session_of($server->port, version => $version);
        is(TestWire->offered($server->port, $session, version => $version), 'full', "no tickets, TLS $version: nothing resumes") if $session;
    }
}

# a key for one second, tickets good for two
{
    my $server = start('ssl_ticket_rotation=1', 'ssl_session_tickets=1');
    for my $version (@versions) {
        my $begin = time;
        my $session = TestWire->session_of($server->port, version => $version);
        my $made = time;
        my $first = TestWire->offered($server->port, $session, version => $version);
        is($first, 'resumed', "TLS $version: a fresh ticket resumes") if time - $begin < 0.9;
        # However the periods lie, two of them are over two seconds later.
        sleep 2.1 - (time - $made) if time - $made < 2.1;
        is(TestWire->offered($server->port, $session, version => $version), 'full', 'one of two periods ago does not');
    }
    is($server->settings->{ssl_ticket_rotation}, 1, 'the settings');
}
{
    my $server = start('ssl_ticket_rotation=3600');
    for my $version (@versions) {
        my $session = TestWire->session_of($server->port, version => $version);
        is($server->admin->ask('refresh_certs'), 'OK', 'a refresh that changes nothing');
        is(TestWire->offered($server->port, $session, version => $version), 'resumed', "TLS $version: rotating keys are kept over it");
    }
}

# keys of a file: a fleet
put('tickets', ticket_key(1));
my @fleet = map { start("ssl_ticket_key_file=$dir/tickets", "ssl_verify_mode=$_", "ssl_ca_cert=$certs/ca.crt") } 2, 2, 1;
for my $version (@versions) {
    my @as = (version => $version, @pair);
    my $session = TestWire->session_of($fleet[0]->port, @as);
    is(TestWire->offered($fleet[0]->port, $session, @as), 'resumed', "TLS $version: a session resumes where it was made");
    is(TestWire->offered($fleet[1]->port, $session, @as), 'resumed', 'and at a server that shares the keys');
    is(TestWire->offered($fleet[2]->port, $session, @as), 'full', 'not at one that judges clients otherwise');
    put('tickets', ticket_key(2), ticket_key(1));
    is(refresh($fleet[1]), 'OK', 'a key is put in front');
    is(TestWire->offered($fleet[1]->port, $session, @as), 'resumed', 'the old one still opens');
    my $fresh = TestWire->session_of($fleet[1]->port, @as);
    is(TestWire->offered($fleet[0]->port, $fresh, @as), 'full', 'the new one makes: servers without it start anew');
    put('tickets', ticket_key(2));
    is(refresh($fleet[1]), 'OK', 'the old key is gone');
    is(TestWire->offered($fleet[1]->port, $session, @as), 'full', 'its tickets with it');
    is(TestWire->offered($fleet[1]->port, $fresh, @as), 'resumed', 'and no others');
    put('tickets', ticket_key(1));
    is(refresh($fleet[1]), 'OK', 'back again');
}

# mistakes
sub refuses {
    my ($status, $text, @options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run('-Z', '-l', '127.0.0.1', '-p', '-1', map { ('-o', $_) } "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key", @options);
    is_deeply([ $run->{running}, $run->{status} ], [ 0, $status ], "@options: status $status" =~ s/\Q$dir\E/DIR/r);
    like($run->{stderr}, $text, 'and its line');
}
for my $row ([ 'ssl_session_tickets', 9 ], [ 'ssl_ticket_rotation', 86_401 ]) {
    my ($option, $beyond) = @$row;
    refuses(1, qr/^Missing $option argument$/m, $option);
    refuses(1, qr/^could not parse argument to $option$/m, "$option=$_") for 'x', '1x', '-1', '';
    refuses(1, qr/^Invalid $option\. Use help to see valid options\.$/m, "$option=$beyond");
}
refuses(1, qr/^Missing ssl_ticket_key_file argument$/m, 'ssl_ticket_key_file');
put("bad$_", 'x' x $_) for 0, 48, 79, 81;
refuses(64, qr/^Error loading the ticket keys: \Q$dir\E\/bad$_ : bad size$/m, "ssl_ticket_key_file=$dir/bad$_") for 0, 48, 79, 81;
refuses(64, qr/^Error loading the ticket keys: \Q$dir\E\/none : .*No such file/m, "ssl_ticket_key_file=$dir/none");
refuses(64, qr/^ERROR: ssl_ticket_key_file and ssl_ticket_rotation exclude each other\.$/m, "ssl_ticket_key_file=$dir/tickets", 'ssl_ticket_rotation=60');
put('tickets', 'x' x 81);
is(refresh($fleet[0]), "Error loading the ticket keys: $dir/tickets : bad size", 'a refresh says so, too');

# without the options
my $settings = TestServer->start({ tls => 1 }, '-t', '1')->settings;
ok(!exists $settings->{$_}, "no line for $_") for qw(ssl_session_tickets ssl_ticket_rotation ssl_ticket_key_file);

done_testing;
