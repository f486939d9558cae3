#!/usr/bin/perl
# Goal: with -Z every TCP port is secured unless its entry of -l says otherwise.
# Method: one server with ports of each class; each is tried plain, by TLS, and by TLS with certificates.

use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestCerts;

my $certs = TestCerts::ensure();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
my %good = (SSL_cert_file => "$certs/client.crt", SSL_key_file => "$certs/client.key");
my %foreign = (SSL_cert_file => "$certs/client-foreign.crt", SSL_key_file => "$certs/client-foreign.key");

sub outcome { my ($server, $port, $tls, %more) = @_; return $server->outcome(port => $port, tls => $tls, %more) }

my $ipv6;
{ my $probe; $ipv6 = socket($probe, AF_INET6, SOCK_STREAM, 0) && bind($probe, Socket::pack_sockaddr_in6(0, inet_pton(AF_INET6, '::1'))) }

# class of each port, in order
my @classes = ('notls:', '', 'btls:', 'mtls:', '');
@classes = grep { !/^[bm]tls/ } @classes if TestServer::is_old();
for my $mode (0, 2) {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', @tls, '-o', "ssl_ca_cert=$certs/ca.crt,ssl_verify_mode=$mode",
        '-l', join ',', map { "$_" . '127.0.0.1:-1' } @classes);
    my @ports = $server->ports;
    is(scalar @ports, scalar @classes, "mode $mode: a port for each entry");
    is(join(',', map { s/: \d+//r } $server->port_lines), join(',', ('TCP INET') x @classes), 'unmarked in the port file');
    for my $i (0 .. $#classes) {
        my ($class, $port) = ($classes[$i], $ports[$i]);
        my $asks = $class eq 'mtls:' || $class eq '' && $mode == 2;
        my %want = $class eq 'notls:'
            ? (plain => 'served', bare => 'refused', good => 'refused', foreign => 'refused')
            : (plain => 'refused', bare => $asks ? 'refused' : 'served', good => 'served', foreign => $asks ? 'refused' : 'served');
        my $name = "mode $mode, '$class'";
        my $plain = $server->client(port => $port, tls => 0);
        $plain->send("get k\r\nget k\r\n");
        is(($plain->line(2) // '') eq 'END' ? 'served' : 'refused', $want{plain}, "$name: a plain client");
        next if $class eq 'notls:' && $mode;
        is(outcome($server, $port, { Timeout => TestServer::patience(2) }), $want{bare}, "$name: TLS without a certificate");
        is(outcome($server, $port, { %good, Timeout => TestServer::patience(2) }), $want{good}, "$name: TLS with a good one") unless $class eq 'notls:';
        is(outcome($server, $port, { %foreign, Timeout => TestServer::patience(2) }), $want{foreign}, "$name: TLS with a foreign one") unless $class eq 'notls:';
    }
    my $c = $server->client(port => $ports[1], tls => { %good });
    $c->set('k', 'v');
    is($server->client(port => $ports[0], tls => 0)->get('k'), 'v', "mode $mode: all ports show the same items");
    if ($mode == 0) {
        my %conns = %{ $c->stats('conns') };
        is(scalar(grep { /:addr$/ && $conns{$_} !~ /^tcp:/ } keys %conns), 0, 'stats conns shows tcp addresses');
    }
}

# a prefix governs its own entry only, and comes before protocol and tag
SKIP: {
    skip 'differs before 1.6.45', 1 if TestServer::is_old();
    my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-l',
        'notls:proto[ascii]:tag_a_:127.0.0.1:-1,proto[ascii]:127.0.0.1:-1,btls:tag_b_:127.0.0.1:-1');
    my @ports = $server->ports;
    is(outcome($server, $ports[0], 0), 'served', 'notls with protocol and tag');
    is(outcome($server, $ports[1], 1), 'served', 'the next entry is secured');
    is(outcome($server, $ports[2], 1), 'served', 'btls with a tag');

    # mtls without a CA file starts, and refuses everybody
    my $nobody = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-l', 'mtls:127.0.0.1:-1,127.0.0.1:-1');
    @ports = $nobody->ports;
    is(outcome($nobody, $ports[0], 1), 'refused', 'mtls without a CA file: no certificate');
    is(outcome($nobody, $ports[0], { %good }), 'refused', 'mtls without a CA file: a certificate');
    is(outcome($nobody, $ports[1], 1), 'served', 'other ports serve');
    SKIP: {
        skip 'no IPv6 here', 2 unless $ipv6;
        my $six = TestServer->start({ tls => 1 }, '-t', '1', '-p', '-1', @tls, '-l', 'notls:[::1]:-1,btls:[::1]:-1');
        my @six = $six->ports;
        is(outcome($six, $six[0], 0, host => '::1'), 'served', 'notls on IPv6');
        is(outcome($six, $six[1], 1, host => '::1'), 'served', 'btls on IPv6');
    }
}

# too many connections: a line in the clear for plain clients only
SKIP: {
    skip 'valgrind has descriptors of its own', 1 if $ENV{VALGRIND_TEST};
    my $server = TestServer->start({ tls => 1 }, '-t', '1', '-c', '30', @tls, '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
    my ($secure, $plain) = $server->ports;
    my @held;
    while (@held < 30) {
        my $client = $server->client(port => $plain, tls => 0);
        $client->send("mn\r\n");
        last if ($client->line // '') ne 'MN';
        push @held, $client;
    }
    is($server->client(port => $plain, tls => 0)->rest, "ERROR Too many open connections\r\n", 'a plain client too many is told');
    my $raw = $server->client(port => $secure, tls => 0);
    is($raw->rest, '', 'on a TLS port it is just closed') unless TestServer::is_old();
    cmp_ok($held[0]->stats->{rejected_connections}, '>=', 2, 'both are counted');
    $_->close for splice @held, 0, 3;
    ok(TestServer::wait_until(sub { my $c = $server->try_client(port => $secure); $c && ($c->ask('mn') // '') eq 'MN' }), 'and are served later');
}

done_testing;
