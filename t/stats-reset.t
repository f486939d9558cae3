#!/usr/bin/perl
# Goal: `stats reset` clears what counts and keeps what is.
# Method: a server with some life behind it, its lists before and after.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '2', '-m', '8');
my $c = $server->client;
$c->talk([ "set k$_ 0 0 10000", 'x' x 10_000 ]) for 1 .. 1000;
$c->talk([ 'get k1000', 'get none', 'delete k999', 'delete none', 'incr none 1', 'touch k1000 0', 'touch none 0', 'flush_all 10000', 'me k1000',
    'set n 0 0 1', '5', 'incr n 1', 'decr n 1', 'cas n 0 0 1 1', 'x', 'cas none 0 0 1 1', 'x', 'set k 0 0 3000000', 'x' x 3_000_000 ]);
my $other = $server->client;
$other->ask('mn');
my $before = $server->stats;
cmp_ok($before->{evictions}, '>', 0, 'there is something to clear');
$c->answers('stats reset', ['RESET'], 'stats reset');
my $after = $server->stats;

my @cleared = qw(cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed delete_misses delete_hits
    incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large evictions
    evicted_unfetched total_items rejected_connections conn_yields);
is($after->{$_}, 0, "$_ is cleared") for @cleared;
my @kept = qw(pid curr_items bytes curr_connections connection_structures hash_power_level hash_bytes max_connections threads
    limit_maxbytes accepting_conns slab_global_page_pool reserved_fds);
is($after->{$_}, $before->{$_}, "$_ stays") for @kept;
cmp_ok($after->{uptime}, '>=', $before->{uptime}, 'uptime goes on');
cmp_ok($after->{total_connections}, '<=', 1, 'total_connections counts anew');
cmp_ok($after->{response_obj_count}, '>=', 1, 'a gauge survives') unless TestServer::is_old();
cmp_ok($after->{response_obj_bytes}, '>=', 16_384, 'so does its memory') unless TestServer::is_old();
cmp_ok($after->{bytes_read}, '<', $before->{bytes_read}, 'bytes_read counts anew');

my $slabs = $server->stats('slabs');
is($slabs->{'22:cmd_set'}, 0, 'counters by class are cleared');
cmp_ok($slabs->{'22:used_chunks'}, '>', 700, 'memory in use is not');
my $items = $server->stats('items');
is($items->{'items:22:evicted'}, 0, 'evictions by class are cleared');
cmp_ok($items->{'items:22:number'}, '>', 700, 'items stay');

$c->get('k1000');
is($server->stat('get_hits'), 1, 'counting goes on');
$c->answers('stats reset now', ['RESET'], 'further words are ignored') unless TestServer::is_old();
$c->answers_now('stats reset noreply', ['RESET'], 'there is no noreply');

done_testing;
