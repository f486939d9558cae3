#!/usr/bin/perl
# Goal: -l, -p and the port file give exactly the sockets asked for.
# Method: servers with lists, tags, protocols and odd addresses; the port file names what was opened, and
# each port is talked to. Failures by their text and status.

use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $IN_USE = TestServer::words('EADDRINUSE');
my $six;
my $ipv6 = socket($six, AF_INET6, SOCK_STREAM, 0) && bind($six, Socket::pack_sockaddr_in6(0, inet_pton(AF_INET6, "::1")));

# The lines of the port file, ports left out.
sub kinds { my ($server) = @_; return [ map { s/: \d+$//r } $server->port_lines ] }

sub serves {
    my ($server, $port, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $server->try_client(port => $port, %options);
    return ok($client && ($client->ask('mn') // '') eq 'MN', $name);
}

# a mark for filters in the kernel, where the server may set one; clients' sockets inherit it
{
    my $marked = TestServer->start('-t', '1', '-o', 'sock_cookie_id=41');
    my $client = $marked->client;
    is($client->ask('mn'), 'MN', 'sock_cookie_id: it serves');
    my $refused = $marked->stderr_text =~ /^setsockopt: Operation not permitted$/m;
    my $seen = qx(ss -Htnae 'sport = :${\ $marked->port}' 2>/dev/null);
    SKIP: {
        skip 'without the right to mark sockets that is told', 1 if $refused;
        skip 'no ss that shows marks to whoever may see them', 1 if $seen !~ /fwmark/;
        is(scalar(() = $seen =~ /fwmark:0x29/g), 2, 'the listener and its client are marked');
    }
}

# one and several addresses
my $server = TestServer->start('-t', '1', '-l', '127.0.0.1');
is_deeply(kinds($server), ['TCP INET'], 'one address');
serves($server, $server->port, 'it serves');
is($server->settings->{inter}, '127.0.0.1', 'inter shows it');

for my $args (
    [ '-l', '127.0.0.1,127.0.0.2' ], [ '-l', '127.0.0.1;127.0.0.2' ], [ '-l', '127.0.0.1', '-l', '127.0.0.2' ],
    [ '-l', ',127.0.0.1,,127.0.0.2,' ], [ '-l', '127.0.0.1:-1,127.0.0.2:0' ], ['-l127.0.0.1,127.0.0.2'], ['--listen=127.0.0.1,127.0.0.2'],
) {
    my $two = TestServer->start('-t', '1', @$args);
    is_deeply(kinds($two), [ 'TCP INET', 'TCP INET' ], "@$args: two sockets");
    my @ports = $two->ports;
    serves($two, $ports[0], 'the first', host => '127.0.0.1');
    serves($two, $ports[1], 'the second', host => '127.0.0.2');
    $two->kill_now;
}
$server = TestServer->start('-t', '1', '-l', '127.0.0.1', '-l', '127.0.0.2');
is($server->settings->{inter}, '127.0.0.1,127.0.0.2', 'several -l are joined by commas');

# many ports of one address, tags and protocols
$server = TestServer->start('-t', '1', '-l', join ',', map { '127.0.0.1:-1' } 1 .. 8);
is(scalar($server->ports), 8, 'eight ports');
serves($server, $_, "port $_") for $server->ports;
my $c = $server->client;
$c->set('k', 'v');
is($server->client(port => ($server->ports)[7])->get('k'), 'v', 'all show the same items');
SKIP: {
    skip 'tags and protocols of listeners differ before 1.6.45', 1 if TestServer::is_old();
    for my $piece ('tag_ab_:127.0.0.1', 'tag[abcdefgh]:127.0.0.1', 'proto[ascii]:127.0.0.1', 'proto[ascii]:tag_x_:127.0.0.1',
        'proto[negotiating]:127.0.0.1', 'proto[unknown]:127.0.0.1', 'proto[]:127.0.0.1', 'localhost')
    {
        my $tagged = TestServer->start('-t', '1', '-l', $piece);
        # localhost may be ::1, too, which comes first and has a port of its own.
        my ($port) = map { /^TCP INET: (\d+)/ } $tagged->port_lines;
        serves($tagged, $port, "-l $piece");
        $tagged->kill_now;
    }
}

# all addresses
for my $args ([ '-p', '-1', '-l', '*' ], [ '-p', '-1', '-l', '0.0.0.0' ]) {
    my $any = TestServer->start('-t', '1', @$args);
    my ($four) = map { /^TCP INET: (\d+)/ ? $1 : () } $any->port_lines;
    serves($any, $four, "@$args serves 127.0.0.1");
    serves($any, $four, "@$args serves 127.0.0.3", host => '127.0.0.3');
    $any->kill_now;
}
SKIP: {
    skip 'no IPv6 here', 4 unless $ipv6;
    for my $piece ('::1', '[::1]', '[::1]:-1') {
        my $six = TestServer->start('-t', '1', '-p', '-1', '-l', $piece);
        is_deeply(kinds($six), ['TCP INET6'], "-l $piece");
        serves($six, $six->port, 'it serves', host => '::1');
        $six->kill_now;
    }
    my $both = TestServer->start('-t', '1', '-p', '-1', '-l', '127.0.0.1,[::1]');
    is_deeply(kinds($both), [ 'TCP INET', 'TCP INET6' ], 'both families, in order');
}

# an entry may be dropped, and so may all
$server = TestServer->start('-t', '1', '-l', '127.0.0.12', '-l', '127.0.0.1') ;
is_deeply(kinds($server), ['TCP INET'], 'a value that is part of what came before adds nothing');
my $none = TestServer->start({ ready => 0 }, '-t', '1', '-l', '');
ok(TestServer::wait_until(sub { -e $none->{port_file} }), 'an empty list is no mistake');
is(TestServer::slurp($none->{port_file}), '', 'the port file is empty');
ok(!$none->has_ended, 'the server runs');
$none->kill_now;

# -p
my $zero = TestServer->start({ ready => 0, tls => 0 }, '-t', '1', '-l', '127.0.0.1', '-p', '0');
ok(TestServer::wait_until(sub { -e $zero->{port_file} || $zero->has_ended }), '-p 0');
is(TestServer::slurp($zero->{port_file}), '', 'opens nothing');
$zero->kill_now;
{
    # A port of our own choice: one that was free a moment ago.
    socket(my $probe, PF_INET, SOCK_STREAM, 0);
    bind $probe, pack_sockaddr_in(0, inet_aton('127.0.0.1'));
    my ($port) = unpack_sockaddr_in(getsockname $probe);
    close $probe;
    my $fixed = TestServer->start('-t', '1', '-p', $port, '-l', '127.0.0.1');
    is($fixed->port, $port, '-p with a number');
    is($fixed->settings->{tcpport}, $port, 'which the settings show');
    my $run = TestServer->run('-t', '1', '-p', $port, '-l', '127.0.0.1');
    is($run->{status}, 71, 'a second server on the same port ends with 71');
    like($run->{stderr}, qr/^failed to listen on one of interface\(s\) 127\.0\.0\.1: $IN_USE$/m, 'and says why');
    my $explicit = TestServer->start('-t', '1', '-p', $port + 0, '-l', "127.0.0.1:-1");
    isnt($explicit->port, $port, 'a port in -l goes before -p');
}

# mistakes
for my $row (
    [ '127.0.0.1:abc', qr/^Invalid port number: "abc"$/m ],
    [ '[::1', qr/^Invalid IPV6 address: "\[::1"/m ],
    [ 'no.such.host.invalid', qr/^getaddrinfo\(\): /m ],
    [ '127.0.0.1, 127.0.0.2', qr/^getaddrinfo\(\): /m ],
    [ '203.0.113.1', qr/^bind\(\): |^failed to listen/m ],
    [ 'proto[ascii:127.0.0.1', qr/^Invalid protocol spec: "\[ascii:127\.0\.0\.1"$/m ],
    [ 'tag[abc:127.0.0.1', qr/^Invalid tag in socket config: "\[abc:127\.0\.0\.1"$/m ],
    [ 'tag__:127.0.0.1', qr/^Listener tags must be between 1 and 8 characters: "/m ],
    [ 'tag_123456789_:127.0.0.1', qr/^Listener tags must be between 1 and 8 characters: "/m ],
) {
    my ($piece, $text) = @$row;
    next if TestServer::is_old() && $piece =~ /^(proto|tag)|^\[::1$/;
    my $run = TestServer->run('-t', '1', '-p', '-1', '-l', $piece);
    is($run->{status}, 71, "-l $piece ends with 71");
    like($run->{stderr}, $text, 'says what is wrong');
    like($run->{stderr}, qr/failed to listen on one of interface\(s\) \Q$piece\E: /, 'and names the list');
}
{
    my $run = TestServer->run('-t', '1', '-p', '-1', '-l', '127.0.0.1:-1,127.0.0.1:abc');
    is($run->{status}, 71, 'one wrong entry of two ends the start');
}
SKIP: {
    skip 'prefixes are understood with -Z', 1 if $ENV{SSL_TEST};
    for my $class (qw(notls btls mtls)) {
        next if TestServer::is_old() && $class ne 'notls';
        my $run = TestServer->run('-t', '1', '-p', '-1', '-l', "$class:127.0.0.1");
        is($run->{status}, 71, "$class: without -Z ends with 71");
        like($run->{stderr}, qr/^'\Q$class\E' option is valid only when SSL is enabled$/m, 'and says why');
    }
}

# the port file is complete when it appears, and cannot be written to nowhere
my $lost = TestServer->start({ ready => 0, env => {} }, '-t', '1', '-l', '127.0.0.1', '-p', '-1');
$lost->kill_now;
my $elsewhere = TestServer->run({ env => { MEMCACHED_PORT_FILENAME => '/nonexistent/dir/ports' }, seconds => 1 },
    '-t', '1', '-l', '127.0.0.1', '-p', '-1');
like($elsewhere->{stderr}, qr{^Failed to open "/nonexistent/dir/ports\.lck": }m, 'a port file that cannot be written is told');
ok($elsewhere->{running}, 'and the server runs');

done_testing;
