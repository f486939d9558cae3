#!/usr/bin/perl
# Goal: the debug server's commands steer its clock and its items; the production server does not know them.
# Method: uptime after debugtime; references and locks seen by their effect.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_debug();
my $server = TestServer->start('-t', '2');
my $c = $server->client;

# the clock
$c->answers("debugtime$_", ['ERROR'], "debugtime$_") for '', ' abc', ' 5x', ' pa', ' 1.5';
my $start = $server->stat('uptime');
$c->answers('debugtime p', ['OK'], 'debugtime p stops the clock');
$start = $server->stat('uptime');
$c->answers('debugtime 100', ['OK'], 'debugtime 100');
is($server->stat('uptime') - $start, 100, 'moves it by a hundred seconds');
$c->answers('debugtime 10', ['OK'], 'once more');
is($server->stat('uptime') - $start, 210, 'moves it by the whole offset');
$c->answers('debugtime -20', ['OK'], 'backwards');
is($server->stat('uptime') - $start, 300, 'adds the whole offset all the same');
$c->answers('debugtime r', ['OK'], 'debugtime r lets it run');
ok($server->wait_stat('uptime', sub { my $on = $_[0] - $start; $on >= 90 && $on < 290 }), 'from real time and the offset on');
my $now = $server->stat('uptime');
ok($server->wait_stat('uptime', sub { $_[0] > $now }), 'it runs');
$c->answers('debugtime p more words', ['OK'], 'further words are ignored');

# the helper's own steps
my $helped = TestServer->start('-t', '1');
my $h = $helped->client;
my $time = $helped->stat('time');
$helped->freeze_clock;
for my $step (10, 1, 3000, 5) {
    my $before = $helped->stat('uptime');
    $helped->advance_clock($step);
    is($helped->stat('uptime') - $before, $step, "advance_clock($step)");
}
cmp_ok($helped->stat('time') - $time, '>=', 3016, 'time follows');

# items
$c->answers("debugitem$_", ['ERROR'], "debugitem$_") for '', ' ref', ' lock', ' bogus k', ' r k', ' unre k';
$c->answers('debugitem ref none', ['MISS'], 'ref of nothing');
$c->answers('debugitem unref none', ['MISS'], 'unref of nothing');
$c->set('k', 'x' x 5000);
my $used = sub { $server->stats('slabs')->{'19:used_chunks'} };
is($used->(), 1, 'a chunk is in use');
$c->answers('debugitem ref k', ['OK'], 'ref of an item');
$c->answers('delete k', ['DELETED'], 'the item is deleted');
$c->answers('get k', ['END'], 'and gone');
is($used->(), 1, 'its chunk is still in use');
$c->answers('debugitem unref reffed', ['OK'], 'the reference is given back');
is($used->(), 0, 'the chunk is free');
like($c->talk('debugitem unref reffed'), qr/^(MISS|ERROR)\r\n$/, 'there is none to give back');

# what a worker never does; t/privileges.t shows it held back
$c->answers('misbehave', ['ERROR'], 'misbehave') unless $ENV{DROP_PRIVILEGES};

# a locked item holds up who asks for it: connections are given to the two workers in turn
my ($first, $second) = map { $server->client } 1 .. 2;
$first->set('l', 'v');
$first->answers('debugitem lock l', ['OK'], 'lock');
$second->send("get l\r\n");
ok($second->silent(0.2), 'a look at a locked item waits');
$first->answers('debugitem unlock l', ['OK'], 'unlock');
is($second->through("END\r\n"), "VALUE l 0 1\r\nv\r\nEND\r\n", 'and goes on when it is unlocked');

# the production server
SKIP: {
    my $production = TestServer::production_path();
    skip 'the production server is not here', 1 if $ENV{MEMCACHED_SERVER} || !$production;
    my $plain = TestServer->start({ binary => $production }, '-t', '1');
    my $p = $plain->client;
    $p->answers($_, ['ERROR'], "production: $_") for 'debugtime 5', 'debugtime p', 'debugitem ref k', 'misbehave';
    my $run = TestServer->run({ binary => $production }, '-o', 'relaxed_privileges');
    is($run->{status}, 1, 'production: relaxed_privileges');
    is($run->{stderr}, "Illegal suboption \"relaxed_privileges\"\n", 'is no suboption');
}

done_testing;
