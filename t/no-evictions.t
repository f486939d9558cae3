#!/usr/bin/perl
# Goal: with -M a full server refuses instead of evicting.
# Method: values of one class beyond the limit; what is refused, what stays, what still fits.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $value = 'v' x 10_000;
my $FULL = 'SERVER_ERROR out of memory storing object';

for my $row ([ [], 'with the maintainer' ], [ [ '-o', 'no_lru_maintainer' ], 'without the maintainer' ]) {
    my ($args, $name) = @$row;
    my $server = TestServer->start('-t', '1', '-m', '8', '-M', @$args);
    my $c = $server->client;
    my %count;
    for my $i (1 .. 1000) {
        $c->send("set k$i 0 0 10000\r\n$value\r\n");
        $count{ $c->line }++;
    }
    is_deeply(\%count, { STORED => 752, $FULL => 248 }, "$name: 752 values fit, 248 are refused");
    my $stats = $server->stats;
    is($stats->{curr_items}, 752, 'items');
    is($stats->{evictions}, 0, 'nothing was evicted');
    is($stats->{store_no_memory}, 248, 'store_no_memory counts the refusals');
    is($server->stats('items')->{'items:22:outofmemory'}, 248, 'so does outofmemory');
    ok($c->get('k1') eq $value && $c->get('k752') eq $value, 'what was stored stays');
    is($server->settings->{evictions}, 'off', 'the settings show it');

    # What a refusal does to an older value. Looks with u: others leave a reference behind for a while.
    my $there = sub { $c->ask("mg $_[0] u") eq 'HD' };
    $c->answers([ "$_ k2 0 0 10000", $value ], [$FULL], $_) for qw(add replace);
    ok($there->('k2'), 'leave the older value');
    $c->answers([ 'set k2 0 0 10000', $value ], [$FULL], 'set');
    ok(!$there->('k2'), 'leaves none');
    $c->answers([ 'set k2 0 0 10000', $value ], ['STORED'], 'whose place then is free');
    $c->answers([ 'ms k2 10000 MR', $value ], [$FULL], 'ms, in whichever mode');
    ok(!$there->('k2'), 'leaves none');
    $c->answers([ 'set k2 0 0 10000 noreply', $value ], [], 'noreply');
    ok($there->('k2'), 'stores');
    $c->answers([ 'set k3 0 0 10000 noreply', $value ], [], 'noreply when full');
    ok(!$there->('k3'), 'does the same silently');
    $c->answers([ 'set k3 0 0 10000', $value ], ['STORED'], 'and the place is free');

    # Another class gets its first page, and no second one.
    my $class_is_full = 0;
    for my $i (1 .. 20) {
        $c->send("set m$i 0 0 100000\r\n" . 'x' x 100_000 . "\r\n");
        my $line = $c->line;
        if ($line ne 'STORED') { is($line, $FULL, 'another class is full after one page'); $class_is_full = $i; last }
    }
    is($class_is_full, 11, 'a page holds ten of these');
    $c->answers([ 'append k4 0 0 5000', 'x' x 5000 ], ['STORED'], 'append into a class with room');
    $c->answers([ 'delete k5', 'set k5 0 0 10000', $value ], [ 'DELETED', 'STORED' ], 'delete makes room');
}

# values in several chunks run out of memory while they are read
my $server = TestServer->start('-t', '1', '-m', '8', '-M');
my $c = $server->client;
$c->talk([ "set k$_ 0 0 10000", $value ]) for 1 .. 752;
my $large = 'x' x 700_000;
my %count;
for my $i (1 .. 5) {
    $c->send("set large$i 0 0 700000\r\n$large\r\nmn\r\n");
    $count{ $c->line }++;
    is($c->line, 'MN', 'the rest of the value is thrown away');
}
is_deeply(\%count, { STORED => 2, 'SERVER_ERROR Out of memory during read' => 3 }, 'two large values fit, three do not');
my ($stored) = grep { defined $c->get("large$_") } 1 .. 5;
$c->answers(\"set large$stored 0 0 700000\r\n${large}\r\n", ['SERVER_ERROR Out of memory during read'], 'replacing one');
ok($c->get("large$stored") eq $large, 'leaves the older value');

done_testing;
