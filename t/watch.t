#!/usr/bin/perl
# Goal: whoever watches is told what happens, all of it or how much is missing, and nobody waits for them.
# Method: watchers of all kinds beside clients that make it happen; watchers that do not read, leave in the middle, come in
# numbers; buffers of the smallest and the largest size.

use strict;
use warnings;
use Test::More;
use Time::HiRes 'time';
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestWatch qw(watch event text next_of watchers port_of);
TestServer::need_new();

my $server = TestServer->start('-t', '2', '-m', '64');
my $c = $server->client;

# what comes first
my $began = time;
my $w = watch($server);
cmp_ok(time - $began, '<', 1, 'OK comes at once') unless $ENV{VALGRIND_TEST};
$c->set('k', 'value');
my $cfd = event($w)->{cfd};
like($cfd, qr/^\d+$/, 'a line without delay');
my %conns = %{ $server->stats('conns') };
ok(exists $conns{"$cfd:addr"}, 'cfd is a number of stats conns');
is(scalar(grep { $_ eq 'conn_watch' } values %conns), 1, 'where the watcher is conn_watch');
$c->get($_) for qw(k none);
is(text($w), "type=item_get key=k status=found clsid=1 cfd=$cfd size=5", 'a hit');
my $miss = event($w);
is($miss->{text}, "type=item_get key=none status=not_found clsid=0 cfd=$cfd size=0", 'a miss');
cmp_ok(abs($miss->{ts} - time), '<', TestServer::patience(10), 'the time is the wall clock');
$c->ask('mg Zm9vIGJhcg== b');
is(event($w)->{key}, 'foo%20bar', 'keys are encoded');

# kinds
my %by = map { $_ => watch($server, $_) } qw(fetchers mutations deletions evictions sysevents rawcmds);
my $all = watch($server, 'fetchers mutations deletions');
ok(watchers($server, 8), 'eight of them');
$c->set('m', '12345');
$c->ask('delete m');
$c->ask('mn');
my @expected = (
    "type=item_get key=m status=not_found clsid=0 cfd=$cfd size=0",
    "type=item_store key=m status=stored cmd=set ttl=0 clsid=1 cfd=$cfd size=5",
    "type=item_get key=m status=found clsid=1 cfd=$cfd size=5",
    'type=deleted key=m cmd=delete clsid=1 size=5',
);
my @heard = map { event($all) } @expected;
is_deeply([ map { $_->{text} } @heard ], \@expected, 'several kinds, in order');
is_deeply([ map { $heard[$_]{gid} - $heard[0]{gid} } 0 .. 3 ], [ 0 .. 3 ], 'gid grows by one for each event');
is(text($by{mutations}), $expected[1], 'mutations alone');
is(text($by{deletions}), $expected[3], 'deletions alone');
is_deeply([ map { text($by{fetchers}) } 1, 2 ], [ @expected[ 0, 2 ] ], 'fetchers alone');
ok($by{rawcmds}->silent, 'rawcmds is silent');

# clients that come and go
$by{connevents} = watch($server, 'connevents');
my $d = $server->client;
my ($port, $new) = (port_of($d), undef);
$new = event($by{connevents});
is($new->{text}, "type=conn_new rip=127.0.0.1 rport=$port transport=tcp cfd=$new->{cfd}", 'a client has come');
$d->send("quit\r\n");
is(text($by{connevents}), "type=conn_close rip=127.0.0.1 rport=$port transport=tcp reason=normal cfd=$new->{cfd}", 'quit');
for my $case ([ "GET / HTTP/1.0\r\n", 'error' ], [ 'x' x 3000, 'error' ], [ '', 'normal' ]) {
    my $e = $server->client;
    is(event($by{connevents})->{type}, 'conn_new', 'another client');
    $case->[0] eq '' ? $e->close : $e->send($case->[0]);
    is(event($by{connevents})->{reason}, $case->[1], TestClient::visible(substr $case->[0], 0, 10) . ' ends it');
}
$by{sysevents}->close;
is(event($by{connevents})->{reason}, 'normal', 'a watcher that closes is a client that closes');
ok(watchers($server, 8), 'and its place is free');
$by{sysevents} = watch($server, 'sysevents');
ok(ref $by{sysevents}, 'for another');

