#!/usr/bin/perl
# Goal: dumps show every item they should, as many at once as clients ask for, also while the table grows, and a client
# that does not read, or goes away, delays nobody.
# Method: lru_crawler metadump and mgdump of a few and of many items, by queues and by the table; clients that read
# slowly, not at all, or leave.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '2', '-m', '512', '-o', 'no_lru_maintainer,hashpower=18');
my $c = $server->client;

# All lines of a dump but OK and the last.
sub dump_of {
    my ($client, $kind, $lists) = @_;
    $client->send("lru_crawler $kind $lists\r\n");
    return lines_of($client, $kind);
}
sub lines_of {
    my ($client, $kind) = @_;
    my $end = $kind eq 'metadump' ? "\nEND\r\n" : "\nEN\r\n";
    my $text = $client->through($end, 60) // return ['the stream ended'];
    $text =~ s/\AOK\r\n// or return ["no OK: $text"];
    $text =~ s/[^\n]*\n\z//;
    return [ split /\n/, $text ];
}
sub keys_of { return [ sort map { /^key=(\S+) exp=/ ? $1 : $_ } @{ $_[0] } ] }
sub away { my ($on) = @_; return scalar grep { $_ eq 'conn_watch' } values %{ $on->stats('conns') } }

# of nothing
is_deeply(dump_of($c, @$_), [], "@$_ of nothing") for map { my $kind = $_; map { [ $kind, $_ ] } split m{ }, "all hash 5 1,2,3" } qw(metadump mgdump);
# Weak point 11 of the reference: it keeps that client, and later dumps fail.
$c->answers('lru_crawler metadump ,', ['NOTSTARTED no items to crawl'], 'no lists: nothing begins');
$c->answers('mn', ['MN'], 'and nobody is attached');
is_deeply(dump_of($c, 'mgdump', 'all'), [], 'the next one begins');
ok(TestServer::wait_until(sub { !away($server) }), 'nobody is away');

# the lines
$c->answers(\"set one 7 0 1\r\nx\r\n", ['STORED'], 'one with flags');
$c->answers(\"ms Zm9vIGJhcg== 2 b F9\r\nhi\r\n", ['HD'], 'a binary key');
$c->answers(\"set dead 0 -1 1\r\nx\r\n", ['STORED'], 'one that has expired');
$c->set('large', 'y' x 300);
my $fields = qr/exp=-1 la=\d{10} cas=\d+ fetch=no/;
for my $lists (qw(all hash)) {
    my @lines = sort @{ dump_of($c, 'metadump', $lists) };
    like($lines[0], qr/^key=foo%20bar $fields cls=1 size=72 flags=9 $/, "$lists: key, fields and a last blank");
    like($lines[1], qr/^key=large $fields cls=7 size=\d+ flags=0 $/, 'a larger one');
    like($lines[2], qr/^key=one $fields cls=1 size=67 flags=7 $/, 'one with flags');
    is(scalar @lines, 3, 'no more');
}
is_deeply(keys_of(dump_of($c, 'metadump', '7')), ['large'], 'one class');
is_deeply(dump_of($c, 'mgdump', '1'), [ "mg one\r", "mg Zm9vIGJhcg== b\r" ], 'mgdump: commands');
$c->answers("$_ v", ['VA 1', 'x'], 'that can be sent') for 'mg one';

# what stands before and behind
$c->answers([ 'version', 'lru_crawler metadump all' ],
    [ 'VERSION ' . TestServer::version_text(), 'ERROR cannot pipeline other commands before metadump' ], 'no reply may wait');
$c->send("set quiet 0 0 1 noreply\r\nx\r\nlru_crawler mgdump 1\r\nmn\r\n");
is(scalar @{ lines_of($c, 'mgdump') }, 3, 'silent commands may come before');
is($c->line, 'MN', 'and others behind');
$c->send("lru_crawler metadump 7\r\nget one\r\nlru_crawler metadump 7\r\n");
is_deeply(keys_of(lines_of($c, 'metadump')), ['large'], 'a dump');
is($c->line, $_, 'then what was sent behind it') for 'VALUE one 7 1', 'x', 'END';
is($c->line, 'ERROR cannot pipeline other commands before metadump', 'a second one waits for nothing');
$c->send_slowly("lru_crawler mgdump 7\r\nmn\r\n");
is_deeply(lines_of($c, 'mgdump'), ["mg large\r"], 'byte by byte');
is($c->line, 'MN', 'the same');
my $hidden = TestServer->start('-t', '1', '-X', '-o', 'no_lru_maintainer');
$hidden->admin->answers('lru_crawler metadump all', ['ERROR metadump not allowed'], '-X forbids metadump');
$hidden->admin->answers('lru_crawler mgdump x', ['ERROR key dump not allowed'], 'and mgdump');
$hidden->admin->answers('lru_crawler crawl all', ['OK'], 'and no crawl');

