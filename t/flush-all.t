#!/usr/bin/perl
# Goal: flush_all takes away what was stored before it, and nothing stored after it.
# Method: at once, with a delay on the debug server's clock, repeated and refused.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;

$c->set("k$_", 'v') for 1 .. 200;
$c->answers('flush_all', ['OK'], 'flush_all');
$c->answers('get ' . join(' ', map { "k$_" } 1 .. 200), ['END'], 'all items are gone');
$c->answers([ 'set k1 0 0 3', 'new' ], ['STORED'], 'a store behind it');
$c->answers('get k1', [ 'VALUE k1 0 3', 'new', 'END' ], 'survives');
$c->answers([ 'flush_all', 'set k1 0 0 1', 'x', 'get k1', 'flush_all noreply', 'get k1', 'add k1 0 0 1', 'y', 'get k1' ],
    [ 'OK', 'STORED', 'VALUE k1 0 1', 'x', 'END', 'END', 'STORED', 'VALUE k1 0 1', 'y', 'END' ], 'in one packet, twice');
for my $argument (0, -1, -100) {
    $c->set('k1', 'v');
    $c->answers("flush_all $argument", ['OK'], "flush_all $argument");
    $c->answers('get k1', ['END'], 'acts at once');
    $c->set('k1', 'v');
    $c->answers("flush_all $argument noreply", [], "flush_all $argument noreply");
    $c->answers('get k1', ['END'], 'does so silently');
}
$c->set('k1', 'v');
$c->answers("flush_all $_", ['CLIENT_ERROR invalid exptime argument'], "flush_all $_") for qw(abc 1x 1.5);
$c->answers_now("flush_all $_", ['CLIENT_ERROR invalid exptime argument'], "flush_all $_") for qw(+1 2147483648 - 000000000001);
$c->answers('flush_all abc noreply', [], 'a refusal obeys noreply');
$c->answers_now('flush_all noreply x', ['CLIENT_ERROR invalid exptime argument'], 'noreply counts at the end only');
$c->answers('get k1', [ 'VALUE k1 0 1', 'v', 'END' ], 'a refused flush does nothing');
$c->answers_now('  flush_all 0', ['OK'], 'leading spaces');
$c->answers_now('flush_all 0 1 2', ['OK'], 'surplus words are ignored');
is($server->stat('cmd_flush') > 10, 1, 'flushes are counted');

# Ruled out on the command line.
my $closed = TestServer->start('-F');
my $f = $closed->client;
$f->set('k', 'v');
for my $line ('flush_all', 'flush_all 0', 'flush_all 10', 'flush_all abc') {
    $f->answers($line, ['CLIENT_ERROR flush_all not allowed'], "-F: $line");
}
$f->answers('flush_all noreply', [], '-F: noreply');
$f->answers('get k', [ 'VALUE k 0 1', 'v', 'END' ], '-F: nothing was flushed');
is($closed->stat('cmd_flush'), 5, '-F: refused flushes are counted');
is($closed->settings->{flush_enabled}, 'no', '-F shows in the settings');

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    $server->freeze_clock;

    # Items that were read again are no exception.
    $c->set('often', 'v');
    $server->advance_clock(5);
    $c->get('often') for 1 .. 3;
    ok($server->wait_stat('lru_maintainer_juggles', sub { $_[0] > 0 }), 'the maintainer has had a turn');
    $c->answers('flush_all', ['OK'], 'flush behind reads in the same second');
    $c->answers('get often', ['END'], 'the item is gone');

    # Items of an earlier second.
    $c->set('old', 'v');
    $server->advance_clock(10);
    $c->talk('flush_all');
    $c->answers('get old', ['END'], 'an older item is gone');
    $server->advance_clock(10);

    # A delay.
    $c->set('k', 'v');
    $c->answers('flush_all 10', ['OK'], 'a flush in ten seconds');
    $server->advance_clock(5);
    is($c->get('k'), 'v', 'five seconds later the item is there');
    $c->set('between', 'v');
    $server->advance_clock(6);
    is($c->get('k'), undef, 'after eleven seconds it is gone');
    is($c->get('between'), undef, 'and what was stored meanwhile');
    $c->set('k', 'w');
    is($c->get('k'), 'w', 'a store behind it stays');
    $server->advance_clock(100);
    is($c->get('k'), 'w', 'for good');

    # An absolute delay.
    $c->answers('flush_all ' . ($server->stat('time') + 2_600_000), ['OK'], 'an absolute time');
    is($c->get('k'), 'w', 'nothing happens yet');

    # A new flush replaces the pending one.
    $c->answers('flush_all 20', ['OK'], 'a flush in twenty seconds');
    $c->answers('flush_all 50', ['OK'], 'put off to fifty');
    $server->advance_clock(30);
    is($c->get('k'), 'w', 'the first one does not come');
    $server->advance_clock(25);
    is($c->get('k'), undef, 'the second does');
}

done_testing;
