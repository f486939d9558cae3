#!/usr/bin/perl
# Goal: -N chooses workers by the queue of the network card, and by turns where no queue is known.
# Method: clients of the loopback, which has no queues; what they are counted as, over each kind of socket. The choice by queues
# is tested where it is made (src/worker/queues.rs).

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('its own counts');

for my $kind ({}, { unix => 1 }) {
    next if $kind->{unix} && !TestServer::has_feature('unix');
    my $where = $kind->{unix} ? 'a Unix socket' : 'the loopback';
    my $server = TestServer->start($kind, '-t', '3', '-N', '2');
    my $before = $server->stats->{round_robin_fallback};
    cmp_ok($before, '>', 0, "$where: a client has no queue");
    my @clients = map { $server->client } 1 .. 6;
    is($_->ask('mn'), 'MN', 'each is served') for @clients;
    my $stats = $server->stats;
    is($stats->{round_robin_fallback} - $before, 6, 'and is counted');
    is($stats->{unexpected_napi_ids}, 0, 'and none is one too many');
    is($server->settings->{num_napi_ids}, 2, 'stats settings tell how many there are');
    is($server->admin->ask('stats reset'), 'RESET', 'a reset');
    is($server->stats->{round_robin_fallback}, 0, 'forgets them');
}

my $plain = TestServer->start('-t', '2');
$plain->client->ask('mn') for 1 .. 3;
is($plain->stats->{round_robin_fallback}, 0, 'without -N nobody is asked');

done_testing;
