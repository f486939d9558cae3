#!/usr/bin/perl
# Goal: each line of `stats` says what it should.
# Method: a fresh server: values that follow from how it was started; clients that come and go.
# (Names, order and types: t/stats-names.t.)

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;
my @list = $c->stats_list;
my %value = map { @$_ } @list;

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
is($value{$_}, 0, "$_ is 0 at first") for grep { /^(cmd|get|delete|incr|decr|cas|touch|store|auth|evict|reclaimed|curr_items|bytes$)/ } map { $_->[0] } @list;
cmp_ok($value{bytes_read}, '>=', 7, 'bytes_read counts this command');

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
