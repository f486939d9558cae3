#!/usr/bin/perl
# Goal: `stats cachedump` lists the cold keys of a class, newest first, and holds up nobody however many there are.
# Method: a server without the maintainer, whose items are all cold; a dump of many while another client works.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

sub dump_of {
    my ($c, $class, $limit) = @_;
    $c->send("stats cachedump $class $limit\r\n");
    return [ split /\r\n/, $c->through("END\r\n") // 'no answer' ];
}

my $server = TestServer->start('-t', '2', '-o', 'no_lru_maintainer');
my $c = $server->client;
$c->set("k$_", 'x' x $_) for 1 .. 5;
is_deeply(dump_of($c, 1, 0), [ (map { "ITEM k$_ [$_ b; 0 s]" } reverse 1 .. 5), 'END' ], 'all of them, the newest first');
is_deeply(dump_of($c, 1, 2), [ 'ITEM k5 [5 b; 0 s]', 'ITEM k4 [4 b; 0 s]', 'END' ], 'as many as are asked for');
is_deeply(dump_of($c, $_, 0), ['END'], "nothing is of class $_") for 0, 2, 63;
$c->talk('delete k4');
$c->set('k2', 'y');
is_deeply([ map { /^ITEM (\S+)/ } @{ dump_of($c, 1, 0) } ], [qw(k2 k5 k3 k1)], 'what moves is shown where it stands');

# As libmemcached's memcdump asks: every class in turn, until one is illegal.
my %seen;
$c->set('large', 'x' x 10_000);
for my $class (0 .. 64) {
    $c->send("stats cachedump $class 0\r\n");
    while (defined(my $line = $c->line)) {
        $seen{$1} = $class if $line =~ /^ITEM (\S+) /;
        last if $line eq 'END' || $line =~ /^CLIENT_ERROR Illegal slab id/;
    }
}
is_deeply(\%seen, { k1 => 1, k2 => 1, k3 => 1, k5 => 1, large => 22 }, 'a walk over all classes finds all keys');

# Many items: 2 MiB of text, and a client of the other worker sees no gap.
my $many = TestServer->start('-t', '2', '-o', 'no_lru_maintainer');
my ($dumper, $other) = map { $many->client } 1 .. 2;
my $long = 'k' x 60;
$dumper->send(join '', map { "set $long$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 40_000);
is($dumper->ask('mn'), 'MN', 'forty thousand items');
my $class = ($dumper->ask("me ${long}1") =~ / cls=(\d+)/)[0];
$dumper->send("stats cachedump $class 0\r\n" x 3);
is($other->ask('mg k v'), 'EN', 'another client is answered while dumps are made') for 1 .. 20;
for (1 .. 3) {
    my $text = $dumper->through("END\r\n") // '';
    cmp_ok(length $text, '<=', 2 << 20, 'two megabytes at most');
    cmp_ok(length $text, '>', (2 << 20) - 200, 'and no less while there is more');
}
is($dumper->ask('mn'), 'MN', 'the connection goes on');

done_testing;
