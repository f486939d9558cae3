#!/usr/bin/perl
# Goal: -o takes its suboptions as getsubopt does; each mistake has its text and status 1.
# Method: refused values, with their texts; accepted ones seen in `stats settings`.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

sub refuses {
    my ($value, $text, $status) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run('-o', $value);
    $status //= 1;
    my $fits = ref $text ? $run->{stderr} =~ $text : index($run->{stderr}, $text) == 0;
    return ok(1, "-o $value") if !$run->{running} && $run->{status} == $status && $fits;
    ok(0, "-o $value");
    diag($run->{running} ? 'it runs' : "status $run->{status} (signal $run->{signal}), not $status");
    diag("stderr: $run->{stderr}wanted: $text") unless $fits;
}

refuses('nosuch', "Illegal suboption \"nosuch\"\n");
refuses('nosuch=5', "Illegal suboption \"nosuch=5\"\n");
refuses('modern,nosuch=5,track_sizes', "Illegal suboption \"nosuch=5\"\n");
refuses('Modern', "Illegal suboption \"Modern\"\n");
refuses(',', "Illegal suboption \"\"\n");
refuses('modern,,modern', "Illegal suboption \"\"\n");
refuses('modern, no_modern', "Illegal suboption \" no_modern\"\n");
refuses('inline_ascii_response', qr/^Illegal suboption "inline_ascii_response"\n/) unless TestServer::is_old();

# name, text of a missing value, then pairs of refused value and text
my $TOO_HIGH = qr/^Initial hashtable multiplier of 33 is too high\nChoose a value based on "STAT hash_power_level" from a running instance\n/;
for my $row (
    [ 'hashpower', 'Missing numeric argument for hashpower', 11 => 'Initial hashtable multiplier of 11 is too low',
        x => 'Initial hashtable multiplier of 0 is too low', 33 => $TOO_HIGH ],
    [ 'slab_automove', undef, 3 => 'slab_automove must be between 0 and 2' ],
    [ 'slab_automove_ratio', 'Missing slab_automove_ratio argument', 0 => 'slab_automove_ratio must be > 0 and < 1',
        '1.1' => 'slab_automove_ratio must be > 0 and < 1', x => 'slab_automove_ratio must be > 0 and < 1' ],
    [ 'slab_automove_window', 'Missing slab_automove_window argument', 2 => 'slab_automove_window must be > 2' ],
    [ 'tail_repair_time', 'Missing numeric argument for tail_repair_time', 9 => 'Cannot set tail_repair_time to less than 10 seconds' ],
    [ 'hash_algorithm', 'Missing hash_algorithm argument', x => 'Unknown hash_algorithm option (jenkins, murmur3' ],
    [ 'lru_crawler_sleep', 'Missing lru_crawler_sleep value', 1000001 => 'LRU crawler sleep must be between 0 and 1 second',
        -1 => 'LRU crawler sleep must be between 0 and 1 second' ],
    [ 'lru_crawler_tocrawl', 'Missing lru_crawler_tocrawl value', x => 'lru_crawler_tocrawl takes a numeric 32bit value',
        -1 => 'lru_crawler_tocrawl takes a numeric 32bit value' ],
    [ 'hot_lru_pct', 'Missing hot_lru_pct argument', 0 => 'hot_lru_pct must be > 1 and < 80', 80 => 'hot_lru_pct must be > 1 and < 80' ],
    [ 'warm_lru_pct', 'Missing warm_lru_pct argument', 0 => 'warm_lru_pct must be > 1 and < 80', 80 => 'warm_lru_pct must be > 1 and < 80' ],
    [ 'hot_max_factor', 'Missing hot_max_factor argument', 0 => 'hot_max_factor must be > 0', x => 'hot_max_factor must be > 0' ],
    [ 'warm_max_factor', 'Missing warm_max_factor argument', 0 => 'warm_max_factor must be > 0' ],
    [ 'temporary_ttl', 'Missing temporary_ttl argument' ],
    [ 'idle_timeout', 'Missing numeric argument for idle_timeout' ],
    [ 'watcher_logbuf_size', 'Missing watcher_logbuf_size argument', x => 'could not parse argument to watcher_logbuf_size' ],
    [ 'worker_logbuf_size', 'Missing worker_logbuf_size argument', x => 'could not parse argument to worker_logbuf_size' ],
    [ 'slab_chunk_max', 'Missing slab_chunk_max argument', x => 'could not parse argument to slab_chunk_max',
        0 => 'slab_chunk_max must be >= 0', -1 => 'slab_chunk_max must be >= 0', 1025 => 'slab_chunk_max must be specified in kilobytes.' ],
    [ 'read_buf_mem_limit', 'Missing read_buf_mem_limit argument', x => 'could not parse argument to read_buf_mem_limit' ],
) {
    my ($name, $missing, @refused) = @$row;
    next if TestServer::is_old() && $name eq 'slab_chunk_max';
    refuses($name, $missing) if defined $missing;
    while (my ($value, $text) = splice @refused, 0, 2) { refuses("$name=$value", $text) }
}
refuses('hot_lru_pct=50,warm_lru_pct=50', 'hot_lru_pct + warm_lru_pct cannot be more than 80% combined', 64);
refuses('temporary_ttl=10,no_lru_maintainer', 'temporary_ttl requires lru_maintainer to be enabled', 64);
refuses('hashpower=12', qr/^Hash table power size \(12\) cannot be equal to or less than item lock table \(12\)\nItem lock table grows with `-t N` \(worker threadcount\)\nHash table grows with `-o hashpower=N` \n/);

