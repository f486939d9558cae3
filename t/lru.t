#!/usr/bin/perl
# Goal: items travel through the segments of the LRU as the rules say.
# Method: segment counts of `stats items` and class counters after stores, reads and time passing.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $value = 'v' x 10_000;

# a full class settles at its percentages
my $server = TestServer->start('-t', '1');
my $c = $server->client;
$c->talk([ "set k$_ 0 0 10000", $value ]) for 1 .. 3000;
my $number = sub { $server->stats('items')->{"items:22:number_$_[0]"} };
ok($server->wait_stat('items:22:number_hot', sub { $_[0] <= 600 }, 10, 'items'), 'HOT gives all but its twenty per cent to COLD');
# The segments are counted one after the other, beside the maintainer.
ok(TestServer::wait_until(sub { $number->('hot') + $number->('warm') + $number->('cold') == 3000 }), 'every item is in one segment');
is($number->('warm'), 0, 'none was read, so WARM is empty');
my $stats = $server->stats;
cmp_ok($stats->{moves_to_cold}, '>=', 2400, 'moves_to_cold counts them');

# the second read of an item in COLD brings it to WARM
for (1, 2) { $c->talk("get k$_") for 1 .. 100 }
ok($server->wait_stat('items:22:number_warm', 100, 10, 'items'), 'a hundred items that were read twice go to WARM');
is($server->stat('moves_to_warm'), 100, 'moves_to_warm counts them');
cmp_ok($server->stats('items')->{'items:22:hits_to_cold'}, '>=', 100, 'hits_to_cold counts their reads');
$c->talk("get k$_") for 200 .. 300;
my $juggles = $server->stat('lru_maintainer_juggles');
ok($server->wait_stat('lru_maintainer_juggles', sub { $_[0] > $juggles + 2 }), 'some turns later');
is($number->('warm'), 100, 'one read moves nothing');
$c->talk("get k$_") for 1 .. 100;
ok($server->wait_stat('items:22:hits_to_warm', sub { $_[0] >= 100 }, 10, 'items'), 'hits_to_warm counts reads in WARM');

# by age
SKIP: {
    skip 'this is not a debug server', 2 unless TestServer::has_feature('debug');
    my $old = TestServer->start('-t', '1');
    my $o = $old->client;
    $old->freeze_clock;
    $o->set("a$_", 'x') for 1 .. 10;
    ok($old->wait_stat('items:1:number_cold', sub { $_[0] >= 8 }, 10, 'items'), 'most of ten small items go to COLD');
    $old->advance_clock(100);
    $o->set("b$_", 'x') for 1 .. 3;
    $old->advance_clock(200);
    ok($old->wait_stat('items:1:number_hot', 0, 10, 'items'), 'items in HOT that are old against those in COLD follow');
    my $items = $old->stats('items');
    is($items->{'items:1:age'}, 300, 'age is the idle time of the oldest');
}

# modes and shares
my $flat = TestServer->start('-t', '1', '-o', 'no_lru_maintainer');
my $f = $flat->client;
$f->set("k$_", 'x') for 1 .. 10;
my $items = $flat->stats('items');
is($items->{'items:1:number'}, 10, 'without the maintainer: ten items');
ok(!exists $items->{'items:1:number_hot'}, 'and no segments');
ok(!exists $flat->stats->{moves_to_cold}, 'nor counters of moves');
for my $row ([ 10, 20 ], [ 40, 40 ], [ 1, 1 ]) {
    my ($hot, $warm) = @$row;
    my $other = TestServer->start('-t', '1', '-o', "hot_lru_pct=$hot,warm_lru_pct=$warm");
    my $o = $other->client;
    # Where storing takes seconds, HOT would give up what is old.
    $other->freeze_clock if TestServer::has_feature('debug');
    $o->talk([ "set k$_ 0 0 10000", $value ]) for 1 .. 1000;
    ok($other->wait_stat('items:22:number_hot', sub { $_[0] <= 10 * $hot }, 10, 'items'), "hot_lru_pct=$hot");
    my $kept = $other->stats('items')->{'items:22:number_hot'};
    cmp_ok($kept, '>=', 10 * $hot - 3, 'is what HOT keeps');
}

# by command: from one mode to the other, under load, and shares that follow
{
    my $tuned = TestServer->start('-t', '2');
    my $t = $tuned->client;
    my $count = sub { $tuned->stats('items')->{"items:22:number_$_[0]"} };
    my $store = sub { $t->talk([ "set $_[0]$_ 0 0 10000", $value ]) for 1 .. $_[1] };
    $store->(k => 1000);
    ok($tuned->wait_stat('items:22:number_hot', sub { $_[0] <= 200 }, 10, 'items'), 'segmented: HOT has its share');
    $t->answers('lru tune 5 5 0.1 0.2', ['OK'], 'lru tune');
    is(join(' ', @{ $tuned->settings }{qw(hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor)}), '5 5 0.10 0.20', 'the settings show it');
    $t->answers_now('lru tune 41 40 1 1', ['ERROR hot and warm pcts must not exceed 80'], 'too much');
    $t->answers_now('lru tune 1 1 1 0', ['ERROR hot/warm age factors must be greater than 0'], 'too little');
    is($tuned->settings->{hot_lru_pct}, 5, 'a refusal changes nothing');
    ok($tuned->wait_stat('items:22:number_hot', sub { $_[0] <= 50 }, 10, 'items'), 'HOT follows');
    $t->answers('lru mode flat', ['OK'], 'lru mode flat');
    $store->(f => 300);
    ok($tuned->wait_stat('items:22:number_cold', 1300, 10, 'items'), 'all items end in COLD');
    is($count->('hot') + $count->('warm'), 0, 'HOT and WARM are empty');
    is($tuned->stat('curr_items'), 1300, 'nothing is lost');
    $t->answers('lru mode segmented', ['OK'], 'lru mode segmented');
    $store->(s => 10);
    ok($count->('hot') > 0, 'new items begin in HOT again');
    for (1, 2) { $t->talk("get k$_") for 1 .. 20 }
    ok($tuned->wait_stat('moves_to_warm', 20, 10), 'and what is read twice becomes warm');
    my @words = ('lru', 'lru t 1 1 1 1', 'lru mode', 'lru mode f', 'lru temp_ttl', 'lru temp_ttl x', 'lru tune 1 1 1');
    $t->answers_now($_, ['ERROR'], $_) for @words;
    $f->answers_now($_, ['ERROR'], "without the maintainer: $_") for 'lru mode flat', 'lru temp_ttl 5';
    $f->answers('lru tune 10 20 0.1 0.2', ['OK'], 'but shares can be set');
}

done_testing;
