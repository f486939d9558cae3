#!/usr/bin/perl
# Goal: a client that stops reading holds its items as they were, whatever happens to their keys, and
# holds up nobody.
# Method: replies larger than the socket's buffers; then overwrite, delete, evict and flush; then read on.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1', '-m', '32');
my $c = $server->client;

# Text that is another one for each seed.
sub text {
    my ($seed, $length) = @_;
    my $part = join ',', map { $_ * $seed % 999_983 } 1 .. 1000;
    return substr $part x ($length / 2000), 0, $length;
}

my %value = map { my $seed = 1000 + $_; "k$_" => text($seed, 700_000) } 1 .. 6;
$c->set($_, $value{$_}) for sort keys %value;

# six clients ask for all of it and do not read
my @slow;
for (1 .. 6) {
    my $slow = $server->client;
    $slow->send("get k1 k2 k3 k4 k5 k6\r\n");
    push @slow, $slow;
}
my $want = join('', map { "VALUE k$_ 0 700000\r\n" . $value{"k$_"} . "\r\n" } 1 .. 6) . "END\r\n";
is($c->ask('mn'), 'MN', 'others are served meanwhile');
ok($server->wait_stat('cmd_get', sub { $_[0] >= 36 }), 'all have asked');

# everything that can happen to a key
$c->set('k1', text(7, 700_000));
$c->talk('delete k2');
$c->set('k3', 'short');
$c->talk([ 'append k4 0 0 3', 'xyz' ]);
$c->talk('touch k5 1000');
for my $i (1 .. 60) { $c->set("fill$i", text($i, 600_000)) }
$c->talk('flush_all');
$c->set("k6", 'other');
for my $i (1 .. 60) { $c->set("fill$i", text($i + 100, 600_000)) }
cmp_ok($server->stat('evictions'), '>', 0, 'the server is full and evicts');

for my $i (0 .. 5) {
    my $got = $slow[$i]->bytes(length $want);
    ok(defined $got && $got eq $want, "client $i reads what was there when it asked");
    is($slow[$i]->ask('mn'), 'MN', 'and goes on');
}
ok($c->get('k6') eq 'other', 'the keys have their new values');

# Weak point 6 of the reference: with a page being moved, one such client kept growth and the orderly stop waiting for ever.
{
    my $held = TestServer->start('-t', '1', '-o', 'hashpower=12');
    my $h = $held->client;
    $h->set($_, $value{$_}) for sort keys %value;
    my $stuck = $held->client;
    $stuck->send("get k1 k2 k3 k4 k5 k6\r\n");
    ok($held->wait_stat('cmd_get', sub { $_[0] >= 6 }), 'a client has asked and does not read');
    $h->send(join '', map { "set s$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 6200);
    is($h->ask('mn'), 'MN', 'too many keys for the hash table');
    ok($held->wait_stat('hash_power_level', 13), 'it grows');
    ok($held->wait_stat('hash_is_expanding', 0), 'to the end');
    $h->talk("delete $_") for keys %value;
    undef $h;
    is($held->stop('USR1'), 0, 'and the server stops in order');
}

# clients that leave instead
my @left;
for (1 .. 10) {
    my $gone = $server->client;
    $gone->send("get " . join(' ', map { "fill$_" } 40 .. 60) . "\r\n");
    push @left, $gone;
}
$c->ask('mn');
$_ % 2 ? $left[$_]->abort : $left[$_]->close for 0 .. 9;
ok($server->wait_stat('curr_connections', sub { $_[0] <= 9 }), 'clients that leave amid a reply are let go');
$c->talk("delete fill$_") for 1 .. 60;
$c->talk("delete k$_") for 1 .. 6;
ok(TestServer::wait_until(sub { my $slabs = $server->stats('slabs'); !grep { /used_chunks/ && $slabs->{$_} } keys %$slabs }),
    'with all keys deleted no chunk is in use');
is($server->stat('curr_items'), 0, 'and no item is left');

done_testing;
