#!/usr/bin/perl
# Goal: the command shutdown ends the server where -A allows it, and nothing else does.
# Method: its forms with and without -A.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $refused = TestServer->start;
my $c = $refused->client;
my $no = TestServer::is_old() ? 'ERROR: shutdown not enabled' : 'SERVER_ERROR: shutdown not enabled';
$c->answers('shutdown', [$no], 'without -A');
$c->answers('shutdown graceful', [$no], 'without -A, graceful');
$c->answers_now('shutdown noreply', [], 'without -A, noreply');
is($c->ask('mn'), 'MN', 'the server goes on');

for my $word ('', ' graceful') {
    my $server = TestServer->start('-A');
    my $client = $server->client;
    is($server->settings->{shutdown_command}, 'yes', '-A shows in the settings');
    $client->answers("shutdown $_", ['CLIENT_ERROR invalid shutdown mode'], "-A: shutdown $_") for qw(now gracefull 1);
    unless (TestServer::is_old()) {
        $client->answers("shutdown $_", ['CLIENT_ERROR invalid shutdown mode'], "-A: shutdown $_") for qw(g grace);
    }
    my $other = $server->client;
    $client->send("shutdown$word\r\n");
    is($client->rest, '', "-A: shutdown$word closes the connection without a reply");
    is($server->wait_exit, 0, 'the server ends with 0');
    is($other->rest, '', 'other clients see the end');
    if ($word) { like($server->stderr_text, qr/^Gracefully stopping$/m, 'and says so') }
}
my $server = TestServer->start('-A');
my $client = $server->client;
$client->send("set k 0 0 1\r\nv\r\nget k\r\nshutdown\r\n");
ok(($client->rest // '') =~ /^(STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n)?$/, 'behind other commands');
is($server->wait_exit, 0, 'the server ends with 0');

done_testing;
