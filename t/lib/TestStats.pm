package TestStats;

# The lists of statistics as tools know them: every name in its order, what its value looks like, when its line is there,
# and what `stats reset` does to it. Readers of a list by each road.
#
#   my @rows  = TestStats::rows('general', tls => 1);       # those that are there: [ name, look, reset ]
#   my @list  = TestStats::by_text($client, 'items');       # [ name, value ] in order, as by_binary, by_datagrams and
#                                                           # by_binary_datagrams
#   my @wrong = TestStats::strange(\@rows, \@list);         # values that do not look as they should
#
# Names of classes and connections begin with a number and a colon: `spread` puts them before the names of a table.

use strict;
use warnings;

use TestBinary;

# What a value looks like.
my %LOOK = (
    number => qr/\d+/,
    signed => qr/-?\d+/,
    octal => qr/[0-7]+/,
    bit => qr/[01]/,
    yes => qr/yes|no/,
    on => qr/on|off/,
    hundredths => qr/\d+\.\d\d/,
    seconds => qr/\d+\.\d{6}/,
    version => qr/\d+\.\d+\.\d+\S*/,
    character => qr/./,
    text => qr/.+/,
    busy => qr/none|pass|from_slab|from_lru|busy|busy_uploading|busy_active|busy_floating|locked/,
    state => qr/conn_\w+/,
    address => qr/(?:tcp6?|udp6?|unix):.+|\?:<AF 0>/,
);

