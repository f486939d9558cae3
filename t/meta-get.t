#!/usr/bin/perl
# Goal: mg returns what its flags ask for, in their order, and does what they say.
# Method: one flag at a time, combinations, misses; marks and times on the debug server's clock.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;

$c->answers('mg k', ['EN'], 'a miss');
$c->answers('mg k v', ['EN'], 'a miss with v');
$c->answers('mg k s v t c f h l k Oxyz q', [], 'a quiet miss');
$c->answers('mg k s k t Oxyz v', ['EN kk Oxyz'], 'a miss returns key and opaque, in order');
$c->answers('mg k Oxyz s k', ['EN Oxyz kk'], 'in their order');

$c->set('k', 'value', flags => 42, ttl => 1000);
my $cas = $c->cas('k');
for my $row (
    [ '', 'HD' ],
    [ 'v', 'VA 5', 'value' ],
    [ 's', 'HD s5' ],
    [ 'f', 'HD f42' ],
    [ 'c', "HD c$cas" ],
    [ 'k', 'HD kk' ],
    [ 'O123', 'HD O123' ],
    [ 'Oxyz k s f', 'HD Oxyz kk s5 f42' ],
    [ 'f s k Oxyz', 'HD f42 s5 kk Oxyz' ],
    [ 's v', 'VA 5 s5', 'value' ],
    [ 'v s', 'VA 5 s5', 'value' ],
    [ 'v k c f s', "VA 5 kk c$cas f42 s5", 'value' ],
    [ 'q', 'HD' ],
    [ 'q v', 'VA 5', 'value' ],
    [ 'u v', 'VA 5', 'value' ],
) {
    my ($flags, @reply) = @$row;
    $c->answers("mg k $flags", \@reply, "mg k $flags");
}
$c->answers_now('mg k Pproxy Lx v', [ 'VA 5', 'value' ], 'P and L are for others');
$c->answers_now('mg k vxx s99', [ 'VA 5 s5', 'value' ], 'text behind flags that take none');
like($c->ask('mg k t'), qr/^HD t(99\d|1000)$/, 't shows the seconds left');
$c->set('forever', '');
$c->answers('mg forever t v s', [ 'VA 0 t-1 s0', '' ], 't of an item that never expires, an empty value');
my $bytes = join '', map { chr } 0 .. 255;
$c->set('bin', "$bytes\r\n");
$c->answers(\"mg bin v\r\n", [ 'VA 258', "$bytes\r\n" ], 'any bytes in the value');
my $large = 'z' x 700_000;
$c->set('large', $large);
ok($c->talk('mg large s v') eq "VA 700000 s700000\r\n$large\r\n", 'a value in several chunks');

# several in a packet
$c->answers([ 'mg k v', 'mg none v q', 'mg none v', 'mg k s q', 'mn' ], [ 'VA 5', 'value', 'EN', 'HD s5', 'MN' ], 'a pipeline');

# T
$c->answers('mg k T2000', ['HD'], 'T sets the time to live');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(2000)}$/, 'it is set');
like($c->ask('mg k t T300'), qr/^HD t(1998|1999|2000)$/, 't before T shows the old time');
like($c->ask('mg k T400 t'), qr/^HD t${\ TestServer::left(400)}$/, 't behind T shows the new one');
$c->answers('mg k T0 t', ['HD t-1'], 'T0: never');
is($c->cas('k'), $cas, 'T does not change the cas number');
$c->answers('mg none T100', ['EN'], 'T on a miss');

# C: the value only if it is another one
$c->answers_now("mg k C$cas v", ['HD'], 'C and the same number: no value');
$c->answers_now("mg k s C$cas v c", ["HD s5 c$cas"], 'its other flags act');
$c->answers_now('mg k C' . ($cas + 1) . ' v', [ 'VA 5', 'value' ], 'C and another number: the value');
$c->answers_now("mg k C$cas", ['HD'], 'C without v');

# N
$c->answers('mg new N30 v', [ 'VA 0 W', '' ], 'N makes an empty item and wins');
$c->answers('mg new2 N30 q', ['HD W'], 'N is no miss, so q does not hide it');
$c->answers_now('mg new3 t N30 k', ['HD t-1 knew3 W'], 't before N shows no expiry');
$c->answers('mg new5 N30 t k', ['HD t30 knew5 W'], 't behind N shows the one it sets');
like($c->ask('mg new t'), qr/^HD t${\ TestServer::left(30)} Z$/, 'the next one is told that someone won');
$c->answers([ 'add new 0 0 1', 'x' ], ['NOT_STORED'], 'the empty item is there for add');
$c->answers('get new', [ 'VALUE new 0 0', '', 'END' ], 'and for get');
$c->answers([ 'set new 0 0 1', 'x' ], ['STORED'], 'a store');
$c->answers('mg new v', [ 'VA 1', 'x' ], 'takes the marks away');
$c->answers_now('mg new4 N0 E77 c', ['HD c77 W'], 'E gives the cas number of the new item');

# h and l
$c->set('h', 'x');
$c->answers('mg h h', ['HD h0'], 'h: not fetched yet');
$c->answers('mg h h', ['HD h1'], 'h: fetched');
$c->set('h', 'x');
$c->answers('mg h h u', ['HD h0'], 'u looks without a trace');
$c->answers('mg h h', ['HD h0'], 'as if it had not been there');
$c->answers('get h', [ 'VALUE h 0 1', 'x', 'END' ], 'get');
$c->answers('mg h h', ['HD h1'], 'counts as a fetch, too');

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    # The access time moves at once while the item is in HOT. Older neighbours and these limits keep it there.
    my $hot = TestServer->start('-t', '1', '-o', 'hot_lru_pct=78,warm_lru_pct=1,hot_max_factor=1000000');
    my $h = $hot->client;
    $hot->freeze_clock;
    $h->set("older$_", 'x') for 1 .. 50;
    # Items stay hot for so many times the age of the oldest cold one, so there must be one before the clock moves.
    ok($hot->wait_stat('moves_to_cold', sub { $_[0] > 0 }), 'the oldest have grown cold');
    $h->set('l', 'x');
    $h->answers('mg l l', ['HD l0'], 'l: just stored; the first fetch only marks the item');
    $hot->advance_clock(10);
    $h->answers('mg l l u', ['HD l10'], 'l: ten seconds ago');
    $h->answers('mg l l', ['HD l10'], 'the look with u was none');
    $hot->advance_clock(5);
    $h->answers('mg l l', ['HD l5'], 'the second fetch moved the access time');
    $hot->advance_clock(5);
    $h->answers('mg l l h t', ['HD l10 h1 t-1'], 'the third did not: the item was active already');

    $server->freeze_clock;
    $c->answers('mg gone N20', ['HD W'], 'an item by N');
    $server->advance_clock(20);
    $c->answers('mg gone v', ['EN'], 'expires');
}

done_testing;
