#!/usr/bin/perl
# Goal: the hash table grows when it is full, and every key is found before, during and after.
# Method: a small table, keys beyond its limit, look-ups all the while.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

sub store {
    my ($c, $from, $to) = @_;
    for (my $at = $from; $at <= $to; $at += 1000) {
        my $last = $at + 999 > $to ? $to : $at + 999;
        $c->send(join '', map { "set key$_ 0 0 " . length($_) . " noreply\r\n$_\r\n" } $at .. $last);
    }
    $c->ask('mn');
}

sub all_found {
    my ($c, $from, $to) = @_;
    my @keys = map { "key$_" } $from .. $to;
    my $want = join('', map { "VALUE key$_ 0 " . length($_) . "\r\n$_\r\n" } $from .. $to) . "END\r\n";
    return ($c->talk("get @keys") // '') eq $want;
}

# The table is looked at once a second: other servers fill up meanwhile.
my $fixed = TestServer->start('-t', '1', '-o', 'hashpower=12,no_hashexpand');
my $f = $fixed->client;
store($f, 1, 8000);
my $plain;
unless (TestServer::is_old()) {
    $plain = TestServer->start('-t', '1', '-o', 'hashpower=12,no_modern');
    store($plain->client, 1, 7000);
}

my $server = TestServer->start('-t', '2', '-o', 'hashpower=12');
my $c = $server->client;
my $stats = $server->stats;
is($stats->{hash_power_level}, 12, 'the table starts as asked for');
is($stats->{hash_bytes}, 32_768, 'with eight bytes a bucket');
is($stats->{hash_is_expanding}, 0, 'and does not grow yet');
store($c, 1, 6144);
my $tick = $server->stat('uptime');
ok($server->wait_stat('uptime', sub { $_[0] > $tick + 1 }), 'a tick later');
is($server->stat('hash_power_level'), 12, '6144 items are not too many');
store($c, 6145, 6200);
ok($server->wait_stat('hash_power_level', 13), '6200 are');
ok(all_found($c, 1, 6200), 'every key is found');
ok($server->wait_stat('hash_is_expanding', 0), 'the growth comes to its end');
is($server->stat('hash_bytes'), 65_536, 'the older table is gone');
ok(all_found($c, 1, 6200), 'every key is found');
my $other = $server->client;
for my $round (1 .. 12) {
    store($c, 6200 + ($round - 1) * 4000 + 1, 6200 + $round * 4000);
    ok(all_found($other, 1, 6200), "keys while the table grows, round $round");
}
ok($server->wait_stat('hash_power_level', sub { $_[0] >= 16 }, 30), 'the table has grown to 2^16');
ok($server->wait_stat('hash_is_expanding', 0, 30), 'and is at rest');
ok(all_found($c, $_ * 5000 + 1, $_ * 5000 + 5000), "keys from $_ times five thousand") for 0 .. 9;
is($server->stat('curr_items'), 54_200, 'no item was lost or doubled');
$c->send(join '', map { "delete key$_ noreply\r\n" } 1 .. 54_200);
is($c->ask('mn'), 'MN', 'all deleted');
is($server->stat('curr_items'), 0, 'none is left');

# not at all
is($fixed->stat('hash_power_level'), 12, 'no_hashexpand: the table stays');
ok(all_found($f, 1, 8000), 'and every key is found');

# without a page mover, too
if ($plain) {
    ok($plain->wait_stat('hash_power_level', 13), 'no_modern: the table grows');
    ok(all_found($plain->client, 1, 7000), 'and every key is found');
}

# each hash function
for my $algorithm (qw(jenkins murmur3 xxh3 ahash)) {
    next if TestServer::is_old() && $algorithm =~ /xxh3|ahash/;
    my $one = TestServer->start('-t', '1', '-o', "hash_algorithm=$algorithm");
    my $o = $one->client;
    store($o, 1, 5000);
    ok(all_found($o, 1, 5000), "hash_algorithm=$algorithm");
}

done_testing;
