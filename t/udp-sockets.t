#!/usr/bin/perl
# Goal: -U, -p, -l, -s and -t give exactly the UDP sockets asked for, each worker its own descriptor or each socket one worker.
# Method: servers with combinations of them; the port file names what was opened, stats conns lists each descriptor, datagrams
# are answered on each, and what cannot be opened is told by its text and status.

use strict;
use warnings;
use Socket qw(:all);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestUdp;

my $IN_USE = TestServer::words('EADDRINUSE');
my $six;
my $ipv6 = socket($six, AF_INET6, SOCK_DGRAM, 0) && bind($six, Socket::pack_sockaddr_in6(0, inet_pton(AF_INET6, '::1')));

# The lines of the port file, ports left out.
sub kinds { my ($server) = @_; return [ map { s/: \d+$//r } $server->port_lines ] }

# Ports of the port file's UDP lines.
sub udp_ports { my ($server) = @_; return map { /^UDP INET6?: (\d+)$/ ? $1 : () } $server->port_lines }

# What stats conns says of each UDP descriptor, when every worker has had time to take its own.
sub endpoints {
    my ($server, $count) = @_;
    my @found;
    TestServer::wait_until(sub {
        my $conns = $server->stats('conns');
        @found = map {
            my ($fd) = /^(\d+):UDP$/;
            defined $fd ? join ' ', map { $_ // '' } @$conns{"$fd:UDP", "$fd:addr", "$fd:listen_addr", "$fd:state"} : ();
        } sort keys %$conns;
        return @found == $count;
    });
    return @found;
}

my $server = TestServer->start('-t', '3', '-U', '-1');
is_deeply(kinds($server), [ 'TCP INET', 'UDP INET' ], '-U adds a UDP socket');
my $port = $server->udp_port;
is_deeply([ endpoints($server, 3) ], [ ("UDP udp:127.0.0.1:$port  conn_read") x 3 ], 'every worker has a descriptor of it');
my $stats = $server->stats;
is($stats->{curr_connections}, 4, 'they count as connections');
is($stats->{total_connections}, 5, 'and did come');
is($server->settings->{num_threads_per_udp}, 3, 'num_threads_per_udp');
is($server->settings->{udpport}, -1, 'udpport is what was asked for');
my $udp = $server->udp_client;
$udp->answers("mn\r\n", ["MN\r\n"], "request $_") for 1 .. 50;
my $own = '127.0.0.1:' . $udp->port;
like(scalar($udp->ask("stats conns\r\n")), qr/^STAT (\d+):UDP UDP\r\nSTAT \1:addr udp:\Q$own\E\r\nSTAT \1:listen_addr udp:127\.0\.0\.1:$port\r\nSTAT \1:state conn_parse_cmd\r\nSTAT \1:secs_since_last_cmd 0\r\n/m,
    'the descriptor that is asked shows who asks');
is_deeply([ endpoints($server, 3) ], [ ("UDP udp:127.0.0.1:$port  conn_read") x 3 ], 'and then its own address again');
is($server->stop('USR1'), 0, 'an orderly stop');

# many clients at once: every answer is whole and goes to whom it is for, whichever worker gives it
$server = TestServer->start('-t', '4', '-U', '-1');
my @clients = map { $server->udp_client } 1 .. 8;
my $wrong = 0;
for my $round (1 .. 25) {
    $clients[$_]->send($round, "set k$_ 0 0 5000\r\n" . chr(97 + $_) x 5000 . "\r\n") for 0 .. 7;
    $wrong += ($_->message($round) // '') ne "STORED\r\n" for @clients;
    $clients[$_]->send($round, "get k$_\r\n") for 0 .. 7;
    for (0 .. 7) {
        $wrong++ if ($clients[$_]->message($round) // '') ne "VALUE k$_ 0 5000\r\n" . chr(97 + $_) x 5000 . "\r\nEND\r\n";
    }
}
is($wrong, 0, 'eight clients, four workers: every answer is right');
$server->kill_now;

# addresses
$server = TestServer->start('-t', '4', '-U', '-1', '-l', '127.0.0.1,127.0.0.2');
is_deeply(kinds($server), [ 'TCP INET', 'TCP INET', 'UDP INET', 'UDP INET' ], 'two addresses, two sockets each');
is(scalar(endpoints($server, 2)), 2, 'with a comma each socket is one worker\'s');
is($server->settings->{num_threads_per_udp}, 1, 'num_threads_per_udp is 1');
my @ports = udp_ports($server);
$server->udp_client(host => "127.0.0.$_", port => $ports[ $_ - 1 ])->answers("mn\r\n", ["MN\r\n"], "127.0.0.$_ serves") for 1, 2;
$server->kill_now;
$server = TestServer->start('-t', '3', '-U', '-1', '-l', '127.0.0.1;127.0.0.2');
is(scalar(endpoints($server, 6)), 6, 'with a semicolon each worker has both');
$server->kill_now;
SKIP: {
    skip 'no IPv6 here', 2 unless $ipv6;
    $server = TestServer->start('-t', '1', '-U', '-1', '-p', '-1', '-l', '::1');
    is_deeply(kinds($server), [ 'TCP INET6', 'UDP INET6' ], 'an IPv6 address');
    $server->{host} = '::1';
    is_deeply([ endpoints($server, 1) ], ['UDP udp6:[::1]:' . $server->udp_port . '  conn_read'], 'is shown as udp6');
    $server->udp_client->answers("mn\r\n", ["MN\r\n"], 'and serves');
    $server->kill_now;
}

# ports
# One number that neither UDP nor TCP uses, not even for a connection that has just ended.
my ($taken, $number);
until ($number) {
    socket(my $tcp, AF_INET, SOCK_STREAM, 0) or die "socket: $!";
    socket($taken, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
    bind $tcp, pack_sockaddr_in(0, inet_aton('127.0.0.1')) or die "bind: $!";
    my $name = getsockname $tcp;
    ($number) = unpack_sockaddr_in($name) if bind $taken, $name;
}
my $run = TestServer->run('-l', '127.0.0.1', '-p', '-1', '-U', $number);
is($run->{status}, 71, 'a port that is taken ends the start');
is($run->{stderr}, "failed to listen on one of interface(s) 127.0.0.1: $IN_USE\n", 'and is told');
socket(my $every, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
SKIP: {
    skip 'IPv6 would be served', 2 if $ipv6;
    bind $every, pack_sockaddr_in(0, INADDR_ANY) or die "bind: $!";
    my ($every_port) = unpack_sockaddr_in(getsockname $every);
    $run = TestServer->run('-p', '-1', '-U', $every_port);
    is($run->{status}, 71, 'without -l, too');
    is($run->{stderr}, "failed to listen on UDP port $every_port: $IN_USE\n", 'where the port is named');
}
close $taken;
$server = TestServer->start({ env => {} }, '-t', '1', '-l', '127.0.0.1', '-U', $number, '-p', '-1');
is($server->udp_port, $number, '-U takes the number');
$server->kill_now;
$server = TestServer->start('-t', '1', '-l', "127.0.0.1:$number", '-U', '-1');
is_deeply([ $server->port_lines ], [ "TCP INET: $number", "UDP INET: $number" ], 'the port of a piece of -l is for both');
$server->kill_now;
# TLS asks for a TCP port.
$server = TestServer->start({ tls => 0 }, '-t', '1', '-p', '0', '-U', '-1');
is_deeply(kinds($server), ['UDP INET'], '-p 0 leaves UDP alone');
$server->udp_client->answers("mn\r\n", ["MN\r\n"], 'which serves');
is($server->stop, 0, 'and ends');
SKIP: {
    skip 'no unix sockets', 1 unless TestServer::has_feature('unix');
    $server = TestServer->start({ unix => 1 }, '-t', '1', '-U', $number);
    ok(!(grep { /:UDP$/ } keys %{ $server->stats('conns') }), '-s opens no UDP socket');
    is($server->settings->{udpport}, $number, 'though it was asked for');
    $server->kill_now;
}
SKIP: {
    skip 'told later there', 1 if $ENV{MEMCACHED_SERVER} || TestServer::to_come('auth');
    $run = TestServer->run('-l', '127.0.0.1', '-p', '-1', '-U', '-1', '-Y', '/nonexistent');
    is($run->{status}, 64, 'UDP and -Y');
    is($run->{stderr}, "Cannot use UDP with ascii authentication enabled (-U 0 to disable)\n", 'do not go together');
}

# what the operator hears
$server = TestServer->start('-t', '2', '-U', '-1', '-vv');
ok($server->wait_stderr(qr/^<\d+ server listening \(udp\)\n.*^<\d+ server listening \(udp\)\n/ms), '-vv tells of each descriptor');
like($server->stderr_text, qr/^<\d+ send buffer was \d+, now \d+$/m, 'and of the send buffer');
$server->kill_now;

# the limit on clients counts descriptors of UDP, too
SKIP: {
    skip 'limits differ by what threads hold', 1 if TestServer::is_old() || $ENV{VALGRIND_TEST};
    $server = TestServer->start('-t', '2', '-U', '-1', '-c', 6 + 5 * 2 + 3 + 1 + 2);
    my @here = grep { $_ && ($_->ask('mn') // '') eq 'MN' } map { $server->try_client } 1 .. 4;
    is(scalar @here, 2, '-c serves fewer by the descriptors of UDP');
}

# never idle
SKIP: {
    skip 'the clock of this server cannot be moved', 1 unless TestServer::has_feature('debug');
    $server = TestServer->start('-t', '1', '-U', '-1', '-o', 'idle_timeout=2');
    my $idle = $server->client;
    is($idle->ask('mn'), 'MN', 'a connection');
    my $quiet = $server->udp_client;
    $quiet->goes_on('and UDP');
    ok($idle->closed(20), 'the connection is closed when it is idle');
    $quiet->goes_on('UDP is never');
}

done_testing;
