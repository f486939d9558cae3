#!/usr/bin/perl
# Goal: those who watch hear of each way that clients come and go; lines of any length come whole or are counted; and whoever
# has a place or a descriptor of one that is gone has nothing of its lines.
# Method: clients of Unix sockets, idle ones, one that ends the server; keys as long as keys may be beside buffers as small as
# they may be; watchers that hang up while lines are written to them, and clients that get their descriptors.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestWatch qw(watch event text next_of watchers port_of);
TestServer::need_new();

# by a Unix socket
SKIP: {
    skip 'no Unix sockets', 3 unless TestServer::has_feature('unix');
    my $local = TestServer->start({ unix => 1 }, '-t', '1');
    my $watcher = watch($local, 'connevents');
    my $client = $local->client;
    my $new = event($watcher);
    is($new->{text}, "type=conn_new rip=unix rport=0 transport=local cfd=$new->{cfd}", 'a client of a Unix socket');
    $client->close;
    is(text($watcher), "type=conn_close rip=unix rport=0 transport=local reason=normal cfd=$new->{cfd}", 'and its end');
    ok(watchers($local, 1), 'is not the end of the one who watches');
}

# one that is idle for too long; who watches is not
my $strict = TestServer->start('-t', '1', '-A', '-o', 'idle_timeout=1');
my $watcher = watch($strict, 'connevents');
my $idle = $strict->client;
my $port = port_of($idle);
$idle->ask('mn');
$strict->wait_stat('idle_kicks', sub { $_[0] > 0 });
my $kicked = next_of($watcher, 'conn_close');
is($kicked->{text}, "type=conn_close rip=127.0.0.1 rport=$port transport=tcp reason=idle_timeout cfd=$kicked->{cfd}", 'an idle client');
is($strict->stat('log_watchers'), 1, 'who watches may be silent');

# kinds that nothing is told of, and a bare end of line
my $server = TestServer->start('-t', '1');
my $c = $server->client;
my $mute = watch($server, 'rawcmds proxyreqs proxyevents proxyuser');
ok(ref $mute, 'kinds of other builds are known');
$watcher = $server->client;
$watcher->send("watch\n");
is($watcher->line, 'OK', 'watch, and a line feed');
$c->get('k');
is(event($watcher)->{key}, 'k', 'means fetchers');
ok($mute->silent, 'the others are silent');
$_->close for $mute, $watcher;

# lines of the longest keys
my $longest = join '', map { chr 0x80 + $_ % 128 } 1 .. 250;
my $encoded = join '', map { sprintf '%%%02X', ord } split //, $longest;
# 1 KiB for a worker's events or for a watcher's lines holds one of them at a time; 4,194,304 KiB are none.
for my $sizes ([ 64, 256 ], [ 1, 256 ], [ 64, 1 ], [ 4_194_304, 256 ], [ 64, 4_194_304 ], [ 4_294_967_295, 4_294_967_295 ]) {
    my $limits = "worker_logbuf_size=$sizes->[0],watcher_logbuf_size=$sizes->[1]";
    my $odd = TestServer->start('-t', '1', '-o', $limits);
    my $one = watch($odd, 'mutations');
    my $lost = sub { my $stats = $odd->stats; return $stats->{log_worker_dropped} + $stats->{log_watcher_skipped} };
    my $heard = 0;
    for my $round (1 .. 3) {
        is($odd->admin->ask([ "set $longest 0 0 1", 'x' ]), 'STORED', "$limits: stored");
        ok(TestServer::wait_until(sub { $lost->() || $odd->stat('log_watcher_sent') > $heard }), 'told, or lost');
        last if $lost->();
        my $line = event($one);
        is($line->{key}, $encoded, 'the line is whole');
        like($line->{text}, qr/ status=stored cmd=set ttl=0 clsid=\d+ cfd=\d+ size=1$/, 'to its end');
        $heard++;
    }
    is($lost->() ? 1 : 0, (grep { $_ == 4_194_304 } @$sizes) ? 1 : 0, $heard ? 'none is lost' : 'lines are lost, and counted');
    $one->abort;
    ok(watchers($odd, 0), 'who watched may leave');
    is($odd->stop, 0, 'and the server ends');
}

# descriptors that are named again while lines were written to their former holders
my $conns = watch($server, 'connevents');
$c->set('k', 'value');
my $again = 0;
for my $round (0 .. 39) {
    my $leaver = watch($server, 'fetchers mutations');
    my $fd = next_of($conns, 'conn_new')->{cfd};
    $c->send("get k\r\n" x 300);
    $round % 2 ? $leaver->abort : $leaver->close;
    # The next client comes at once, or as soon as the descriptor is free.
    $c->through("END\r\n") for 1 .. 300;
    watchers($server, 1) if $round % 4 > 1;
    my $heir = $server->client;
    my $heir_fd = next_of($conns, 'conn_new')->{cfd};
    $again++ if $heir_fd == $fd;
    my $answer = $heir->talk([ "set r$round 0 0 1", 'x', "get r$round" ]) // '';
    $answer eq "STORED\r\nVALUE r$round 0 1\r\nx\r\nEND\r\n" or fail('an ordinary client is answered: ' . TestClient::visible($answer));
    if ($round % 4 == 3) {
        is($heir->ask('watch mutations'), 'OK', 'it may watch, too');
        $c->set("s$round", 'x');
        my $line = event($heir);
        is("$line->{type} $line->{key}", "item_store s$round", 'and hears of what happens from now on');
    }
    $heir->close;
}
cmp_ok($again, '>', 0, "$again of 40 descriptors were given to the next client");
ok(watchers($server, 1), 'all others have gone');
is($server->stats('conns') && $c->get('k'), 'value', 'the server is well');

# the end of the server
my $last = $strict->client;
$last->send("shutdown\r\n");
is($strict->wait_exit, 0, 'shutdown ends the server');
is($last->rest, '', 'without an answer');

done_testing;
