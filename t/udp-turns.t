#!/usr/bin/perl
# Goal: a worker's connections have their turns beside datagrams that hold thousands of commands or ask for long answers, and
# datagrams have theirs beside connections.
# Method: datagrams full of commands, and while they are worked off a connection is served; counts, not clocks, tell who was first.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('long answers come value by value');

my $server = TestServer->start('-t', '1', '-U', '-1');
my $udp = $server->udp_client;
my $client = $server->client;
$client->set('large', 'v' x 200_000);
my $yields = $server->stat('conn_yields');

# As many as a datagram takes, and as many datagrams as the socket keeps.
my $touches = int(65_000 / length "touch a 0 noreply\r\n");
# A client that is held up itself asks too late.
for my $try (1 .. 30) {
    my $before = $server->stat('cmd_touch');
    $udp->send($_, "touch a 0 noreply\r\n" x $touches) for 1 .. 3;
    my $seen = $server->stat('cmd_touch') - $before;
    ok($server->wait_stat('cmd_touch', sub { $_[0] >= $before + $touches }), 'the commands of a datagram are all run');
    $udp->goes_on('datagrams go on');
    next if $seen >= $touches && $try < 30;
    cmp_ok($seen, '<', $touches, 'a connection is served in the midst of a datagram');
    last;
}
cmp_ok($server->stat('conn_yields'), '>=', $yields + $touches / 20 - 1, 'which gives way like a connection');

# An answer of many datagrams: some thousand, of which the client's socket need not keep all.
my $written = $server->stat('bytes_written');
my $others = $server->udp_client;
my $keys = 200;
$others->send(1, 'get' . ' large' x $keys . "\r\n");
my $answered = 0;
my $whole = $keys * 200_000;
while ($server->stat('bytes_written') < $written + $whole) {
    $answered++;
    last if $answered > 100_000;
}
cmp_ok($answered, '>', 10, "a connection was served $answered times while an answer of 40 MB left");
$udp->goes_on('and then the next datagram');

# The other way round: a connection that has much to say.
my $pipeline = $server->client;
$pipeline->send("mg none\r\n" x 50_000);
my $asked = 0;
$asked += defined $udp->ask("mn\r\n") for 1 .. 20;
is($asked, 20, 'datagrams are served beside a long pipeline');
is(length($pipeline->bytes(50_000 * 4) // ''), 50_000 * 4, 'which is answered, too');

done_testing;