# what a watcher says
$w->send("quit\r\nget k\r\nwatch mutations\r\n" x 200);
$w->{input} = '';
$c->get('heard');
my $heard = event($w);
$heard = event($w) while ($heard->{key} // 'heard') ne 'heard';
is($heard->{cfd}, $cfd, 'what a watcher says is dropped');
$all->send("get k\r\n");
ok($w->silent(0.3), 'and does nothing');
my $behind = $server->client;
$behind->send("watch mutations\r\nset behind 0 0 1\r\nx\r\n");
is($behind->line, 'OK', 'commands behind watch');
is($c->get('behind'), undef, 'are lost');
$behind->close;

# refusals
$c->answers([ 'version', 'watch' ], [ 'VERSION ' . TestServer::version_text(), 'ERROR cannot pipeline other commands before watch' ], 'no reply may wait');
$c->answers("watch $_", ['ERROR'], "watch $_") for qw(bogus FETCHERS noreply f), 'fetchers bogus';
my $off = TestServer->start('-W');
$off->admin->answers($_, ['CLIENT_ERROR watch commands not allowed'], "-W: $_") for 'watch', 'watch fetchers', 'watch bogus';
$off->stop;
$_->close for $w, $all, values %by;
ok(watchers($server, 0), 'none is left');

# as many as may be, at once
my @crowd = grep { ref } map { watch($server, 'mutations') } 1 .. 20;
is(scalar @crowd, 20, 'twenty in all');
$c->answers('watch', ['WATCHER_TOO_MANY log watcher limit reached'], 'not one more');
$c->set('for-all', 'x');
is(scalar(grep { event($_)->{key} eq 'for-all' } @crowd), 20, 'each is told');
my %stats = %{ $server->stats };
is($stats{log_watchers}, 20, 'all are counted');
cmp_ok($stats{log_watcher_sent}, '>=', 20 + 10, 'so are their lines');
cmp_ok($stats{log_worker_written}, '>=', 10, 'and events');
is_deeply([ @stats{qw(log_worker_dropped log_watcher_skipped)} ], [ 0, 0 ], 'nothing was lost');
$_->abort for @crowd[ 0 .. 9 ];
$_->close for @crowd[ 10 .. 18 ];
ok(watchers($server, 1), 'they are noticed when they go, however');
$c->ask('stats reset');
%stats = %{ $server->stats };
is_deeply([ @stats{qw(log_worker_written log_watcher_sent log_watchers)} ], [ 0, 0, 1 ], 'a reset leaves the watchers');
for my $round (1 .. 30) {
    my @few = map { watch($server, 'fetchers') } 1 .. 19;
    $c->send("get k\r\n" x 100);
    $c->through("END\r\n") for 1 .. 100;
    $_->abort for @few;
    watchers($server, 1) or fail("round $round");
}
pass('places are taken again and again, while lines are written');

# one that does not read
my $slow = watch($server, 'fetchers');
my $quick = watch($server, 'mutations');
ok($server->overrun_watcher($c), 'who does not read loses lines');
$c->set('beside', 'x');
is(event($quick)->{key}, 'beside', 'and the others do not');
my ($read, $told, $last) = (0, 0, 0);
for (1 .. 100_000) {
    my $event = event($slow, 0.5);
    last if ($event->{type} // '') eq 'nothing';
    if ($event->{skipped}) { $told += $event->{skipped}; next }
    $event->{type} eq 'item_get' or fail("a whole line: $event->{type}");
    $read++;
}
$c->get('after');
is($server->wait_stat('log_watcher_skipped', sub { $_[0] >= $told }) && 1, 1, 'it reads after all');
my $event = event($slow);
if ($event->{skipped}) { $told += $event->{skipped}; $event = event($slow) }
is($event->{key}, 'after', 'and is told again');
is($told, $server->stat('log_watcher_skipped'), 'with how many lines it has lost');
$_->close for $slow, $quick;

# a flood beside a watcher
SKIP: {
    skip 'slow enough under valgrind', 2 if $ENV{VALGRIND_TEST};
    my $flooded = watch($server, 'fetchers');
    my $before = $server->stat('log_worker_dropped');
    my $dropped = 0;
    for (1 .. 200) {
        $c->send("get k\r\n" x 5_000);
        $c->through("END\r\n") for 1 .. 5_000;
        last if ($dropped = $server->stat('log_worker_dropped') - $before) > 0;
    }
    cmp_ok($dropped + $server->stat('log_watcher_skipped'), '>', 0, 'events are lost, and counted');
    is($c->get('k'), 'value', 'the flood was answered');
    $flooded->abort;
}

# buffers of every size
for my $sizes ([ 0, 0 ], [ 1, 1 ], [ 0, 256 ], [ 64, 0 ], [ 4_194_303, 4_194_303 ]) {
    my ($worker, $watcher) = @$sizes;
    my $odd = TestServer->start('-t', '1', '-o', "worker_logbuf_size=$worker,watcher_logbuf_size=$watcher");
    my $name = "worker_logbuf_size=$worker,watcher_logbuf_size=$watcher";
    my $one = watch($odd, 'fetchers');
    ok(ref $one, "$name: OK comes");
    $odd->admin->get('x' x 250) for 1 .. 3;
    if ($worker && $watcher) {
        is(event($one)->{key}, 'x' x 250, 'lines come');
    }
    else {
        my $count = $worker ? 'log_watcher_skipped' : 'log_worker_dropped';
        ok($odd->wait_stat($count, 3), "lines are lost: $count");
        ok($one->silent(0.1), 'and none comes');
    }
    is($odd->admin->get('y'), undef, 'the server is well');
    $one->abort;
    ok(watchers($odd, 0), 'the watcher is noticed');
    is($odd->stop('USR1'), 0, 'and the server stops');
}

# what makes room
my $small = TestServer->start('-t', '1', '-m', '2', '-o', 'no_lru_maintainer');
my $evictions = watch($small, 'evictions');
my $value = 'x' x 250_000;
for my $number (0 .. 12) {
    $small->admin->ask("set e,$number 0 " . ($number == 1 ? 1000 : 0) . " 250000\r\n$value");
    $small->admin->ask('mg e,0') if $number == 0;
}
like(text($evictions), qr/^type=eviction key=e%2C0 fetch=yes ttl=-1 la=\d+ clsid=\d+ size=250000$/, 'an eviction');
like(text($evictions), qr/^type=eviction key=e%2C1 fetch=no ttl=${\ TestServer::left(1000)} la=\d+ clsid=\d+ size=250000$/, 'of one that would expire');

# what the server does by itself
if (TestServer::has_feature('debug')) {
    my $crawled = TestServer->start('-t', '1');
    my $watching = watch($crawled, 'sysevents');
    $crawled->admin->set("s$_", 'x') for 1 .. 50;
    $crawled->wait_stat('lru_crawler_starts', sub { $_[0] > 0 });
    my $line;
    for (1 .. 20) {
        $crawled->advance_clock(70);
        # One for each of 63 classes' four queues.
        for (1 .. 252) {
            $line = event($watching);
            last if $line->{examined} || $line->{type} eq 'nothing';
        }
        last if $line->{examined};
    }
    like($line->{text} // '', qr/^type=lru_crawler crawler=1 lru=(?:hot|warm|cold) low_mark=\d+ next_reclaims=\d+ since_run=\d+ next_run=\d+ elapsed=\d+ examined=\d+ reclaimed=\d+$/,
        'the crawler');
    $crawled->stop;
}

# the end
my $last_one = watch($server, 'connevents');
is($server->stop('USR1'), 0, 'the server stops with watchers');
ok(defined $last_one->rest, 'they hear of it');

done_testing();
