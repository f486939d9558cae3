#!/usr/bin/perl
# Goal: `stats` lists its names in their order, and each says what it should.
# Method: the list of a fresh server against the table; values that follow from how it was started; names
# that hang on options.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my @names = qw(pid uptime time version libevent pointer_size rusage_user rusage_system max_connections curr_connections
    total_connections rejected_connections connection_structures response_obj_oom response_obj_count response_obj_bytes
    read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta
    get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses
    cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors bytes_read bytes_written
    limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes
    hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_inline_reclaim slab_reassign_busy_items
    slab_reassign_busy_deletes slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running slabs_moved
    lru_crawler_running lru_crawler_starts lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written
    log_watcher_skipped log_watcher_sent log_watchers ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh
    unexpected_napi_ids round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched
    evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm
    moves_within_lru direct_reclaims lru_bumps_dropped);
# The mover has its names.
my %names_of = (
    mover => [ grep { /^slab_reassign|^slabs_moved/ } @names ],
);
my %absent = map { $_ => 1 } map { @{ $names_of{$_} } } grep { TestServer::to_come($_) } keys %names_of;

my $server = TestServer->start;
my $c = $server->client;
my @list = $c->stats_list;
my %value = map { @$_ } @list;
@names = grep { !/^ssl_|cert_refresh/ } @names unless $ENV{SSL_TEST};
@names = grep { !$absent{$_} } @names;
is_deeply([ map { $_->[0] } @list ], \@names, 'names and order') unless TestServer::is_old();

is($value{pid}, $server->pid, 'pid') unless $ENV{VALGRIND_TEST};
cmp_ok($value{uptime}, '<=', 10, 'uptime counts from the start');
cmp_ok(abs($value{time} - time), '<=', 3, 'time is the time');
like($value{version}, qr/^\d+\.\d+\.\d+/, 'version');
like($value{libevent}, qr/^2\.\d+\.\d+/, 'libevent');
like($value{$_}, qr/^\d+\.\d{6}$/, $_) for qw(rusage_user rusage_system);
is($value{max_connections}, 1024, 'max_connections');
is($value{curr_connections}, 1, 'one client');
is($value{total_connections}, 2, 'and the listener');
is($value{threads}, 4, 'threads');
is($value{reserved_fds}, 20, 'reserved_fds');
is($value{limit_maxbytes}, 67_108_864, 'limit_maxbytes');
is($value{accepting_conns}, 1, 'accepting_conns');
is($value{hash_power_level}, 16, 'hash_power_level');
is($value{hash_bytes}, 524_288, 'hash_bytes');
is($value{hash_is_expanding}, 0, 'hash_is_expanding');
is($value{slab_reassign_last_busy_status}, 'none', 'slab_reassign_last_busy_status')
    unless TestServer::is_old() || TestServer::to_come('mover');
is($value{response_obj_count}, 1, 'the asking command holds a response');
is($value{$_}, 0, "$_ is 0 at first") for grep { /^(cmd|get|delete|incr|decr|cas|touch|store|auth|evict|reclaimed|curr_items|bytes$)/ } grep { exists $value{$_} } @names;
cmp_ok($value{bytes_read}, '>=', 7, 'bytes_read counts this command');
for my $name (grep { !/version|libevent|rusage|status/ } map { $_->[0] } @list) {
    like($value{$name}, qr/^\d+$/, "$name is a number") or last;
}

# clients are counted
my @clients = map { $server->client } 1 .. 5;
$_->ask('mn') for @clients;
is($c->stats->{curr_connections}, 6, 'five more clients');
is($c->stats->{total_connections}, 7, 'counted for good');
$_->close for @clients;
ok(TestServer::wait_until(sub { $c->stats->{curr_connections} == 1 }), 'when they leave');
is($c->stats->{total_connections}, 7, 'the total stays');

# more listeners are connections, too
my $two = TestServer->start('-t', '1', '-l', '127.0.0.1,127.0.0.2');
is($two->stats->{curr_connections}, 2, 'a second listener counts as a connection');

# names that hang on options
for my $row (
    [ 'no_maxconns_fast', 'rejected_connections' ],
    [ 'no_slab_reassign', qw(slab_reassign_rescues slab_reassign_running slabs_moved) ],
    [ 'no_lru_crawler', qw(lru_crawler_running lru_crawler_starts) ],
    [ 'no_lru_maintainer', qw(lru_maintainer_juggles evicted_active moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped) ],
) {
    my ($option, @absent) = @$row;
    my $stats = TestServer->start('-t', '1', '-o', $option)->stats;
    is(join(' ', grep { exists $stats->{$_} } @absent), '', "-o $option takes out its names");
}
ok(exists TestServer->start('-t', '1', '-o', 'idle_timeout=50')->stats->{idle_kicks}, 'idle_timeout has idle_kicks');

# the form of the answer
$c->answers_like("stats   \r\nstats", qr/(STAT [^\r\n]+\r\n)+END\r\n(STAT [^\r\n]+\r\n)+END\r\n/, 'blanks behind the word');
is(scalar(my @again = $c->stats_list('items')), 0, 'an empty list is its END');
$c->answers_now('stats items now please', ['END'], 'further words are ignored');

# a gauge of memory: idle connections hold no buffers
my $one = TestServer->start({ tls => 0 }, '-t', '1');
my $o = $one->client;
my $stats = $o->stats;
is($stats->{read_buf_count} * 16_384, $stats->{read_buf_bytes}, 'read_buf_bytes');
my @idle = map { $one->client } 1 .. 100;
$_->ask('mn') for @idle;
cmp_ok($o->stats->{read_buf_count}, '<=', $stats->{read_buf_count} + 2, 'a hundred idle connections hold no read buffers');
is($o->stats->{response_obj_count}, 1, 'nor responses');

done_testing;
