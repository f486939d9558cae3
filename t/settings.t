#!/usr/bin/perl
# Goal: `stats settings` lists every setting in its order, with its default, and shows what was asked for.
# Method: a server without options against the table; then options one by one.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

# The keyed hash of this CPU.
my $hash = TestServer::is_old() ? 'murmur3' : 'ahash';
my @table = (
    [ maxbytes => 67_108_864 ], [ maxconns => 1024 ], [ tcpport => -1 ], [ udpport => 0 ], [ inter => '127.0.0.1' ],
    [ verbosity => 0 ], [ oldest => 0 ], [ evictions => 'on' ], [ domain_socket => 'NULL' ], [ umask => 700 ],
    [ shutdown_command => 'no' ], [ growth_factor => '1.25' ], [ chunk_size => 48 ], [ num_threads => 4 ],
    [ num_threads_per_udp => 4 ], [ stat_key_prefix => ':' ], [ detail_enabled => 'no' ], [ reqs_per_event => 20 ],
    [ cas_enabled => 'yes' ], [ tcp_backlog => 1024 ], [ binding_protocol => 'auto-negotiate' ], [ auth_enabled_sasl => 'no' ],
    [ auth_enabled_ascii => 'no' ], [ item_size_max => 1_048_576 ], [ maxconns_fast => 'yes' ], [ hashpower_init => 0 ],
    [ slab_reassign => 'yes' ], [ slab_automove => 1 ], [ slab_automove_ratio => '0.80' ], [ slab_automove_window => qr/^(10|30)$/ ],
    [ slab_chunk_max => 524_288 ], [ lru_crawler => qr/^(yes|no)$/ ], [ lru_crawler_sleep => 100 ], [ lru_crawler_tocrawl => 0 ],
    [ tail_repair_time => 0 ], [ flush_enabled => 'yes' ], [ dump_enabled => 'yes' ], [ hash_algorithm => $hash ],
    [ lru_maintainer_thread => 'yes' ], [ lru_segmented => 'yes' ], [ hot_lru_pct => 20 ], [ warm_lru_pct => 40 ],
    [ hot_max_factor => '0.20' ], [ warm_max_factor => '2.00' ], [ temp_lru => 'no' ], [ temporary_ttl => 61 ],
    [ idle_timeout => 0 ], [ watcher_logbuf_size => 262_144 ], [ worker_logbuf_size => 65_536 ], [ read_buf_mem_limit => 0 ],
    [ track_sizes => 'no' ], [ inline_ascii_response => 'no' ],
);
my @tls = qw(ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size
    ssl_session_cache ssl_kernel_tls ssl_min_version);

my $server = TestServer->start;
my @list = $server->client->stats_list('settings');
my %value = map { @$_ } @list;
for my $row (@table) {
    my ($name, $want) = @$row;
    if (ref $want) { like($value{$name}, $want, $name) }
    else { is($value{$name}, $want, "$name is " . ($want // '')) }
}
SKIP: {
    skip 'the list differs before 1.6.45', 1 if TestServer::is_old();
    my @names = map { $_->[0] } @table;
    push @names, 'drop_privileges' if TestServer::has_feature('seccomp') && exists $value{drop_privileges};
    push @names, grep { /^ext_|^slab_automove_freeratio$/ } map { $_->[0] } @list;
    push @names, @tls if TestServer::has_feature('tls');
    is_deeply([ map { $_->[0] } @list ], [ @names, qw(num_napi_ids memory_file client_flags_size) ], 'names and order');
    is($value{memory_file}, '(null)', 'memory_file');
    is($value{num_napi_ids}, 0, 'num_napi_ids');
    like($value{client_flags_size}, qr/^[48]$/, 'client_flags_size');
}
is_deeply([ $server->client->stats_list('settings all of them') ], [ @list ], 'further words are ignored') unless TestServer::is_old();

# options that show
my @rows = (
    [ [ '-m', '100' ], maxbytes => 104_857_600 ],
    [ [ '-m', '64m' ], maxbytes => 67_108_864 ],
    [ [ '-c', '77' ], maxconns => 77 ],
    [ ['-M'], evictions => 'off' ],
    [ [ '-f', '1.5' ], growth_factor => '1.50' ],
    [ [ '-n', '100' ], chunk_size => 100 ],
    [ [ '-t', '2' ], num_threads => 2, num_threads_per_udp => 2 ],
    [ [ '-t', ' 3' ], num_threads => 3 ],
    [ ['-t2'], num_threads => 2 ],
    [ ['--threads=2'], num_threads => 2 ],
    [ [ '--threads', '2' ], num_threads => 2 ],
    [ [ '-D', '#' ], stat_key_prefix => '#', detail_enabled => 'yes' ],
    [ [ '-D', 'abc' ], stat_key_prefix => 'a' ],
    [ [ '-R', '7' ], reqs_per_event => 7 ],
    [ [ '-R', '7', '-R', '8' ], reqs_per_event => 8 ],
    [ ['-C'], cas_enabled => 'no' ],
    [ [ '-b', '99' ], tcp_backlog => 99 ],
    [ [ '-B', 'ascii' ], binding_protocol => 'ascii' ],
    [ [ '-B', 'auto' ], binding_protocol => 'auto-negotiate' ],
    [ [ '-I', '2m' ], item_size_max => 2_097_152, slab_chunk_max => 524_288 ],
    [ [ '-I', '2M', '-o', 'no_chunked_items' ], item_size_max => 2_097_152, slab_chunk_max => 524_288 ],
    [ [ '-I', '512k' ], item_size_max => 524_288 ],
    [ [ '-I', '1048576' ], item_size_max => 1_048_576 ],
    [ ['-A'], shutdown_command => 'yes' ],
    [ ['-F'], flush_enabled => 'no' ],
    [ ['-X'], dump_enabled => 'no' ],
    [ ['-vMC'], verbosity => 1, evictions => 'off', cas_enabled => 'no' ],
    [ [ '-vvv', '-v' ], verbosity => 4 ],
    [ [ '--verbose=3' ], verbosity => 1 ],
    [ [ '--disable-evictions', '--enable-shutdown' ], evictions => 'off', shutdown_command => 'yes' ],
    [ [ '-M', 'operand', '-C' ], evictions => 'off', cas_enabled => 'no' ],
    [ [ '-M', '--', '-C' ], evictions => 'off', cas_enabled => 'yes' ],
);
for my $row (@rows) {
    my ($args, %want) = @$row;
    next if TestServer::is_old() && "@$args" =~ /-t  3|disable-evictions/;
    my @threads = grep({ /^-t|^--threads/ } @$args) ? () : ('-t', '1');
    # The helper's own arguments come first: operands and -- are about what follows them.
    my $other = TestServer->start('-l', '127.0.0.1', '-p', '-1', @threads, @$args);
    my $settings = $other->settings;
    is($settings->{$_}, $want{$_}, "@$args: $_") for sort keys %want;
    $other->kill_now;
}

# what a command changes shows at once
my $c = $server->client;
$c->ask('verbosity 1');
is($server->settings->{verbosity}, 1, 'verbosity 1');
$c->ask('verbosity 9');
is($server->settings->{verbosity}, 2, 'verbosity above 2 is 2');
$c->ask('verbosity 0');
is($server->settings->{verbosity}, 0, 'verbosity 0');
$c->ask('flush_all');
cmp_ok($server->settings->{oldest}, '>', 0, 'oldest is the time of the flush');

done_testing;