# Columns: name, look, at `stats reset` (stays, cleared), and what the line hangs on, if anything.
my %TABLE = (general => <<'GENERAL', settings => <<'SETTINGS', items => <<'ITEMS', slabs => <<'SLABS', slabs_sum => <<'SUM', conns => <<'CONNS');
pid                            number     stays
uptime                         number     stays
time                           number     stays
version                        version    stays
libevent                       version    stays
pointer_size                   number     stays
rusage_user                    seconds    stays
rusage_system                  seconds    stays
max_connections                number     stays
curr_connections               number     stays
total_connections              number     cleared
rejected_connections           number     cleared  maxconns_fast
connection_structures          number     stays
response_obj_oom               number     cleared
response_obj_count             number     stays
response_obj_bytes             number     stays
read_buf_count                 number     stays
read_buf_bytes                 number     stays
read_buf_bytes_free            number     stays
read_buf_oom                   number     cleared
reserved_fds                   number     stays
cmd_get                        number     cleared
cmd_set                        number     cleared
cmd_flush                      number     cleared
cmd_touch                      number     cleared
cmd_meta                       number     cleared
get_hits                       number     cleared
get_misses                     number     cleared
get_expired                    number     cleared
get_flushed                    number     cleared
delete_misses                  number     cleared
delete_hits                    number     cleared
incr_misses                    number     cleared
incr_hits                      number     cleared
decr_misses                    number     cleared
decr_hits                      number     cleared
cas_misses                     number     cleared
cas_hits                       number     cleared
cas_badval                     number     cleared
touch_hits                     number     cleared
touch_misses                   number     cleared
store_too_large                number     cleared
store_no_memory                number     cleared
auth_cmds                      number     cleared
auth_errors                    number     cleared
idle_kicks                     number     cleared  idle_timeout
bytes_read                     number     cleared
bytes_written                  number     cleared
limit_maxbytes                 number     stays
accepting_conns                bit        stays
listen_disabled_num            number     cleared
time_in_listen_disabled_us     number     cleared
threads                        number     stays
conn_yields                    number     cleared
hash_power_level               number     stays
hash_bytes                     number     stays
hash_is_expanding              bit        stays
slab_reassign_rescues          number     cleared  mover
slab_reassign_chunk_rescues    number     cleared  mover
slab_reassign_evictions_nomem  number     cleared  mover,old
slab_reassign_inline_reclaim   number     cleared  mover
slab_reassign_busy_items       number     cleared  mover
slab_reassign_busy_deletes     number     cleared  mover
slab_reassign_busy_nomem       number     cleared  mover,new
slab_reassign_last_busy_status busy       cleared  mover,new
slab_reassign_running          bit        stays    mover
slabs_moved                    number     cleared  mover
lru_crawler_running            bit        stays    crawler
lru_crawler_starts             number     cleared  crawler
lru_maintainer_juggles         number     cleared  maintainer
malloc_fails                   number     cleared
log_worker_dropped             number     cleared
log_worker_written             number     cleared
log_watcher_skipped            number     cleared
log_watcher_sent               number     cleared
log_watchers                   number     stays
ssl_new_sessions               number     cleared  tls,session_cache
ssl_handshake_errors           number     cleared  tls
ssl_proto_errors               number     cleared  tls
time_since_server_cert_refresh number     stays    tls
unexpected_napi_ids            number     cleared
round_robin_fallback           number     cleared
bytes                          number     stays
curr_items                     number     stays
total_items                    number     cleared
slab_global_page_pool          number     stays
expired_unfetched              number     cleared
evicted_unfetched              number     cleared
evicted_active                 number     cleared  maintainer
evictions                      number     cleared
reclaimed                      number     cleared
crawler_reclaimed              number     cleared
crawler_items_checked          number     cleared
lrutail_reflocked              number     cleared
moves_to_cold                  number     cleared  maintainer
moves_to_warm                  number     cleared  maintainer
moves_within_lru               number     cleared  maintainer
direct_reclaims                number     cleared  maintainer
lru_bumps_dropped              number     cleared  maintainer
GENERAL
maxbytes                       number     stays
maxconns                       number     stays
tcpport                        signed     stays
udpport                        signed     stays
inter                          text       stays
verbosity                      number     stays
oldest                         number     stays
evictions                      on         stays
domain_socket                  text       stays
umask                          octal      stays
shutdown_command               yes        stays
growth_factor                  hundredths stays
chunk_size                     number     stays
num_threads                    number     stays
num_threads_per_udp            number     stays
stat_key_prefix                character  stays
detail_enabled                 yes        stays
reqs_per_event                 number     stays
cas_enabled                    yes        stays
tcp_backlog                    signed     stays
binding_protocol               text       stays
auth_enabled_sasl              yes        stays
auth_enabled_ascii             text       stays
item_size_max                  number     stays
maxconns_fast                  yes        stays
hashpower_init                 number     stays
slab_reassign                  yes        stays
slab_automove                  number     stays
slab_automove_ratio            hundredths stays
slab_automove_window           number     stays
slab_chunk_max                 number     stays
lru_crawler                    yes        stays
lru_crawler_sleep              number     stays
lru_crawler_tocrawl            number     stays
tail_repair_time               number     stays
flush_enabled                  yes        stays
dump_enabled                   yes        stays
hash_algorithm                 text       stays
lru_maintainer_thread          yes        stays
lru_segmented                  yes        stays
hot_lru_pct                    number     stays
warm_lru_pct                   number     stays
hot_max_factor                 hundredths stays
warm_max_factor                hundredths stays
temp_lru                       yes        stays
temporary_ttl                  number     stays
idle_timeout                   signed     stays
watcher_logbuf_size            number     stays
worker_logbuf_size             number     stays
read_buf_mem_limit             number     stays
track_sizes                    yes        stays
inline_ascii_response          yes        stays
drop_privileges                yes        stays    seccomp
ssl_enabled                    yes        stays    tls_build
ssl_chain_cert                 text       stays    tls_build
ssl_key                        text       stays    tls_build
ssl_verify_mode                number     stays    tls_build
ssl_keyformat                  number     stays    tls_build
ssl_ciphers                    text       stays    tls_build
ssl_ca_cert                    text       stays    tls_build
ssl_wbuf_size                  number     stays    tls_build
ssl_session_cache              yes        stays    tls_build
ssl_kernel_tls                 yes        stays    tls_build
ssl_min_version                text       stays    tls_build
num_napi_ids                   number     stays
memory_file                    text       stays
client_flags_size              number     stays    new
SETTINGS
number                         number     stays
number_hot                     number     stays    maintainer
number_warm                    number     stays    maintainer
number_cold                    number     stays    maintainer
number_temp                    number     stays    maintainer,temp
age_hot                        number     stays    maintainer
age_warm                       number     stays    maintainer
age                            number     stays
mem_requested                  number     stays
evicted                        number     cleared
evicted_nonzero                number     cleared
evicted_time                   number     cleared
outofmemory                    number     cleared
tailrepairs                    number     cleared
reclaimed                      number     cleared
expired_unfetched              number     cleared
evicted_unfetched              number     cleared
evicted_active                 number     cleared  maintainer
crawler_reclaimed              number     cleared
crawler_items_checked          number     cleared
lrutail_reflocked              number     cleared
moves_to_cold                  number     cleared  maintainer
moves_to_warm                  number     cleared  maintainer
moves_within_lru               number     cleared  maintainer
direct_reclaims                number     cleared  maintainer
hits_to_hot                    number     cleared  maintainer
hits_to_warm                   number     cleared  maintainer
hits_to_cold                   number     cleared  maintainer
hits_to_temp                   number     cleared  maintainer
ITEMS
chunk_size                     number     stays
chunks_per_page                number     stays
total_pages                    number     stays
total_chunks                   number     stays
used_chunks                    number     stays
free_chunks                    number     stays
free_chunks_end                number     stays
get_hits                       number     cleared
cmd_set                        number     cleared
delete_hits                    number     cleared
incr_hits                      number     cleared
decr_hits                      number     cleared
cas_hits                       number     cleared
cas_badval                     number     cleared
touch_hits                     number     cleared
SLABS
active_slabs                   number     stays
total_malloced                 number     stays
SUM
UDP                            text       stays    udp
addr                           address    stays
listen_addr                    address    stays    client
state                          state      stays
secs_since_last_cmd            number     stays
CONNS

