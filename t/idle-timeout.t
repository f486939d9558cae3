#!/usr/bin/perl
# Goal: idle_timeout closes connections that ask for nothing, and no others.
# Method: real seconds, a timeout of one: clients idle from the start, idle after a command, busy, and
# in the middle of a value.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(sleep time);

my $server = TestServer->start('-t', '2', '-o', 'idle_timeout=1');
my $lazy = $server->client;
my $once = $server->client;
my $uploading = $server->client;
my $busy = $server->client;
is($server->stat('idle_kicks'), 0, 'idle_kicks is there, and 0');
is($once->ask('mn'), 'MN', 'one command');
$busy->set('k', 'v');
$uploading->send("set u 0 0 10\r\n01234");
my $start = time;
my $served = 0;
my $gone = TestServer::wait_until(sub {
    $served++ if ($busy->get('k') // '') eq 'v';
    $server->stat('idle_kicks') >= 2;
}, 10);
ok($gone, 'two connections are closed');
cmp_ok(time - $start, '>', 0.9, 'not before the second is over');
is($_->rest(2), '', 'an idle client sees the end') for $lazy, $once;
is($busy->get('k'), 'v', 'a client that asks is not closed');
$uploading->send("56789\r\n");
is($uploading->line, 'STORED', 'nor one amid a value');
is($server->stat('idle_kicks'), 2, 'idle_kicks counts them');
ok($server->wait_stat('curr_connections', sub { $_[0] <= 3 }), 'curr_connections goes down');

# without the option nobody is closed, and there is no counter
my $patient = TestServer->start('-t', '1');
ok(!exists $patient->stats->{idle_kicks}, 'without the option there is no idle_kicks');

# Unix sockets are left alone
SKIP: {
    skip 'no Unix sockets', 1 unless TestServer::has_feature('unix') && !TestServer::is_old();
    my $local = TestServer->start({ unix => 1 }, '-t', '1', '-o', 'idle_timeout=1');
    my $idle = $local->client;
    $idle->ask('mn');
    my $until = time + 3.2;
    while (time < $until) { $local->stats; sleep 0.2 }
    is($idle->ask('mn'), 'MN', 'a client of a Unix socket is not closed');
}

done_testing;