# many items: more than the sockets between the two hold
my $MANY = 200_000;
my @all = sort('large', 'one', 'quiet', 'foo%20bar', map { "k$_" } 1 .. $MANY);
for my $part (0 .. 19) {
    $c->send(join '', map { my $n = $part * $MANY / 20 + $_; "set k$n 0 0 1 noreply\r\nx\r\n" } 1 .. $MANY / 20);
}
is($c->ask('mn'), 'MN', 'many items are stored');
is_deeply(keys_of(dump_of($c, 'metadump', $_)), \@all, "all of them are shown: $_") for qw(all hash);
is(scalar @{ dump_of($c, 'mgdump', 'hash') }, scalar @all, 'by mgdump, too');

# Clients that do not read. Weak point 21 of the reference: what an idle one is owed once grew beyond its buffer.
my @idlers = map { $server->client } 1 .. 6;
my $before = $server->resident;
$_->send("lru_crawler metadump hash\r\nmn\r\n") for @idlers[0 .. 2];
$_->send("lru_crawler metadump all\r\nmn\r\n") for @idlers[3 .. 5];
ok(TestServer::wait_until(sub { away($server) == 6 }), 'stats conns shows conn_watch');
is($server->stat('lru_crawler_running'), 1, 'stats shows that something is under way');
is_deeply(keys_of(dump_of($c, 'metadump', 'hash')), \@all, 'another is told all meanwhile');
$c->answers('lru_crawler crawl all', ['OK'], 'the crawler goes its way');
for my $n (1 .. 2000) { $c->send("set k$n 0 0 1 noreply\r\ny\r\nset new$n 0 0 1 noreply\r\nx\r\ndelete new$n noreply\r\n") }
is($c->ask('mn'), 'MN', 'sets and deletes go on');
is(away($server), 6, 'they are still away');
cmp_ok($server->resident - $before, '<', 8192, 'their memory is bounded') unless $ENV{VALGRIND_TEST};
$idlers[1]->close;
$idlers[4]->abort;
ok(TestServer::wait_until(sub { away($server) == 4 }), 'clients that leave in the midst are noticed');
is_deeply(keys_of(lines_of($idlers[0], 'metadump')), \@all, 'one reads after all: each key once');
is($idlers[0]->line, 'MN', 'and is back');
cmp_ok(scalar @{ lines_of($idlers[3], 'metadump') }, '>=', $MANY - 4000, 'by queues: all but those that moved');
is($idlers[3]->line, 'MN', 'and is back, too');
$_->abort for @idlers[2, 5];
ok(TestServer::wait_until(sub { away($server) == 0 }), 'nobody is away in the end');
ok($server->wait_stat('lru_crawler_running', 0), 'and nothing under way');

