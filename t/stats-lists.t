#!/usr/bin/perl
# Goal: `stats items`, `slabs`, `conns` and `sizes` describe items, memory and connections as they are.
# Method: servers with known content; sums against `stats`; connections in several states.

use strict;
use warnings;
use Test::More;
use FindBin;
use List::Util 'sum';
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1');
my $c = $server->client;

# empty
is_deeply([ $c->stats_list('items') ], [], 'no items');
is_deeply([ $c->stats_list('slabs') ], [ [ active_slabs => 0 ], [ total_malloced => 0 ] ], 'no slabs');

# one item
$c->set('k', 'x' x 10);
my @slabs = $c->stats_list('slabs');
is_deeply([ map { $_->[0] } @slabs ], [ (map { "1:$_" } qw(chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks
    free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits)), 'active_slabs', 'total_malloced' ],
    'stats slabs: names and order');
my %slab = map { @$_ } @slabs;
is($slab{'1:chunk_size'}, 96, 'chunk_size');
is($slab{'1:chunks_per_page'}, 10_922, 'chunks_per_page');
is($slab{'1:total_pages'}, 1, 'total_pages');
is($slab{'1:total_chunks'}, 10_922, 'total_chunks');
is($slab{'1:used_chunks'}, 1, 'used_chunks');
is($slab{'1:free_chunks'}, 10_921, 'free_chunks');
is($slab{'1:free_chunks_end'}, 0, 'free_chunks_end');
is($slab{total_malloced}, 1_048_576, 'total_malloced');
my @items = $c->stats_list('items');
is_deeply([ map { $_->[0] } @items ], [ map { "items:1:$_" } qw(number number_hot number_warm number_cold age_hot age_warm age
    mem_requested evicted evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched
    evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru
    direct_reclaims hits_to_hot hits_to_warm hits_to_cold hits_to_temp) ], 'stats items: names and order');
my %item = map { @$_ } @items;
is($item{'items:1:number'}, 1, 'number');
is($item{'items:1:mem_requested'}, 48 + 8 + 2 + 10 + 2, 'mem_requested');
is($server->stat('bytes'), 48 + 8 + 2 + 10 + 2, 'bytes');

# sums
for my $i (1 .. 300) { $c->set("s$i", 'x' x (($i * 37) % 3000), flags => $i % 3) }
my $stats = $server->stats;
my $items = $server->stats('items');
my $slabs = $server->stats('slabs');
my $sum = sub { my ($list, $name) = @_; my $total = 0; $total += $list->{$_} for grep { /:\Q$name\E$/ } keys %$list; return $total };
is($sum->($items, 'number'), $stats->{curr_items}, 'the classes add up to curr_items');
is($sum->($items, 'mem_requested'), $stats->{bytes}, 'their memory to bytes');
is($sum->($slabs, 'used_chunks'), $stats->{curr_items}, 'a chunk each');
is($sum->($slabs, 'total_pages') * 1_048_576, $slabs->{total_malloced}, 'pages add up to total_malloced');
is($sum->($slabs, 'cmd_set'), $stats->{cmd_set}, 'cmd_set is a sum over classes');
is(scalar(grep { /chunk_size/ } keys %$slabs), $slabs->{active_slabs}, 'active_slabs');
my @ids = map { /^(\d+):chunk_size/ ? $1 : () } map { $_->[0] } $c->stats_list('slabs');
is_deeply(\@ids, [ sort { $a <=> $b } @ids ], 'classes ascend');
for my $id (@ids) {
    is($slabs->{"$id:used_chunks"} + $slabs->{"$id:free_chunks"}, $slabs->{"$id:total_chunks"}, "class $id: used and free are all");
}
$c->talk("delete s$_") for 1 .. 300;
$c->talk('delete k');
is($server->stat('bytes'), 0, 'without items there are no bytes');
is($sum->($server->stats('slabs'), 'used_chunks'), 0, 'and no chunk in use');
is_deeply([ $c->stats_list('items') ], [], 'and no list');

# TLS has lists of its own
unless ($ENV{SSL_TEST}) { $c->answers($_, ['ERROR'], "without TLS: $_") for 'stats ssl', 'stats ssl conns' }

