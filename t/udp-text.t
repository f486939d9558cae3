#!/usr/bin/perl
# Goal: commands in datagrams are answered in datagrams, each answer a message of its own with the number of the request.
# Method: text requests and their messages, byte for byte; the frame's fields one by one; values around a datagram's size;
# statistics in several datagrams; two clients.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use TestServer;
use TestUdp;

my $server = TestServer->start('-t', '1', '-U', '-1');
my $udp = $server->udp_client;
$udp->answers("set a 5 0 5\r\nvalue\r\n", ["STORED\r\n"], 'a value is stored');
$udp->answers("get a\r\n", ["VALUE a 5 5\r\nvalue\r\nEND\r\n"], 'and comes back');
is($server->client->get('a'), 'value', 'TCP shows the same items');
$udp->answers("mg a v f\r\n", ["VA 5 f5\r\nvalue\r\n"], 'meta commands');
$udp->answers("bogus\r\n", ["ERROR\r\n"], 'an error');

# several commands, several keys
$udp->answers("get a\r\nget b\r\nmn\r\n", [ "VALUE a 5 5\r\nvalue\r\nEND\r\n", "END\r\n", "MN\r\n" ], 'a message for each command');
SKIP: {
    skip 'a message for each value before 1.6.45, too', 1 if $ENV{MEMCACHED_SERVER};
    $udp->answers("get a b a\r\n", ["VALUE a 5 5\r\nvalue\r\n" x 2 . "END\r\n"], 'one message for all keys');
}

# the frame
for my $id (0, 1, 255, 256, 0x8000, 0xffff) {
    $udp->send($id, "mn\r\n");
    is_deeply([ $udp->datagram ], [ $id, 0, 1, "MN\r\n" ], "the number $id comes back");
}
$udp->send_raw(TestUdp::frame(7, sequence => 3, reserved => 0xffff) . "mn\r\n");
is_deeply([ $udp->datagram ], [ 7, 0, 1, "MN\r\n" ], 'sequence and reserved of a request are ignored');
for my $total (0, 2, 255, 256, 257, 0xffff) {
    $udp->send_raw(TestUdp::frame(7, total => $total) . "mn\r\n");
    $udp->goes_on("a request of $total datagrams is ignored");
}
for my $short ('', 'a', 'abcdefg', TestUdp::frame(7)) {
    $udp->send_raw($short);
    $udp->goes_on(length($short) . ' bytes are ignored');
}
$udp->answers("get a\nget a\n", [ ("VALUE a 5 5\r\nvalue\r\nEND\r\n") x 2 ], 'a bare line feed ends a line, too');

# no answer
$udp->send(1, "set quiet 0 0 1 noreply\r\nq\r\n");
$udp->send(2, "mg none v q\r\n");
SKIP: {
    skip 'an empty datagram there', 1 if $ENV{MEMCACHED_SERVER};
    $udp->send(3, "quit\r\nmn\r\n");
}
$udp->answers("get quiet\r\n", ["VALUE quiet 0 1\r\nq\r\nEND\r\n"], 'silent commands act and are silent, quit ends its datagram');

# long answers
for my $payload (1391, 1392, 1393, 2784, 2785, 20_000) {
    my $about = length("VALUE large 0 $payload\r\n\r\nEND\r\n");
    my $len = $payload - $about;
    my $value = join '', map { chr(97 + $_ % 26) } 1 .. $len;
    my $client = $server->client;
    $client->set('large', $value);
    my $answer = "VALUE large 0 $len\r\n$value\r\nEND\r\n";
    $udp->send(9, "get large\r\n");
    my $datagrams = POSIX::ceil(length($answer) / 1392);
    my ($whole, @totals) = '';
    for my $sequence (0 .. $datagrams - 1) {
        my ($id, $at, $total, $part) = $udp->datagram;
        is("$id $at", "9 $sequence", "datagram $sequence") if $id != 9 || $at != $sequence;
        push @totals, $total;
        $whole .= $part;
    }
    is_deeply(\@totals, [ ($datagrams) x $datagrams ], "$payload bytes are $datagrams datagrams");
    TestClient::same_bytes($whole, $answer, 'and whole');
    $udp->goes_on('nothing follows');
}
my $large = 'q' x 60_000;
$udp->answers("set lr 0 0 60000\r\n$large\r\n", ["STORED\r\n"], 'a request of 60,000 bytes');
$udp->answers("get lr\r\n", ["VALUE lr 0 60000\r\n$large\r\nEND\r\n"], 'comes back');
my $most = 65_507 - 8 - length("set lr 0 0 65476\r\n\r\n");
$udp->answers("set lr 0 0 $most\r\n" . 'm' x $most . "\r\n", ["STORED\r\n"], 'a request as large as a datagram can be');
SKIP: {
    skip 'a message for each value', 1 if $ENV{MEMCACHED_SERVER};
    $udp->send(10, "get" . ' none' x 12_000 . ' a' . "\r\n");
    is($udp->message(10), "VALUE a 5 5\r\nvalue\r\nEND\r\n", 'a line of 12,000 keys');
}

# statistics
like(scalar($udp->ask("stats\r\n")), qr/\ASTAT pid \d+\r\n.*^STAT curr_items \d+\r\n.*END\r\n\z/ms, 'stats are one message');
like(scalar($udp->ask("stats settings\r\n")), qr/^STAT udpport -1\r\n/m, 'stats settings');
my $before = $server->stats;
$udp->send_raw(TestUdp::frame(1));
$udp->send_raw(TestUdp::frame(1, total => 2) . 'x');
$udp->goes_on('a request to count');
my $after = $server->stats;
is($after->{bytes_read} - $before->{bytes_read}, length("stats\r\n") + 9 + 12, 'bytes_read counts headers, and ignored requests, but not those of 8 bytes');

# two clients
my $other = $server->udp_client;
$udp->send(1, "get a\r\n");
$other->send(1, "get quiet\r\n");
is($other->message(1), "VALUE quiet 0 1\r\nq\r\nEND\r\n", 'an answer goes to the client that asked');
is($udp->message(1), "VALUE a 5 5\r\nvalue\r\nEND\r\n", 'and the other one to the other');
ok($udp->silent && $other->silent, 'nothing else comes');

done_testing;
