#!/usr/bin/perl
# Goal: the LRU crawler frees what has expired wherever it lies, comes and goes as it is told, and keeps nobody waiting.
# Method: lru_crawler and its rows of `stats`, with items behind ones that live on, long rests, and clients that ask
# meanwhile.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $DISABLED = 'CLIENT_ERROR lru crawler disabled';
my $BUSY = 'BUSY currently processing crawler request';

my $server = TestServer->start('-t', '2', '-o', 'no_lru_maintainer');
my $c = $server->client;
# What has begun is over.
sub rests { my ($on) = @_; return $on->wait_stat('lru_crawler_running', 0) }
# Has it crawl, and waits for it.
sub crawl {
    my ($on, $lists) = @_;
    is($on->admin->ask("lru_crawler crawl $lists"), 'OK', "crawl $lists");
    ok(rests($on), 'comes to its end');
}

# lines
for my $line ('lru_crawler', 'lru_crawler e', 'lru_crawler enable now', 'lru_crawler crawl', 'lru_crawler crawl 1 2',
    'lru_crawler sleep', 'lru_crawler tocrawl', 'lru_crawler metadump', 'lru_crawler mgdump all all') {
    $c->answers($line, ['ERROR'], $line);
}
$c->answers("lru_crawler crawl $_", ['BADCLASS invalid class id'], "no class: $_")
    for split m{ }, "0 64 x -1 1,x ALL 99999999999 all,1";
$c->answers('lru_crawler crawl ,', ['NOTSTARTED no items to crawl'], 'no class at all');
$c->answers('lru_crawler crawl hash', ['ERROR an unknown error happened'], 'not through the table');
for my $silent ('lru_crawler disable noreply', 'lru_crawler crawl noreply', 'lru_crawler sleep 5 noreply', 'lru_crawler noreply') {
    $c->answers([ $silent, 'mn' ], ['MN'], "$silent says nothing");
}
is($server->settings->{lru_crawler_sleep}, 100, 'and does nothing');

# the thread comes and goes
is($server->settings->{lru_crawler}, 'yes', 'it runs');
$c->answers('lru_crawler enable', ['ERROR failed to start lru crawler thread'], 'it is not started twice');
$c->answers('lru_crawler disable', ['OK'], 'it is stopped');
is($server->settings->{lru_crawler}, 'no', 'stats settings says so');
ok(!exists $server->stats->{$_}, "$_ is no row then") for qw(lru_crawler_running lru_crawler_starts);
$c->answers("lru_crawler $_", [$DISABLED], "$_ is refused") for 'crawl all', 'crawl x', 'metadump all', 'mgdump x';
$c->answers([ ('lru_crawler enable', 'lru_crawler disable') x 100, 'lru_crawler enable' ], [ ('OK') x 201 ], 'on and off at once');
is($server->stat('lru_crawler_running'), 0, 'in the end it runs, and rests');
my $threads = () = glob "/proc/@{[ $server->pid ]}/task/*";
crawl($server, 'all');
is(scalar(() = glob "/proc/@{[ $server->pid ]}/task/*"), $threads, 'and is one thread');