# The rows of a table that are there when `%holds`.
sub rows {
    my ($table, %holds) = @_;
    my @rows;
    for my $line (split /\n/, $TABLE{$table}) {
        my ($name, $look, $reset, $conditions) = split ' ', $line;
        push @rows, [ $name, $look, $reset ] unless grep { !$holds{$_} } split /,/, $conditions // '';
    }
    return @rows;
}

# The same rows once for each of these beginnings of names.
sub spread {
    my ($beginnings, @rows) = @_;
    return map { my $beginning = $_; map { [ "$beginning$_->[0]", @$_[ 1, 2 ] ] } @rows } @$beginnings;
}

# Values of the list that do not look as the rows say, whatever names there are.
sub strange {
    my ($rows, $list) = @_;
    my %look = map { $_->[0] => $LOOK{ $_->[1] } } @$rows;
    return map { my ($name, $value) = @$_; !$look{$name} || $value =~ /\A(?:$look{$name})\z/ ? () : "$name: $value" } @$list;
}

# ---------------------------------------------------------------------------------------------------
# The roads that a list may come by

sub command { my ($group) = @_; return $group eq '' ? "stats\r\n" : "stats $group\r\n" }

sub by_text { my ($client, $group) = @_; return $client->stats_list($group eq '' ? undef : $group) }

sub by_binary {
    my ($client, $group) = @_;
    $client->send(TestBinary::frame(stat => $group));
    return packets(sub { $client->bytes($_[0]) });
}

sub by_datagrams {
    my ($udp, $group) = @_;
    my $message = $udp->ask(command($group)) // die "stats $group: no answer\n";
    $message =~ s/^END\r\n\z//m or die "stats $group: no end\n";
    return map { /^STAT (\S+)(?: (.*))?$/ ? [ $1, $2 // '' ] : die "stats $group: $_\n" } split /\r\n/, $message;
}

sub by_binary_datagrams {
    my ($udp, $group) = @_;
    my $message = $udp->ask(TestBinary::frame(stat => $group)) // die "stat $group: no answer\n";
    my @list = packets(sub { substr $message, 0, $_[0], '' });
    die "stat $group: something follows the end\n" if $message ne '';
    return @list;
}

# Packets until the one that ends a list; a refusal is a line of its own.
sub packets {
    my ($take) = @_;
    my @list;
    while (1) {
        my $packet = TestBinary::packet($take) // die "no packet\n";
        my ($key, $value) = @$packet{qw(key value)};
        return @list, [ "status $packet->{status}", $key . $value ] if $packet->{status};
        return @list if $key eq '' && $value eq '';
        push @list, [ $key, $value ];
    }
}

1;
