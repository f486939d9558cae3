#!/usr/bin/perl
# Goal: nothing that one datagram says is taken for another's, whoever sends it, and nothing takes the socket away.
# Method: requests that are cut anywhere, values that are not all there or refused, commands that would take a connection over
# or close it, rubbish, clients that have gone; behind each, another client is served and nothing was stored. Among them
# CVE-2022-48571 (a value spread over datagrams) and CVE-2018-1000115 (a UDP port that nobody asked for).

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use Socket qw(:all);
use TestServer;
use TestUdp;

TestServer::need_new('takes values from the datagrams of others');

# CVE-2018-1000115: without -U no socket is there. Whoever can bind the port knows.
my $server = TestServer->start('-t', '2');
is($server->udp_port, undef, 'without -U the port file names no UDP port');
socket(my $probe, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
ok(bind($probe, pack_sockaddr_in($server->port, inet_aton('127.0.0.1'))), 'and nobody has it');
is($server->settings->{udpport}, 0, 'stats settings say so, too');
ok(!(grep { /:UDP$/ } keys %{ $server->stats('conns') }), 'and stats conns');

$server = TestServer->start('-t', '1', '-U', '-1', '-I', '256k', '-o', 'slab_chunk_max=64');
my ($udp, $other) = map { $server->udp_client } 1 .. 2;
my $cut = "CLIENT_ERROR bad data chunk\r\n";

# CVE-2022-48571, and its kin: total 2, and total 1 with the value missing or in part
$udp->send_raw(TestUdp::frame(1, total => 2) . "set part 0 0 30\r\n" . 'x' x 10);
$udp->send_raw(TestUdp::frame(1, sequence => 1, total => 2) . 'x' x 20 . "\r\n");
$other->goes_on('a request in two datagrams is ignored, both of them');
for my $part ('', 'x', 'x' x 29, 'x' x 30, 'x' x 30 . "\r", "get part\r\n") {
    for my $line ('set part 0 0 30', 'add part 0 0 30', 'ms part 30', 'ms part 30 I') {
        $udp->answers("$line\r\n$part", [$cut], "$line with " . length($part) . ' bytes of its value');
        $other->answers("get part\r\n", ["END\r\n"], 'is not stored, and another client is served');
    }
    $udp->send(1, "set part 0 0 30 noreply\r\n$part");
    $other->answers("get part\r\n", ["END\r\n"], 'a silent one is dropped in silence');
}
$udp->answers("set part 0 0 200000\r\n" . 'x' x 60_000, [$cut], 'so is a value of many chunks');
$udp->answers("append part 0 0 5\r\nab", [$cut], 'and append');
$other->answers("get part\r\n", ["END\r\n"], 'nothing is there');
is($server->stat('curr_items'), 0, 'no item is');
my $slabs = $server->stats('slabs');
is_deeply([ grep { $_ } map { /:used_chunks$/ ? $slabs->{$_} : () } keys %$slabs ], [], 'and no chunk is in use');

# refused values
my $too_large = "SERVER_ERROR object too large for cache\r\n";
for my $len (0, 1, 1000, 60_000) {
    $udp->answers("set big 0 0 300000\r\n" . 'x' x $len, [$too_large], "a value too large, $len bytes of it there");
    $other->goes_on('is skipped within its datagram');
}
my $bad_line = "CLIENT_ERROR bad command line format\r\n";
$udp->answers("set big 0 0 -1\r\n", [$bad_line], 'a bad length');
$udp->answers("set k 0 0 3\r\nabcde\r\nmn\r\n", [ $cut, $bad_line, "MN\r\n" ], 'a value longer than it said');

# cut lines: nothing, and nothing is kept
for my $piece ('g', 'get', 'get a', "get a\r", 'x' x 2048, 'x' x 2049, 'x' x 60_000, 'get ' . 'k ' x 20_000) {
    $udp->send(1, $piece);
    $other->goes_on(length($piece) . ' bytes without the end of a line');
}

# what takes a connection over, what closes one
for my $line ('watch fetchers', 'watch', 'lru_crawler metadump all', 'lru_crawler mgdump all', 'lru_crawler metadump hash') {
    like(scalar($udp->ask("$line\r\n")), qr/\A(?:CLIENT_)?ERROR.*\r\n\z/, "$line is refused");
    $other->goes_on('the socket stays') for 1 .. 2;
}
for my $line ("quit\r\nmn\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 'x' x 3000 . "\r\n" x 2 . 'get') {
    $udp->send(1, $line);
    $other->goes_on('what would close a connection ends its datagram');
    1 while defined $udp->raw(0.02);
}

# rubbish
srand 4711;
for (1 .. 10) {
    # No more at a time than the kernel keeps for the server.
    for (1 .. 30) {
        my $bytes = join '', map { chr int rand 256 } 1 .. int rand 60;
        $udp->send_raw($bytes);
        $udp->send_raw(TestUdp::frame(int rand 65_536) . $bytes);
    }
    $other->goes_on('rubbish changes nothing');
}

# a client that does not wait
$other->answers("set a 0 0 50000\r\n" . 'a' x 50_000 . "\r\n", ["STORED\r\n"], 'a large value');
for (1 .. 30) {
    my $gone = $server->udp_client;
    $gone->send(1, "get a\r\n");
    close $gone->socket;
}
$other->goes_on('clients that have gone keep nobody waiting');
is($server->stats->{response_obj_count} // 1, 1, 'and no output buffer but the asking one');
is($server->stop('USR1'), 0, 'the server ends in order');

done_testing;
