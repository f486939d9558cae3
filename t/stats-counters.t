#!/usr/bin/perl
# Goal: each command moves exactly the counters it should.
# Method: the difference of `stats` before and after each command, against a table.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1');
my $c = $server->client;
my @counters = qw(cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed delete_misses delete_hits
    incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large
    store_no_memory curr_items total_items);

sub counters { my $stats = $server->stats; return map { $_ => $stats->{$_} // 0 } @counters }

# 'k' holds 5 before each request, 'none' does not exist.
sub moves {
    my ($request, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $c->talk('delete none');
    $c->set('k', '5');
    my %before = counters();
    my $marks = () = TestClient::wire($request) =~ /mn\r\n/g;
    $c->talk($request, $marks);
    my %after = counters();
    my %moved = map { $after{$_} != $before{$_} ? ($_ => $after{$_} - $before{$_}) : () } @counters;
    return is_deeply(\%moved, $want, $name // (ref $request eq 'ARRAY' ? $request->[0] : ref $request ? $$request : $request))
        || diag(join ' ', map { "$_=$moved{$_}" } sort keys %moved);
}

moves('get k', { cmd_get => 1, get_hits => 1 });
moves('get none', { cmd_get => 1, get_misses => 1 });
moves('gets k none k', { cmd_get => 3, get_hits => 2, get_misses => 1 });
moves('gat 0 k none', { cmd_touch => 2, touch_hits => 1, touch_misses => 1 }) unless TestServer::is_old();
moves('touch k 0', { cmd_touch => 1, touch_hits => 1 });
moves('touch none 0', { cmd_touch => 1, touch_misses => 1 });
moves([ 'set k 0 0 1', 'x' ], { cmd_set => 1, total_items => 1 });
moves([ 'set none 0 0 1', 'x' ], { cmd_set => 1, total_items => 1, curr_items => 1 });
moves([ 'set k 0 0 1 noreply', 'x' ], { cmd_set => 1, total_items => 1 });
moves([ 'add k 0 0 1', 'x' ], { cmd_set => 1 });
moves([ 'add none 0 0 1', 'x' ], { cmd_set => 1, total_items => 1, curr_items => 1 });
moves([ 'replace none 0 0 1', 'x' ], { cmd_set => 1 });
moves([ 'append none 0 0 1', 'x' ], { cmd_set => 1 });
moves([ 'append k 0 0 1', 'x' ], { cmd_set => 1, total_items => 1 });
moves([ 'cas none 0 0 1 1', 'x' ], { cmd_set => 1, cas_misses => 1 });
moves([ 'cas k 0 0 1 1', 'x' ], { cmd_set => 1, cas_badval => 1 });
moves(\"set k 0 0 1\r\nxyzmn\r\n", { cmd_set => 1 }, 'a bad data chunk') unless TestServer::is_old();
moves([ 'set k 0 0 2000000', 'x' x 2_000_000 ], { store_too_large => 1, curr_items => -1 }, 'set of too large a value');
moves([ 'add k 0 0 2000000', 'x' x 2_000_000 ], { store_too_large => 1 }, 'add of too large a value');
# A half of what -I allows, and the other half too much.
moves([ 'set big 0 0 600000', 'x' x 600_000 ], { cmd_set => 1, total_items => 1, curr_items => 1 }, 'set of a large value');
unless (TestServer::is_old()) {
    moves([ "$_ big 0 0 600000", 'x' x 600_000 ], { cmd_set => 1, store_too_large => 1 }, "$_ to too large a value")
        for qw(append prepend);
    moves([ 'ms big 600000 MA', 'x' x 600_000 ], { cmd_set => 1, store_too_large => 1 }, 'ms to too large a value');
}
moves('delete big', { delete_hits => 1, curr_items => -1 });
moves('delete k', { delete_hits => 1, curr_items => -1 });
moves('delete none', { delete_misses => 1 });
moves('incr k 1', { incr_hits => 1 });
moves('incr none 1', { incr_misses => 1 });
moves('decr k 1', { decr_hits => 1 });
moves('decr none 1', { decr_misses => 1 });
moves('mg k v', { cmd_get => 1, get_hits => 1 });
moves('mg none v', { cmd_get => 1, get_misses => 1 });
moves('mg none v q', { cmd_get => 1, get_misses => 1 });
moves('mg k T0', { cmd_touch => 1, touch_hits => 1 }) unless TestServer::is_old();
moves('mg none T0', { cmd_get => 1, get_misses => 1 }) unless TestServer::is_old();
moves('mg none N0', { cmd_get => 1, get_hits => 1, total_items => 1, curr_items => 1 }) unless TestServer::is_old();
moves([ 'ms k 1', 'x' ], { cmd_set => 1, total_items => 1 });
moves([ 'ms none 1 MR', 'x' ], { cmd_set => 1 });
moves([ 'ms k 1 C1', 'x' ], { cmd_set => 1, cas_badval => 1 });
moves([ 'ms none 1 C1', 'x' ], { cmd_set => 1, cas_misses => 1 });
moves([ 'ms k 2000000', 'x' x 2_000_000 ], { store_too_large => 1, curr_items => -1 }, 'ms of too large a value');
moves('md k', { delete_hits => 1, curr_items => -1 });
moves('md none', { delete_misses => 1 });
moves('md k C1', { delete_misses => 1 }) unless TestServer::is_old();
moves('md k I', {}) unless TestServer::is_old();
moves('ma k', { incr_hits => 1 });
moves('ma k MD', { decr_hits => 1 });
moves('ma none', { incr_misses => 1 });
moves('ma none MD', { decr_misses => 1 });
moves('ma none N0', { total_items => 1, curr_items => 1 }) unless TestServer::is_old();
moves('me k', { cmd_meta => 1 });
moves('mn', {});
moves('version', {});
moves('bogus', {});
moves('flush_all 1000000', { cmd_flush => 1 });
moves('flush_all x', { cmd_flush => 1 });

# cas hits need the number
$c->set('k', 'x');
my $cas = $c->cas('k');
my %before = counters();
$c->talk([ "cas k 0 0 1 $cas", 'y' ]);
my %after = counters();
is($after{cas_hits} - $before{cas_hits}, 1, 'cas_hits');

# the same by class
$server = TestServer->start('-t', '1');
$c = $server->client;
$c->set('n', '5');
$c->set('large', 'x' x 1000);
$c->talk([ 'get n', 'get n', 'get large', 'incr n 1', 'decr n 1', 'touch n 0', 'cas n 0 0 1 1', 'x', 'get none' ]);
$cas = $c->cas('n');
$c->talk([ "cas n 0 0 1 $cas", '6', 'delete large' ]);
my $slabs = $server->stats('slabs');
my %want = (get_hits => 3, cmd_set => 3, incr_hits => 1, decr_hits => 1, touch_hits => 1, cas_badval => 1, cas_hits => 1, delete_hits => 0);
is($slabs->{"1:$_"}, $want{$_}, "class 1: $_") for sort keys %want;
is($slabs->{'12:get_hits'}, 1, 'class 12: get_hits');
is($slabs->{'12:delete_hits'}, 1, 'class 12: delete_hits');

# several workers add up
my $many = TestServer->start('-t', '4');
my @clients = map { $many->client } 1 .. 8;
$_->set('k', 'x') for @clients;
$_->get('k') for (@clients) x 10;
is($many->stat('cmd_get'), 80, 'cmd_get over four workers');
is($many->stat('cmd_set'), 8, 'cmd_set over four workers');
my $stats = $many->stats;
cmp_ok($stats->{bytes_read}, '>=', 8 * (13 + 3) + 80 * 7, 'bytes_read');
cmp_ok($stats->{bytes_written}, '>=', 80 * (15 + 3 + 5), 'bytes_written');

done_testing;
