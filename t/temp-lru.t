#!/usr/bin/perl
# Goal: with temporary_ttl, short-lived items stay in a segment of their own, from which nothing is evicted.
# Method: segment counts by time to live; a full server; the clock for their end.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1', '-m', '8', '-o', 'temporary_ttl=30');
my $c = $server->client;
# Where storing takes seconds, short lives would end meanwhile.
$server->freeze_clock if TestServer::has_feature('debug');
my $value = 'v' x 10_000;
my $number = sub { $server->stats('items')->{"items:22:number_$_[0]"} // 0 };

$c->talk([ "set t$_ 0 30 10000", $value ]) for 1 .. 50;
$c->talk([ "set s$_ 0 25 10000", $value ]) for 1 .. 10;
$c->talk([ "set o$_ 0 31 10000", $value ]) for 1 .. 20;
$c->talk([ "set n$_ 0 0 10000", $value ]) for 1 .. 20;
is($number->('temp'), 60, 'thirty seconds or less: TEMP');
# An item on its way from one queue to another stands in neither.
ok(TestServer::wait_until(sub { $number->('hot') + $number->('warm') + $number->('cold') == 40 }), 'more, or for ever: elsewhere');
$c->talk("get t$_") for (1 .. 10) x 3;
my $juggles = $server->stat('lru_maintainer_juggles');
$server->wait_stat('lru_maintainer_juggles', sub { $_[0] > $juggles + 2 });
is($number->('temp'), 60, 'reading moves nothing out of TEMP');
is($server->stats('items')->{'items:22:hits_to_temp'}, 30, 'hits_to_temp counts the reads');

# others are evicted, these are not
$c->talk([ "set f$_ 0 0 10000", $value ]) for 1 .. 1500;
is($number->('temp'), 60, 'a full server evicts none of them');
cmp_ok($server->stat('evictions'), '>', 700, 'but many others');
ok(defined $c->get('t1') && defined $c->get('t50'), 'they are there');

$c->talk([ 'set t1 0 0 1', 'x' ]);
is($number->('temp'), 59, 'a store with another time to live moves the key');
$c->talk('delete t2');
is($number->('temp'), 58, 'delete takes it out');

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    $server->advance_clock(40);
    ok($server->wait_stat('items:22:number_temp', sub { !$_[0] }, 10, 'items'), 'when their time is over they are taken out in the background');
}

# by command
{
    my $tuned = TestServer->start('-t', '1');
    my $t = $tuned->client;
    my $temp = sub { $tuned->stats('items')->{'items:1:number_temp'} };
    $t->answers('lru temp_ttl 20', ['OK'], 'lru temp_ttl 20');
    $t->set("t$_", 'x', ttl => 20) for 1 .. 5;
    $t->set('o', 'x', ttl => 21);
    is($temp->(), 5, 'twenty seconds or less: TEMP');
    $t->answers('lru temp_ttl -1', ['OK'], 'lru temp_ttl -1');
    is(join(' ', @{ $tuned->settings }{qw(temp_lru temporary_ttl)}), 'no 20', 'is off and keeps the number');
    $t->set('n', 'x', ttl => 5);
    is($temp->(), undef, 'there is no such line then');
    ok(defined $t->get('t1'), 'what was there still is');
    $t->answers('lru temp_ttl 0', ['OK'], 'lru temp_ttl 0');
    is($temp->(), 5, 'an item stored meanwhile is not in TEMP');
}

# off by default
my $plain = TestServer->start('-t', '1');
my $p = $plain->client;
$p->set('t', 'x', ttl => 5);
ok(!exists $plain->stats('items')->{'items:1:number_temp'}, 'without the option there is no TEMP');

done_testing;
