#!/usr/bin/perl
# Goal: a TLS client that reads slowly, or not at all, gets intact data in the end and holds up nobody.
# Method: several such clients on one worker, which share its write buffer, for sizes of that buffer from
# small to large; values are replaced and evicted meanwhile.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestWire;

sub text { my ($seed, $length) = @_; my $part = join ',', map { $_ * $seed % 999_983 } 1 .. 1000; return substr $part x ($length / 2000), 0, $length }

for my $kilobytes (1, 16, 100) {
    for my $version ('1.2', '1.3') {
        my $name = "ssl_wbuf_size=$kilobytes, TLS $version";
        my $server = TestServer->start({ tls => 1 }, '-t', '1', '-m', '32', '-o', "ssl_wbuf_size=$kilobytes");
        my $c = $server->client;
        my (@slow, @want);
        for my $i (0 .. 5) {
            my $value = text(1000 + $i, 700_000);
            $c->set("k$i", $value);
            $want[$i] = "VALUE k$i 0 700000\r\n$value\r\nEND\r\n" x 3;
            $slow[$i] = TestWire->connect($server->port, version => $version, small_window => 1);
            # Small reads, at another pace for each.
            $slow[$i]{chunk} = 1000 * (1 + $i * 5);
        }
        $slow[$_]->say("get k$_\r\nget k$_\r\nget k$_\r\n") for 0 .. 5;
        is($c->ask('mn'), 'MN', "$name: others are served");
        $c->set("k$_", text($_ + 7, 700_000)) for 0 .. 5;
        $c->set("fill$_", text($_, 500_000)) for 1 .. 60;
        $c->talk("delete k$_") for 0 .. 2;
        my @got = ('') x 6;
        for my $round (1 .. 100_000) {
            my $open = 0;
            for my $i (0 .. 5) {
                next if length $got[$i] >= length $want[$i];
                $open++;
                $slow[$i]->receive(0.05);
                $got[$i] .= substr $slow[$i]{text}, 0, length $slow[$i]{text}, '';
                last if $slow[$i]->ended;
            }
            last unless $open;
            if ($round % 50 == 0) { ($c->ask('mn') // '') eq 'MN' or last }
        }
        is(scalar(grep { $got[$_] ne $want[$_] } 0 .. 5), 0, "$name: six slow readers get what they asked for");
        $slow[$_]->say("mn\r\n") for 0 .. 5;
        is(join('', map { $_->take(4) } @slow), "MN\r\n" x 6, 'and go on');
        cmp_ok($server->stat('evictions'), '>', 0, 'under evictions');
        $server->kill_now;
    }
}

# a client that sends without reading
my $server = TestServer->start({ tls => 1 }, '-t', '1');
my $c = $server->client;
$c->set('k', 'v' x 1000);
my $greedy = $server->client;
my $reply = "VALUE k 0 1000\r\n" . 'v' x 1000 . "\r\nEND\r\n";
ok($greedy->send("get k\r\n" x 20_000), 'twenty thousand commands go out');
ok(($greedy->bytes(20_000 * length $reply, 30) // '') eq $reply x 20_000, 'and all answers come in');
# key updates of TLS 1.3 pass unseen
SKIP: {
    skip 'no key updates in this Net::SSLeay', 1 unless defined &Net::SSLeay::key_update;
    my $wire = TestWire->connect($server->port);
    for my $type (0, 1) {
        Net::SSLeay::key_update($wire->{ssl}, $type);
        $wire->say("mn\r\n");
        is($wire->take(4), "MN\r\n", "a key update of kind $type");
    }
}

done_testing;
