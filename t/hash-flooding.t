#!/usr/bin/perl
# Goal: keys that were chosen to share one bucket cost no more than others.
# Method: eight thousand keys that collide under MurmurHash3 with every seed, and as many of the same length that do
#         not; the server's CPU time for one get of each, beside the same with the hash that they were chosen for.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $count = 8000;
# Either string leaves MurmurHash3 in one state, whatever state it was in.
my @pair = ('a0bbaaaa', "\xb9\xd1\xe4\xceaa\xb0%");
my @chosen = map { my $number = $_; join '', map { $pair[ $number >> $_ & 1 ] } 0 .. 12 } 0 .. $count - 1;
my @others = map { sprintf '%0104d', $_ } 0 .. $count - 1;

sub cpu_seconds {
    my $stats = $_[0]->stats;
    return $stats->{rusage_user} + $stats->{rusage_system};
}

sub store {
    my ($client, @keys) = @_;
    while (my @some = splice @keys, 0, 500) {
        $client->send(join '', map { "set $_ 0 0 1 noreply\r\nv\r\n" } @some);
    }
    return $client->ask('mn') eq 'MN';
}

# CPU time of a fresh server for one get of each key: the least of some rounds, since others use the machine as well.
sub cost {
    my ($rounds, $arguments, @keys) = @_;
    my $server = TestServer->start('-t', '1', @$arguments);
    my $client = $server->client;
    ok(store($client, @keys), 'the keys are stored');
    my $found = 0;
    my $least;
    for (1 .. $rounds) {
        my $before = cpu_seconds($server);
        my @left   = @keys;
        while (my @some = splice @left, 0, 100) {
            $client->send(join '', map { "mg $_ s\r\n" } @some);
            $found += grep { $client->line eq 'HD s1' } @some;
        }
        my $used = cpu_seconds($server) - $before;
        $least = $used if !defined $least || $used < $least;
    }
    is($found, $rounds * @keys, 'and found');
    return $least;
}

sub ratio {
    my ($rounds, $keys, @arguments) = @_;
    my ($chosen, $others) = map { cost($rounds, \@arguments, @$_[ 0 .. $keys - 1 ]) } \@chosen, \@others;
    note sprintf '%s: %.2f ms for the chosen keys, %.2f ms for others', "@arguments", 1000 * $chosen, 1000 * $others;
    return $chosen / ($others || 1e-6);
}

# Times are coarse; a unit test counts the items that lookups meet, and allows 1.2 times as many.
# A quarter of them shows it: to store all takes long.
cmp_ok(ratio(1, 2000, '-o', 'hash_algorithm=murmur3'), '>', 3, 'they are dear under the hash that they were chosen for');
SKIP: {
    skip 'the key hash of old is not keyed', 1 if TestServer::is_old();
    cmp_ok(ratio(5, $count), '<', 2, 'and cost what others do by default');
}

done_testing;