# pace
$c->answers('lru_crawler sleep 1000001', ['CLIENT_ERROR sleep must be one second or less'], 'a second at most');
$c->answers("lru_crawler $_", ['CLIENT_ERROR bad command line format'], $_) for 'sleep x', 'sleep -1', 'tocrawl x', 'tocrawl -1';
$c->answers('lru_crawler tocrawl 5', ['OK'], 'tocrawl');
is($server->settings->{lru_crawler_tocrawl}, 5, 'is shown');
$c->send(join '', map { "set k$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 1500);
is($c->ask('mn'), 'MN', 'items are stored');
my $before = $server->stat('crawler_items_checked');
crawl($server, 'all');
is($server->stat('crawler_items_checked') - $before, 5, 'and kept to');
$c->answers('lru_crawler tocrawl 0', ['OK'], 'no bound');

# busy
$c->answers('lru_crawler sleep 1000000', ['OK'], 'a long rest');
$c->answers('lru_crawler crawl 1', ['OK'], 'in the midst of a crawl');
$c->answers("lru_crawler $_", [$BUSY], $_) for 'crawl 1', 'crawl ,', 'crawl hash', 'metadump all', 'mgdump 1';
$c->answers('lru_crawler crawl x', ['BADCLASS invalid class id'], 'what is no class is told first');
is($server->stat('lru_crawler_running'), 1, 'it is out');
$c->answers([ 'lru_crawler disable', 'lru_crawler enable' ], [ 'OK', 'OK' ], 'its rest is cut short');
is($server->stat('lru_crawler_running'), 0, 'what it had begun is forgotten');
$c->answers('lru_crawler crawl 1', ['OK'], 'sent out once more');
$c->answers("delete k$_", ['DELETED'], 'items go that it has not seen') for 1499, 1500;
$c->answers('flush_all', ['OK'], 'and then all of them');
ok(rests($server), 'it ends all the same');
$c->answers('lru_crawler sleep 0', ['OK'], 'no rest');
crawl($server, '1');
is($server->stat('curr_items'), 0, 'what was flushed is gone');
is($server->stats->{expired_unfetched}, 0, 'which is no expiry');
cmp_ok($server->stat('lru_crawler_starts'), '>=', 5, 'starts are counted');
$c->answers('stats reset', ['RESET'], 'reset');
is($server->stat($_), 0, "$_ begins anew") for qw(lru_crawler_starts crawler_reclaimed crawler_items_checked);

# while it crawls, the table grows and items come and go
my $busy = TestServer->start('-t', '2', '-o', 'no_lru_maintainer,hashpower=12');
my $writer = $busy->client;
$busy->admin->ask('lru_crawler sleep 100');
for my $round (1 .. 20) {
    $writer->send(join '', map { my $n = $round * 1000 + $_; "set k$n 0 -1 1 noreply\r\nx\r\nset l$n 0 0 1 noreply\r\nx\r\n" } 1 .. 1000);
    $busy->admin->ask('lru_crawler crawl all');
}
is($writer->ask('mn'), 'MN', 'sets go on');
ok(rests($busy), 'the last crawl ends');
crawl($busy, 'all');
# A bucket that is being moved is passed over: so once more, when there is nothing left to grow for.
ok(TestServer::wait_until(sub { $busy->stat('hash_power_level') >= 14 }, 30), 'the table has grown');
ok($busy->wait_stat('hash_is_expanding', 0, 30), 'all the way');
crawl($busy, 'all');
is($busy->stat('curr_items'), 20_000, 'what lives is there');

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    # by itself
    my $own = TestServer->start('-t', '1');
    ok($own->wait_stat('lru_crawler_starts', 1), 'the maintainer sends it out at the start');
    $own->freeze_clock;
    my $o = $own->client;
    $o->answers(\"set live 0 0 1\r\nx\r\n", ['STORED'], 'one that lives at the tail');
    $o->answers(\"set dead$_ 0 100 1\r\nx\r\n", ['STORED'], "one behind it") for 1 .. 3;
    my $ahead = 0;
    ok(TestServer::wait_until(sub { $own->advance_clock($ahead += 40); $own->stat('curr_items') == 1 }, 60), 'in time they are found');
    is($o->ask('get live'), 'VALUE live 0 1', 'and no other');
    cmp_ok($own->stat('crawler_reclaimed') + $own->stat('reclaimed'), '==', 3, 'and counted');
    cmp_ok($own->stat('lru_crawler_starts'), '>=', 2, 'by another crawl');
}

# an orderly end in the midst of a crawl
my $ending = TestServer->start('-t', '1', '-v', '-o', 'no_lru_maintainer,lru_crawler_sleep=1000000');
$ending->admin->send(join '', map { "set k$_ 0 0 1 noreply\r\nx\r\n" } 1 .. 3000);
$ending->admin->answers([ 'mn', 'lru_crawler crawl all' ], [ 'MN', 'OK' ], 'it is out for seconds');
$ending->signal('USR1');
is($ending->wait_exit(2), 0, 'the server ends at once');
like($ending->stderr_text, qr/stopped lru crawler/, 'and tells the step');

done_testing;
