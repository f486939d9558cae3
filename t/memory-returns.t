#!/usr/bin/perl
# Goal: memory falls as far as cache_memlimit asks, also when it is full of items, and may be taken again.
# Method: values of three sizes, one of them in chunks, fill 256 megabytes; the limit falls step by step while a client reads
# on; what the server says it holds and what the system says are both looked at, and every value that is still there.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('keeps the pages of a full server');

my $MB = 1_048_576;
# Classes may have their first page beyond the limit: those of the three sizes, and that of the last chunks of large values.
my $CLASSES = 4;
# Pages of the hash table, buffers and stacks that were touched on the way.
my $BESIDES = 6;

my @sizes = (900, 10_000, 700_000);
my @counts = (60_000, 9_000, 200);

sub key { my ($kind, $number) = @_; return "k$kind-$number" }

sub value {
    my ($kind, $number) = @_;
    my $stamp = key($kind, $number) . ':';
    return $stamp . 'v' x ($sizes[$kind] - length $stamp);
}

sub fill {
    my ($c) = @_;
    for my $kind (0 .. $#sizes) {
        my $at_once = int(500_000 / $sizes[$kind]) + 1;
        for (my $from = 0; $from < $counts[$kind]; $from += $at_once) {
            my $to = $from + $at_once - 1;
            $to = $counts[$kind] - 1 if $to >= $counts[$kind];
            $c->send(join '', map {
                my $value = value($kind, $_);
                'set ' . key($kind, $_) . ' 0 0 ' . length($value) . " noreply\r\n$value\r\n"
            } $from .. $to);
            # Its answer stands behind them all.
            $c->ask('mn');
        }
    }
}

# Of some keys of each size: how many are there. A value that is there must be the one that was stored.
sub found {
    my ($c) = @_;
    my $found = 0;
    for my $kind (0 .. $#sizes) {
        for (1 .. ($kind == 2 ? 4 : 20)) {
            my $number = int rand $counts[$kind];
            my $value = $c->get(key($kind, $number)) // next;
            $found++;
            next if $value eq value($kind, $number);
            fail("the value of " . key($kind, $number));
        }
    }
    return $found;
}

my $server = TestServer->start('-t', '2', '-m', '256');
my $c = $server->client;
my $reader = $server->client;
my $malloced = sub { $server->stat('total_malloced', 'slabs') / $MB };
my $resident = sub { $server->resident / 1024 };
my $fresh = $resident->();

# Reads on until the memory has fallen; true when it has.
sub falls_to {
    my ($megabytes, $name) = @_;
    my $limit = $megabytes + $CLASSES;
    my $fell = TestServer::wait_until(sub { found($reader); $malloced->() <= $limit }, 60);
    ok($fell, "$name: total_malloced") or diag($malloced->() . " MB are not given back");
    SKIP: {
        skip 'valgrind keeps memory of its own', 1 if $ENV{VALGRIND_TEST};
        my $gone = TestServer::wait_until(sub { $resident->() <= $fresh + $limit + $BESIDES }, 20);
        ok($gone, "$name: resident memory") or diag($resident->() . " MB, $fresh when fresh");
    }
}

sub grows {
    my ($name) = @_;
    fill($c);
    cmp_ok($malloced->(), '>', 240, "$name: total_malloced");
    cmp_ok($resident->(), '>', 200, "$name: resident memory");
    cmp_ok(found($reader), '>', 20, "$name: values are there");
}

grows('filled');
my $items = $server->stat('curr_items');
for my $limit (128, 64, 8) {
    $c->answers("cache_memlimit $limit", 'OK', "cache_memlimit $limit");
    falls_to($limit, "a limit of $limit");
    my $left = $server->stat('curr_items');
    cmp_ok($left, '<', $items, 'items had to go');
    cmp_ok($left, '>', 0, 'but not all of them');
    $items = $left;
}
is($server->stat('limit_maxbytes'), 8 * $MB, 'the limit is what was asked for');
$c->answers('cache_memlimit 7', 'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m', 'less cannot be had');

$c->answers('cache_memlimit 256', 'OK', 'cache_memlimit 256');
grows('filled again');

# Items that are flushed are nobody's: their memory returns without anybody's asking for them.
$c->answers('flush_all', 'OK', 'flush_all');
$c->answers('cache_memlimit 8', 'OK', 'cache_memlimit 8 after it');
falls_to(8, 'a limit of 8 for nothing');
is(found($reader), 0, 'nothing is there any more');

$c->answers('cache_memlimit 256', 'OK', 'cache_memlimit 256 once more');
grows('filled once more');
$c->answers('cache_memlimit 64', 'OK', 'a limit that falls');
fill($c);
falls_to(64, 'while values are stored');
cmp_ok(found($reader), '>', 0, 'and some of them are there');

done_testing;
