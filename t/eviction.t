#!/usr/bin/perl
# Goal: a full server makes room by giving up what was used least, and counts what it did.
# Method: values of one class beyond the memory limit; the numbers of a full server; keys that were read
# often against keys that were not.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

# Values of 10,000 bytes: class 22, 94 to a page.
my $value = 'v' x 10_000;

sub fill {
    my ($c, $from, $to) = @_;
    for (my $at = $from; $at <= $to; $at += 200) {
        my $last = $at + 199 > $to ? $to : $at + 199;
        my @keys = map { "k$_" } $at .. $last;
        my $reply = $c->talk([ map { ("set $_ 0 0 10000", $value) } @keys ]);
        return $reply if $reply ne "STORED\r\n" x @keys;
    }
    return 'all stored';
}

my $server = TestServer->start('-t', '1');
my $c = $server->client;
is(fill($c, 1, 7856), 'all stored', '7856 values of 10,000 bytes into 64 megabytes');
my $stats = $server->stats;
is($stats->{curr_items}, 6016, '6016 are kept: 64 pages of 94');
is($stats->{evictions}, 1840, 'the others were evicted');
is($stats->{evicted_unfetched}, 1840, 'without having been read');
is($stats->{total_items}, 7856, 'total_items counts all');
my $slabs = $server->stats('slabs');
is($slabs->{total_malloced}, 67_108_864, 'no page more than the limit');
is($slabs->{'22:total_pages'}, 64, 'all of one class');
is($slabs->{'22:used_chunks'}, 6016, 'all chunks are in use');
my $items = $server->stats('items');
is($items->{'items:22:number'}, 6016, 'stats items: number');
is($items->{'items:22:evicted'}, 1840, 'evicted');
is($items->{'items:22:evicted_nonzero'}, 0, 'none had an expiry');
is($items->{'items:22:outofmemory'}, 0, 'none was refused');
is($c->get('k1'), undef, 'the oldest is gone');
is(length $c->get('k7856'), 10_000, 'the newest is there');

# the first page of another class comes beyond the limit
$c->set('small', 'x' x 200);
is($server->stats('slabs')->{total_malloced}, 68_157_440, 'another class gets its first page all the same');

# keys that were read twice outlive a scan of others
$server = TestServer->start('-t', '1', '-m', '8');
$c = $server->client;
is(fill($c, 1, 700), 'all stored', 'a nearly full server of eight megabytes');
my @often = map { "k$_" } 1 .. 20;
my $others = 1000;
for my $round (1 .. 30) {
    # As many reads as it takes to be seen as active. What lay in the cold queue is moved by the maintainer's next
    # whole round, up to a second later; only then come new keys.
    $c->get($_) for @often;
    $c->get($_) for @often;
    my $juggles = $server->stat('lru_maintainer_juggles');
    $server->wait_stat('lru_maintainer_juggles', sub { $_[0] >= $juggles + 2 });
    fill($c, $others + 1, $others + 60);
    $others += 60;
}
my $kept = grep { defined $c->get($_) } @often;
is($kept, 20, 'keys that are read often stay');
cmp_ok($server->stat('evictions'), '>', 1000, 'while many others were evicted');
cmp_ok($server->stat('moves_to_warm') + $server->stat('moves_within_lru'), '>', 0, 'they moved in the LRU');

# the value is never wrong, whatever was evicted
my $wrong = 0;
$server = TestServer->start('-t', '2', '-m', '4', '-o', 'slab_chunk_max=128', '-I', '1m');
$c = $server->client;
srand 7;
my %length;
for (1 .. 4000) {
    my $key = 'e' . int rand 400;
    if (rand() < 0.5) {
        my $length = rand() < 0.05 ? int rand 400_000 : int rand 5000;
        $c->set($key, chr(97 + $length % 26) x $length);
        $length{$key} = $length;
    }
    else {
        my $got = $c->get($key) // next;
        $wrong++ if $got ne chr(97 + ($length{$key} // -1) % 26) x ($length{$key} // 0);
    }
}
is($wrong, 0, 'four thousand stores and reads in four megabytes: no wrong value');
cmp_ok($server->stat('evictions'), '>', 0, 'under evictions');

# without the maintainer the oldest goes first
$server = TestServer->start('-t', '1', '-m', '8', '-o', 'no_lru_maintainer');
$c = $server->client;
is(fill($c, 1, 1000), 'all stored', 'without the maintainer');
is($server->stat('curr_items'), 752, 'eight pages of 94');
is(join(' ', grep { defined $c->get("k$_") } 1 .. 248), '', 'the oldest are gone');
is(scalar(grep { defined $c->get("k$_") } 249 .. 1000), 752, 'the newest are there');

done_testing;
