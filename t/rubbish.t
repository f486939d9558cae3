#!/usr/bin/perl
# Goal: whatever connections send, or do not send, they leave nothing behind.
# Method: thousands of connections with garbage, halves of commands, nothing, and sudden ends; then
# connections, items, buffers and memory are as before, and the server serves.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '2');
my $c = $server->admin;
$c->set('k', 'value');
srand 20;

sub garbage { return join '', map { chr int rand 256 } 1 .. 1 + int rand $_[0] }

# Binary commands that leave nothing, and numbers of none.
my @read = (0x00, 0x04, 0x07, 0x09 .. 0x0d, 0x10, 0x14, 0x17, 0x1b .. 0x40);
my @kinds = (
    sub { '' },
    sub { garbage(20) },
    sub { garbage(3000) },
    sub { "\x80" . garbage(60) },
    sub { join '', map { pack 'CCnCCnNNQ>', 0x80, $read[rand @read], rand 5, rand(3) < 1 ? 8 : 0, 0, 0, rand 50, $_, 0 } 1 .. 1 + int rand 30 },
    sub { pack('CCnCCnNNQ>', 0x80, 1, 1, 8, 0, 0, 1_000_009, 0, 0) . "\0" x 8 . 'r' . 'x' x int rand 50_000 },
    sub { pack('CCnCCnNNQ>', 0x80, 0x11, 1, 8, 0, 0, 2_000_009, 0, 0) . "\0" x 8 . 'r' . 'x' x int rand 50_000 },
    sub { garbage(50) . "\r\n" . garbage(50) . "\n" },
    sub { 'x' x (2000 + int rand 100) },
    sub { 'get ' . garbage(300) },
    sub { "set r 0 0 100\r\n" . 'x' x int rand 102 },
    sub { "set r 0 0 1000000\r\n" . 'x' x int rand 50_000 },
    sub { "set r 0 0 2000000\r\n" . 'x' x int rand 50_000 },
    sub { "set r 0 0 -1\r\nset r 0 0\r\nset r\r\n" },
    sub { 'ms r 10 ' . join(' ', map { chr 33 + int rand 94 } 1 .. int rand 30) . "\r\n0123456789" },
    sub { "mg k v\r\nmg k " . garbage(40) . "\r\nm" },
    sub { "get k\r\n" x (1 + int rand 500) },
    sub { "GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
    sub { "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . garbage(200) },
    sub { "incr k 1\r\ngat 0 k\r\nappend k 0 0 " . (int rand 1000) . "\r\nabc" },
    sub { "quit\r\n" . garbage(100) },
);

sub round {
    my ($n) = @_;
    for my $i (1 .. $n) {
        my $client = $server->try_client(tls => $server->{tls} && $i % 4 ? 1 : 0) or next;
        $client->send($kinds[ $i % @kinds ]->(), 5);
        $client->fill(0) if $i % 3 == 0;
        $i % 5 ? $client->close : $client->abort;
    }
}

# Whether resident memory comes down to at most so many KiB above what it was: what conns have freed may stay with the
# process until the next tick of the clock.
sub returns {
    my ($before, $allowed) = @_;
    my $grown;
    my $met = TestServer::wait_until(sub { $grown = $server->resident - $before; $grown < $allowed }, 20);
    diag("$grown KiB more than before") unless $met;
    return $met;
}

round(1000);
ok($server->wait_stat('curr_connections', 1, 20), 'the first thousand leaves no connection behind');
$c->talk('delete r');
my $before = $server->stats;
my $memory = $server->resident;
round($server->{tls} ? 1500 : 4000);
ok($server->wait_stat('curr_connections', 1, 20), 'thousands leave no connection behind');
$c->talk('delete r');
my $after = $server->stats;
is($after->{curr_items}, $before->{curr_items}, 'nor an item');
cmp_ok($after->{read_buf_bytes_free} - $after->{read_buf_bytes}, '==', $before->{read_buf_bytes_free} - $before->{read_buf_bytes}, 'nor a buffer');
is($after->{response_obj_count}, 1, 'nor a response');
my $chunks = sub { my $slabs = $server->stats('slabs'); my $n = 0; $n += $slabs->{$_} for grep { /used_chunks/ } keys %$slabs; $n };
is($chunks->(), $after->{curr_items}, 'nor a chunk of memory');
SKIP: {
    skip 'no /proc, or valgrind', 1 if !$memory || $ENV{VALGRIND_TEST};
    ok(returns($memory, 3000), 'nor any memory');
}
ok(defined $c->get('k'), 'the server serves');

# many that stay, and say nothing or half of something
$memory = $server->resident;
my @halves = map { my $client = $server->client; $client->send('get half'); $client } 1 .. 800;
ok($server->wait_stat('read_buf_bytes', sub { $_[0] > 780 * 16384 }, 20), 'eight hundred halves are held in eight hundred buffers');
$_->close for @halves;
ok($server->wait_stat('curr_connections', 1, 20), 'all of them are let go');
cmp_ok($server->stats->{read_buf_bytes}, '<=', 2 * 64 * 16384, 'and their buffers but for 64 a worker');
SKIP: {
    skip 'no /proc, or valgrind', 1 if !$memory || $ENV{VALGRIND_TEST};
    # Eight hundred buffers take 13 MiB, of which 128 stay, 2 MiB; sessions of TLS take 24 MiB. What lives on among them
    # keeps some of their pages: 1.4 to 4.8 MiB were seen without TLS.
    ok(returns($memory, $server->{tls} ? 9000 : 6500), 'so their memory returns to the system');
}
my @silent = map { my $client = $server->client; $client->send($kinds[ $_ % 6 ]->() =~ s/[\r\n]//gr) if $_ % 2; $client } 1 .. 200;
is($server->client->ask('mn'), 'MN', 'among two hundred half commands a new client is served');
$_->close for @silent;
ok($server->wait_stat('curr_connections', 1, 20), 'and all of them are let go');

done_testing;
