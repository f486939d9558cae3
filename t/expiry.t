#!/usr/bin/perl
# Goal: items vanish in the second their time is reached, not before and not after.
# Method: the debug server's clock is stopped and moved by hand over each border.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_debug();
my $server = TestServer->start;
my $c = $server->client;
$server->freeze_clock;

for my $store ([ 'set k 0 3 1', 'v' ], [ 'ms k 1 T3', 'v' ]) {
    $c->talk($store);
    $server->advance_clock(2);
    $c->answers('get k', [ 'VALUE k 0 1', 'v', 'END' ], "$store->[0]: after two seconds");
    is($c->ask('mg k t'), 'HD t1', 'one second left');
    $server->advance_clock(1);
    $c->answers('get k', ['END'], "$store->[0]: gone after three");
}

# relative and absolute times
my $now = $server->stat('time');
for my $row (
    [ 0, 't-1', 'never' ],
    [ 1, 't1', 'one second' ],
    [ 2_592_000, 't2592000', 'thirty days are relative' ],
    [ $now + 2, 't2', 'an absolute time' ],
    [ $now + 2_592_001, 't2592001', 'an absolute time far ahead' ],
    [ 2_147_483_647, 't' . (2_147_483_647 - $now), 'the largest time' ],
) {
    my ($exptime, $left, $what) = @$row;
    $c->talk([ "set k 0 $exptime 1", 'v' ]);
    is($c->ask('mg k t'), "HD $left", "set: $what");
    $c->talk([ "ms k 1 T$exptime", 'v' ]);
    is($c->ask('mg k t'), "HD $left", "ms: $what");
    $c->set('k', 'v');
    $c->talk("touch k $exptime");
    is($c->ask('mg k t'), "HD $left", "touch: $what");
    $c->set('k', 'v');
    $c->talk("gat $exptime k");
    is($c->ask('mg k t'), "HD $left", "gat: $what");
    $c->set('k', 'v');
    is($c->ask("mg k T$exptime t"), "HD $left", "mg T: $what");
}
for my $exptime (-1, -2_147_483_648, 2_592_001, $now - 100_000, $now - 1_000_000) {
    $c->answers([ "set k 0 $exptime 1", 'v' ], ['STORED'], "set with $exptime says STORED");
    $c->answers('get k', ['END'], 'and the item has expired');
    $c->answers([ "ms k 1 T$exptime", 'v' ], ['HD'], "ms with $exptime says HD");
    $c->answers('mg k v', ['EN'], 'and the item has expired');
    $c->set('k', 'v');
    $c->answers("touch k $exptime", ['TOUCHED'], "touch with $exptime");
    $c->answers('get k', ['END'], 'and the item has expired');
}

# beyond 32 bits the low ones count in the storage commands, with their sign; the other commands refuse
for my $row (
    [ 2_147_483_648, 'EN', 'negative, so expired' ],
    [ 4_294_967_295, 'EN', 'minus one' ],
    [ 4_294_967_396, 'HD t100', 'a hundred seconds' ],
    [ -4_294_967_296, 'HD t-1', 'zero, so never' ],
    [ -2_147_483_649, 'HD t' . (2_147_483_647 - $server->stat('time')), 'the largest time' ],
) {
    my ($exptime, $answer, $what) = @$row;
    for my $command (qw(set add replace)) {
        $command eq 'replace' ? $c->set('k', 'v') : $c->talk('delete k');
        $c->answers([ "$command k 0 $exptime 1", 'v' ], ['STORED'], "$command with $exptime");
        is($c->ask('mg k t'), $answer, "$command: $what");
    }
    next if TestServer::is_old();
    $c->set('k', 'v');
    $c->answers($_, ['CLIENT_ERROR invalid exptime argument'], $_) for "touch k $exptime", "gat $exptime k", "flush_all $exptime";
    $c->answers("$_$exptime", ['CLIENT_ERROR bad token in command line format'], "$_$exptime") for 'mg k T', 'mg k N', 'md k T';
    is($c->ask('mg k t'), 'HD t-1', 'and nothing has changed');
}

# absolute times pass, too
$now = $server->stat('time');
$c->talk([ 'set k 0 ' . ($now + 4) . ' 1', 'v' ]);
$server->advance_clock(3);
is($c->get('k'), 'v', 'a second before an absolute time');
$server->advance_clock(1);
is($c->get('k'), undef, 'at the absolute time');

# an expired item is absent for every command
my $expired = sub { $c->talk([ 'set k 0 1 1', '5' ]); $server->advance_clock(1) };
for my $row (
    [ 'get k', 'END' ],
    [ 'gets k', 'END' ],
    [ 'gat 0 k', 'END' ],
    [ 'touch k 0', 'NOT_FOUND' ],
    [ 'incr k 1', 'NOT_FOUND' ],
    [ 'decr k 1', 'NOT_FOUND' ],
    [ 'delete k', 'NOT_FOUND' ],
    [ [ 'add k 0 0 1', 'x' ], 'STORED' ],
    [ [ 'replace k 0 0 1', 'x' ], 'NOT_STORED' ],
    [ [ 'append k 0 0 1', 'x' ], 'NOT_STORED' ],
    [ [ 'prepend k 0 0 1', 'x' ], 'NOT_STORED' ],
    [ [ 'cas k 0 0 1 1', 'x' ], 'NOT_FOUND' ],
    [ 'mg k v', 'EN' ],
    [ 'mg k N30 t', 'HD t-1 W' ],
    [ 'md k', 'NF' ],
    [ 'ma k', 'NF' ],
    [ [ 'ms k 1 MR', 'x' ], 'NS' ],
    [ [ 'ms k 1 ME', 'x' ], 'HD' ],
    [ [ 'ms k 1 C1', 'x' ], 'NF' ],
    [ 'me k', 'EN' ],
) {
    my ($request, $reply) = @$row;
    my $word = ref $request ? $request->[0] : $request;
    $expired->();
    if ($word =~ /^mg k N/) { like($c->talk($request), qr/^HD t(-1|30) W\r\n$/, "$word on an expired item") }
    else { $c->answers($request, [$reply], "$word on an expired item") }
}

# counters
my $before = $server->stats;
$expired->();
$c->talk('get k');
$c->talk('get k');
my $after = $server->stats;
is($after->{get_expired} - $before->{get_expired}, 1, 'the first look counts as get_expired');
is($after->{get_misses} - $before->{get_misses}, 2, 'both looks are misses');

# items that expire take no room for ever: the maintainer takes them from the tail
$c->set("short$_", 'v', ttl => 10) for 1 .. 100;
$c->set("long$_", 'v', ttl => 1000) for 1 .. 10;
my $items = $server->stat('curr_items');
$server->advance_clock(20);
ok($server->wait_stat('curr_items', sub { $_[0] <= $items - 100 }), 'expired items at the tail are reclaimed in the background');
is($c->get("long$_"), 'v', "long$_ is still there") for 1, 10;

done_testing;