# slab_sizes; weak point 3 of the reference: without a value it dies
unless (TestServer::is_old()) {
    refuses('slab_sizes', 'Missing slab_sizes argument');
    refuses('sock_cookie_id', 'Missing sock_cookie_id argument');
}
refuses('slab_sizes=40', 'slab size 40 is out of valid range', 64);
refuses('slab_sizes=x', 'slab size 0 is out of valid range', 64);
refuses('slab_sizes=100-1000000', 'slab size 1000000 is out of valid range', 64);
refuses('slab_sizes=200-100', 'slab size 100 cannot be lower than or equal to a previous class size', 64);
refuses('slab_sizes=100-100', 'slab size 100 cannot be lower than or equal to a previous class size', 64);
refuses('slab_sizes=100-108', 'slab size 108 must be at least 8 bytes larger than previous class', 64);
refuses('slab_sizes=' . join('-', map { 100 + 16 * $_ } 1 .. 63), 'too many slab classes specified', 64);

# accepted, and shown
my @servers;
for my $row (
    [ 'hashpower=17', hashpower_init => 17 ],
    [ 'no_maxconns_fast', maxconns_fast => 'no' ],
    [ 'no_maxconns_fast,maxconns_fast', maxconns_fast => 'yes' ],
    [ 'maxconns_fast=7', maxconns_fast => 'yes' ],
    [ 'slab_automove_ratio=1.0', slab_automove_ratio => '1.00' ],
    [ 'slab_automove', slab_automove => 1 ],
    [ 'no_slab_automove', slab_automove => 0 ],
    [ 'slab_automove=2', slab_automove => 2 ],
    [ 'slab_automove_window=1800', slab_automove_window => 1800 ],
    [ 'no_slab_reassign', slab_reassign => 'no' ],
    [ 'hash_algorithm=jenkins', hash_algorithm => 'jenkins' ],
    [ 'hash_algorithm=xxh3', hash_algorithm => 'xxh3' ],
    [ 'hash_algorithm=ahash', hash_algorithm => 'ahash' ],
    [ 'tail_repair_time=10', tail_repair_time => 10 ],
    [ 'hot_lru_pct=1,warm_lru_pct=79', hot_lru_pct => 1, warm_lru_pct => 79 ],
    [ 'hot_max_factor=0.5,warm_max_factor=3', hot_max_factor => '0.50', warm_max_factor => '3.00' ],
    [ 'no_lru_maintainer', lru_maintainer_thread => 'no', lru_segmented => 'no' ],
    [ 'temporary_ttl=30', temp_lru => 'yes', temporary_ttl => 30 ],
    [ 'idle_timeout=99', idle_timeout => 99 ],
    [ 'watcher_logbuf_size=1,worker_logbuf_size=2', watcher_logbuf_size => 1024, worker_logbuf_size => 2048 ],
    [ 'slab_chunk_max=16', slab_chunk_max => 16_384 ],
    [ 'slab_chunk_max=1024', slab_chunk_max => 1_048_576 ],
    [ 'no_chunked_items', slab_chunk_max => 1_048_576 ],
    [ 'track_sizes', track_sizes => 'yes' ],
    [ 'read_buf_mem_limit=8', read_buf_mem_limit => 8_388_608 ],
    [ 'modern', slab_chunk_max => 524_288 ],
    [ 'modern=3,', slab_automove => 1 ],
    [ '', slab_automove => 1 ],
    [ ' modern', slab_automove => 1 ],
    [ 'no_modern', slab_chunk_max => 1_048_576, slab_reassign => 'no', slab_automove => 0, maxconns_fast => 'no', lru_segmented => 'no',
        hash_algorithm => 'jenkins', lru_crawler => 'no', lru_maintainer_thread => 'no' ],
    [ 'no_modern,slab_reassign,hash_algorithm=murmur3', slab_reassign => 'yes', hash_algorithm => 'murmur3', lru_maintainer_thread => 'no' ],
    [ 'slab_chunk_max=512,no_modern', slab_chunk_max => 524_288 ],
    [ 'drop_privileges,no_drop_privileges,inline_ascii_resp,no_inline_ascii_resp', slab_automove => 1 ],
    [ 'resp_obj_mem_limit=3', slab_automove => 1 ],
    [ 'no_hashexpand', slab_automove => 1 ],
) {
    my ($value, %want) = @$row;
    next if TestServer::is_old() && $value =~ /xxh3|ahash|logbuf|slab_chunk_max|^ /;
    my $server = TestServer->start('-t', '1', '-o', $value);
    my $settings = $server->settings;
    is($settings->{$_}, $want{$_}, "-o $value: $_") for sort keys %want;
    $server->kill_now;
}
my $server = TestServer->start('-o', 'resp_obj_mem_limit');
like($server->stderr_text, qr/DEPRECATED: resp_obj_mem_limit no longer used/, 'resp_obj_mem_limit is accepted with a word about it') unless TestServer::is_old();

# later ones win over earlier ones, across -o
$server = TestServer->start('-o', 'idle_timeout=5,temporary_ttl=7', '-o', 'idle_timeout=9');
my $settings = $server->settings;
is($settings->{idle_timeout}, 9, 'the last value counts');
is($settings->{temporary_ttl}, 7, 'an earlier -o is not forgotten');

done_testing;