# While the table grows. Weak points 4, 5 and 26 of the reference: a client that does not read keeps the table from growing,
# and then whoever asks for a crawl hangs; and dumps by the table wait for growth, or are refused.
my $growing = TestServer->start('-t', '2', '-m', '512', '-o', 'no_lru_maintainer,hashpower=12');
my $writer = $growing->client;
my $STAY = 150_000;
$writer->send(join '', map { "set k$_ 0 0 1 noreply\r\nx\r\n" } 1 .. $STAY);
is($writer->ask('mn'), 'MN', 'items are stored');
# Growth is looked at once a second, and doubles the table.
ok($growing->wait_stat('hash_power_level', 17, 30), 'the table grows until it fits them');
ok($growing->wait_stat('hash_is_expanding', 0, 30), 'all the way');
my @readers = map { $growing->client } 1 .. 4;
$_->send("lru_crawler metadump hash\r\n") for @readers;
ok(TestServer::wait_until(sub { away($growing) == 4 }), 'four do not read');
$writer->send(join '', map { "set m$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 100_000);
is($writer->ask('mn'), 'MN', 'many more come');
ok($growing->wait_stat('hash_power_level', 18), 'the table grows again');
$growing->admin->answers('lru_crawler crawl all', ['OK'], 'a crawl begins');
ok($growing->wait_stat('hash_is_expanding', 0, 30), 'the table has grown');
is(away($growing), 4, 'while they still do not read');
for my $reader (@readers) {
    my %seen;
    $seen{$_}++ for @{ keys_of(lines_of($reader, 'metadump')) };
    is(scalar(grep { ($seen{"k$_"} // 0) != 1 } 1 .. $STAY), 0, 'each that stays is shown once');
}
# Until the crawl is over no other dump begins.
ok($growing->wait_stat('lru_crawler_running', 0, 30), 'the crawl has ended');
is(scalar @{ dump_of($writer, 'mgdump', 'hash') }, $STAY + 100_000, 'and all are shown to who asks then');

# the end of the server
my $ending = TestServer->start('-t', '2', '-m', '512', '-o', 'no_lru_maintainer');
$ending->admin->send(join '', map { "set k$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 150_000);
is($ending->admin->ask('mn'), 'MN', 'items are stored');
my @gone = map { $ending->client } 1 .. 3;
$_->send("lru_crawler metadump hash\r\n") for @gone;
ok(TestServer::wait_until(sub { away($ending) == 3 }), 'three are away');
$ending->signal('USR1');
is($ending->wait_exit, 0, 'the server ends');
unlike($_->rest // 'no end', qr/^END|no end/m, 'a client sees the end, too early') for @gone;

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    # a bucket that is held for long; by a hash with a key of its own one of the others would now and then share its lock
    my $held = TestServer->start('-t', '1', '-o', 'no_lru_maintainer,hash_algorithm=murmur3');
    my ($one, $two) = ($held->client, $held->client);
    $one->set($_, 'x') for qw(a b c d);
    is($held->admin->ask('debugitem lock b'), 'OK', 'a bucket is held');
    $one->send("lru_crawler mgdump hash\r\n");
    ok(TestServer::wait_until(sub { away($held) == 1 }), 'a dump waits for it');
    is_deeply([ sort @{ dump_of($two, 'mgdump', 'all') } ], [ "mg a\r", "mg c\r", "mg d\r" ], 'one by queues leaves it out');
    $two->send("lru_crawler mgdump hash\r\n");
    my @more = map { $held->client } 1 .. 3;
    is(scalar(grep { @{ dump_of($_, 'mgdump', '1') } == 3 } @more), 3, 'others are told things meanwhile');
    is($held->admin->ask('debugitem unlock b'), 'OK', 'it is free again');
    is(scalar @{ lines_of($_, 'mgdump') }, 4, 'and everything is shown') for $one, $two;
    is($held->admin->ask('debugitem lock b'), 'OK', 'held once more');
    $one->send("lru_crawler mgdump hash\r\n");
    ok(TestServer::wait_until(sub { away($held) == 1 }), 'a dump waits');
    $held->signal('USR1');
    is($held->wait_exit, 0, 'the stop does not');

    # a client that takes nothing for half an hour
    my $patient = TestServer->start('-t', '1', '-m', '512', '-o', 'no_lru_maintainer');
    $patient->admin->send(join '', map { "set k$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 150_000);
    is($patient->admin->ask('mn'), 'MN', 'items are stored');
    my $sleeper = $patient->client;
    $sleeper->send("lru_crawler metadump hash\r\n");
    ok(TestServer::wait_until(sub { away($patient) == 1 }), 'one does not read');
    $patient->advance_clock(1000);
    # The host looks once in a second of the real clock.
    $patient->admin->silent(1.5);
    is(away($patient), 1, 'for a while that is borne');
    # What the kernel still takes in meanwhile begins another half hour.
    ok(TestServer::wait_until(sub { $patient->advance_clock(1801); away($patient) == 0 }, 20), 'after half an hour it is closed');
}

done_testing;
