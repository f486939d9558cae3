#!/usr/bin/perl
# Goal: cache_memlimit changes how much memory items may take, at once, and says why when it cannot.
# Method: every reply; both places that show the limit; items stored before and after it was moved.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1', '-m', '16', '-M');
my $c = $server->client;

for my $row (
    [ '',             'ERROR' ],
    [ ' x',           'ERROR' ],
    [ ' -8',          'ERROR' ],
    [ ' 8.5',         'ERROR' ],
    [ ' 4294967296',  'ERROR' ],
    [ ' 0',           'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m' ],
    [ ' 7',           'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m' ],
    [ ' 1000000001',  'MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes' ],
    [ ' 4294967295',  'MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes' ],
    [ ' 7 noreply',   [] ],
    [ ' noreply',     [] ],
) {
    $c->answers("cache_memlimit$row->[0]", $row->[1], "cache_memlimit$row->[0]");
}
sub limit_is {
    my ($megabytes, $name) = @_;
    is($server->stat('limit_maxbytes'), $megabytes * 1_048_576, "$name: limit_maxbytes");
    is($server->settings->{maxbytes}, $megabytes * 1_048_576, "$name: maxbytes");
}
limit_is(16, 'what was refused has changed nothing');
for my $row ([ '8', 'OK', 8 ], [ '1000000000', 'OK', 1_000_000_000 ], [ '9 noreply', [], 9 ], [ '10 and more', 'OK', 10 ]) {
    my ($argument, $reply, $megabytes) = @$row;
    $c->answers("cache_memlimit $argument", $reply, "cache_memlimit $argument");
    limit_is($megabytes, "cache_memlimit $argument");
}

# how many items find room
my $value = 'v' x 10_000;
my $next = 0;
sub fill {
    my $stored = 0;
    while (1) {
        $c->send("set k$next 0 0 10000\r\n$value\r\n");
        return $stored unless $c->line eq 'STORED';
        $stored++;
        $next++;
    }
}
my $memory = sub { $server->stat('total_malloced', 'slabs') };
$c->ask('cache_memlimit 8');
cmp_ok(fill(), '>', 500, 'eight megabytes are filled');
my $full = $memory->();
cmp_ok($full, '<=', 9 * 1_048_576, 'and a page for a class at the most');
is(fill(), 0, 'full is full');
$c->ask('cache_memlimit 12');
cmp_ok(fill(), '>', 300, 'four megabytes more take hundreds of items');
is($memory->() - $full, 4 * 1_048_576, 'in four pages');
$c->ask('cache_memlimit 8');
is($memory->(), $full + 4 * 1_048_576, 'pages that hold items stay when the limit falls');
is($server->stat('curr_items'), $next, 'and so do the items');
$c->ask('delete k0');
is(fill(), 1, 'free chunks are used on');
is(fill(), 0, 'but no class grows');

# what cannot be had once the limit is reached is counted, whichever command asks
my $before = $server->stats;
$c->answers([ 'append k5 0 0 1', 'x' ], 'NOT_STORED', 'an append finds no memory');
$c->answers([ 'prepend k5 0 0 1', 'x' ], 'NOT_STORED', 'nor a prepend');
$c->answers([ 'ms k5 1 MA', 'x' ], 'NS', 'nor ms in its append mode');
my $after = $server->stats;
SKIP: {
    skip 'not counted before 1.6.45', 1 if TestServer::is_old();
    is($after->{store_no_memory} - $before->{store_no_memory}, 3, 'store_no_memory counts them');
}
ok($c->get('k5') eq $value, 'the old value is kept');

# Tests of what happens near a limit can begin there: bytes that count as allocated before anything is.
SKIP: {
    skip 'only the debug server looks at T_MEMD_INITIAL_MALLOC', 7 if !TestServer::has_feature('debug');
    my $page = 1_048_576;
    for my $row ([ 6 * $page, 2, 'six of eight megabytes' ], [ 2**32, 1, 'four gigabytes' ], [ '6x', 8, 'no number' ]) {
        my ($preset, $pages, $name) = @$row;
        $server = TestServer->start({ env => { T_MEMD_INITIAL_MALLOC => $preset } }, '-t', '1', '-m', '8', '-M');
        $c = $server->client;
        my $before = $preset =~ /^\d+$/ ? $preset : 0;
        is($memory->(), $before, "$name: allocated from the start");
        $next = 0;
        is(fill(), $pages * 94, "$name: $pages more pages of 94 items");
        next if !$before;
        is($memory->(), $before + $pages * $page, "$name: they come on top");
    }
}

done_testing;
