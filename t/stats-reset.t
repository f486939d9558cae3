#!/usr/bin/perl
# Goal: `stats reset` clears what counts and keeps what is.
# Method: a server with some life behind it, its lists before and after, line by line as t/lib/TestStats.pm says.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestStats;

my $old = TestServer::is_old();
# What goes on by itself, or by the asking: it begins anew, which shows where it was much.
my $GOES_ON = qr/^(?:bytes_\w+|total_connections|lru_maintainer_juggles|lru_crawler_starts|crawler_\w+|moves_\w+|direct_reclaims|conn_yields)$/;
# Nothing is to be told of what is at this moment.
my $MOVES = qr/^(?:uptime|time|rusage_\w+|response_obj_\w+|read_buf_\w+|time_since_\w+|slab_reassign_running|lru_crawler_running|number_\w+|age\w*)$/;

# Each line as its row says; how many of those to be cleared had something to clear.
sub compare {
    my ($rows, $before, $after) = @_;
    my $had = 0;
    for my $row (@$rows) {
        my ($name, undef, $reset) = @$row;
        my $short = $name =~ s/.*://r;
        next if $short =~ $MOVES;
        if ($reset eq 'stays') { is($after->{$name}, $before->{$name}, "$name stays"); next }
        my $cleared = $name =~ /status$/ ? 'none' : 0;
        $had++ if $before->{$name} ne $cleared;
        if ($short =~ $GOES_ON) { cmp_ok($after->{$name}, '<', $before->{$name}, "$name begins anew") if $before->{$name} > 50 }
        else { is($after->{$name}, $cleared, "$name is cleared") }
    }
    return $had;
}

my $server = TestServer->start('-t', '2', '-m', '8', '-o', 'idle_timeout=10000');
my $c = $server->client;
unless ($old) {
    my $watcher = $server->client;
    is($watcher->ask('watch fetchers'), 'OK', 'somebody watches');
    $c->get('watched');
    $watcher->through("\n");
    $watcher->close;
    ok($server->wait_stat('log_watchers', 0), 'and leaves');
}
$c->talk([ "set k$_ 0 0 10000", 'x' x 10_000 ]) for 1 .. 1000;
$c->talk([ 'set brief 0 -1 1', 'x', 'get brief', 'get k1000', 'mg k1000 t', 'get none', 'delete k999', 'delete none', 'incr none 1', 'decr none 1',
    'touch k1000 0', 'touch none 0', 'me k1000', 'set n 0 0 1', '5', 'incr n 1', 'decr n 1', 'cas n 0 0 1 1', 'x', 'cas none 0 0 1 1', 'x',
    'set k 0 0 3000000', 'x' x 3_000_000 ]);
$c->talk([ 'cas n 0 0 1 ' . $c->cas('n'), '6', 'flush_all 10000' ]);
my $other = $server->client;
$other->ask('mn');

my %general = (maxconns_fast => 1, idle_timeout => 1, mover => 1, crawler => 1, maintainer => 1, tls => $ENV{SSL_TEST}, new => !$old, old => $old);
$server->wait_stat('lru_crawler_running', sub { defined $_[0] });
my %before = map { $_ => $server->stats($_ eq 'general' ? undef : $_) } qw(general items slabs);
cmp_ok($before{general}{evictions}, '>', 0, 'there is something to clear');
$c->answers('stats reset', ['RESET'], 'stats reset');
my %after = map { $_ => $server->stats($_ eq 'general' ? undef : $_) } qw(general items slabs);

my $had = compare([ TestStats::rows('general', %general) ], $before{general}, $after{general});
cmp_ok($had, '>=', 30, 'many of them had something to lose');
$had = compare([ TestStats::spread([ 'items:1:', 'items:22:' ], TestStats::rows('items', maintainer => 1)) ], $before{items}, $after{items});
cmp_ok($had, '>=', 5, 'so had queues');
$had = compare([ TestStats::spread([ '1:', '22:' ], TestStats::rows('slabs')), TestStats::rows('slabs_sum') ], $before{slabs}, $after{slabs});
cmp_ok($had, '>=', 10, 'and classes');
cmp_ok($after{general}{total_connections}, '<=', 1, 'total_connections counts anew');
cmp_ok($after{general}{response_obj_count}, '>=', 1, 'a gauge survives') unless $old;
cmp_ok($after{general}{response_obj_bytes}, '>=', 16_384, 'so does its memory') unless $old;
cmp_ok($after{general}{bytes_read}, '<', $before{general}{bytes_read}, 'bytes_read counts anew');
cmp_ok($after{slabs}{'22:used_chunks'}, '>', 700, 'memory in use is not cleared');
cmp_ok($after{items}{'items:22:number'}, '>', 700, 'nor are items');

$c->get('k1000');
is($server->stat('get_hits'), 1, 'counting goes on');
$c->answers('stats reset now', ['RESET'], 'further words are ignored') unless $old;
$c->answers_now('stats reset noreply', ['RESET'], 'there is no noreply');

done_testing;