# sizes
is_deeply([ $c->stats_list('sizes') ], [ [ sizes_status => 'disabled' ] ], 'stats sizes needs its option');
my $tracking = TestServer->start('-t', '1', '-o', 'track_sizes');
my $t = $tracking->client;
$t->set('k', '');
$t->set('b', 'x' x 35);
$t->set('c', 'x' x 36);
$t->set('d', 'x' x 37);
is_deeply({ map { @$_ } $t->stats_list('sizes') }, { 64 => 1, 96 => 2, 128 => 1 }, 'sizes in steps of 32') unless TestServer::is_old();
$t->talk('delete d');
is_deeply([ map { $_->[0] } $t->stats_list('sizes') ], [ 64, 96 ], 'an empty step has no line');

# conns
SKIP: {
    skip 'the list has other lines before 1.6.45', 1 if TestServer::is_old();
    my $half = $server->client;
    $half->ask('mn');
    $half->send('get half');
    my $upload = $server->client;
    $upload->send("set up 0 0 10\r\nabc");
    my $swallow = $server->client;
    $swallow->send("set " . 'k' x 251 . " 0 0 10\r\nabc");
    my $fresh = $server->client;
    my $want = { conn_listening => 1, conn_parse_cmd => 1, conn_nread => 1, conn_swallow => 1 };
    my (%state, $conns);
    ok(TestServer::wait_until(sub {
        $conns = $c->stats('conns');
        %state = map { $_ => 0 } keys %$want, qw(conn_read conn_new_cmd conn_waiting);
        $state{ $conns->{$_} }++ for grep { /:state$/ } keys %$conns;
        # The last that has come may not be at its worker yet.
        sum(@state{qw(conn_read conn_new_cmd conn_waiting)}) >= 3 && !grep { $state{$_} != $want->{$_} } keys %$want;
    }), 'states of connections, of which the others wait') or diag(join ' ', %state);
    my ($me) = grep { ($conns->{$_} // '') eq 'conn_parse_cmd' } keys %$conns;
    $me =~ s/:state//;
    like($conns->{"$me:addr"}, qr/^tcp:127\.0\.0\.1:\d+$/, 'addr of a client');
    is($conns->{"$me:listen_addr"}, 'tcp:127.0.0.1:' . $server->port, 'listen_addr');
    is($conns->{"$me:secs_since_last_cmd"}, 0, 'secs_since_last_cmd');
    SKIP: {
        skip 'this is not a debug server', 2 unless TestServer::has_feature('debug');
        $server->advance_clock(30);
        $half->send('s');
        my $later = $c->stats('conns');
        is($later->{"$me:secs_since_last_cmd"}, 0, 'the asking connection counts from this very command');
        my ($port) = Socket::unpack_sockaddr_in(getsockname $half->socket);
        my ($it) = grep { /:addr$/ && $later->{$_} =~ /:$port$/ } keys %$later;
        cmp_ok($later->{ $it =~ s/addr$/secs_since_last_cmd/r }, '>=', 30, 'one with half a command from the one before');
    }
    my ($listener) = map { /^(\d+):state$/ && $conns->{$_} eq 'conn_listening' ? $1 : () } keys %$conns;
    is($conns->{"$listener:addr"}, 'tcp:127.0.0.1:' . $server->port, 'addr of a listener');
    ok(!exists $conns->{"$listener:listen_addr"}, 'which has no listen_addr');
    my @order = map { $_->[0] =~ /^(\d+):/ ? $1 : () } $c->stats_list('conns');
    is_deeply(\@order, [ sort { $a <=> $b } @order ], 'ascending by descriptor');
    my @mine = map { $_->[0] =~ /^$me:(.*)/ ? $1 : () } $c->stats_list('conns');
    is_deeply(\@mine, [qw(addr listen_addr state secs_since_last_cmd)], 'the lines of a client');
    my $lines = keys %$conns;
    $_->close for $half, $upload, $swallow, $fresh;
    ok(TestServer::wait_until(sub { keys %{ $c->stats('conns') } < $lines }), 'closed connections are left out');
    my $six = eval { TestServer->start('-t', '1', '-p', '-1', '-l', '::1') };
    if ($six) {
        my $client = $six->client(host => '::1');
        my %list = map { @$_ } $client->stats_list('conns');
        ok((grep { $_ eq 'tcp6:[::1]:' . $six->port } values %list), 'an IPv6 listener');
    }
}

done_testing;
