#!/usr/bin/perl
# Goal: options whose room does not exist yet end the start, rather than being served without.
# Method: each of them, its message and status; the values of them that ask for nothing.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('a server that is complete');

for my $row ([ '-U', '11211' ], [ '-e', '/nonexistent' ]) {
    my $run = TestServer->run('-p', '0', @$row);
    is($run->{status}, 64, "@$row ends with 64");
    like($run->{stderr}, qr/^\Q$row->[0]\E: not built yet\n/, "@$row says why");
}
my $server = TestServer->start('-U', '0');
is($server->settings->{udpport}, 0, '-U 0 asks for nothing');
is($server->client->ask('mn'), 'MN', 'and the server serves');

done_testing;
