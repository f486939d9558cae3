#!/usr/bin/perl
# Goal: touch changes when an item expires and nothing else.
# Method: replies on hits, misses and malformed lines; the time to live as `mg` shows it.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

$c->answers('touch k 10', ['NOT_FOUND'], 'an absent key');
$c->set('k', 'v', flags => 3);
my $cas = $c->cas('k');
$c->answers('touch k 100', ['TOUCHED'], 'a present key');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(100)}$/, 'the new time to live');
$c->answers("gets k", [ "VALUE k 3 1 $cas", 'v', 'END' ], 'value, flags and cas number are the old ones');
$c->answers('touch k 0', ['TOUCHED'], 'never again to expire');
is($c->ask('mg k t'), 'HD t-1', 'it never expires');
$c->answers('touch k 2592000', ['TOUCHED'], 'thirty days');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(2592000)}$/, 'thirty days are relative');
my $now = $server->stat('time');
$c->answers('touch k ' . ($now + 5_000_000), ['TOUCHED'], 'an absolute time');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(5000000)}$/, 'more than thirty days are absolute');
$c->answers('touch k -1', ['TOUCHED'], 'a negative time');
$c->answers('get k', ['END'], 'it has expired at once');
$c->answers('touch k 10', ['NOT_FOUND'], 'an expired item is absent');

$c->set('k', 'v');
$c->answers('touch k 100 noreply', [], 'noreply');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(100)}$/, 'noreply does the same');
$c->answers('touch none 100 noreply', [], 'noreply on a miss');
$c->answers_now($_, [$BAD], "'$_' has too few words") for 'touch', 'touch k';
$c->answers_now('touch ' . 'k' x 251 . ' 10', [$BAD], 'a key of 251 bytes');
$c->answers("touch k $_", ['CLIENT_ERROR invalid exptime argument'], "exptime $_") for qw(abc 1x 1.5);
$c->answers_now("touch k $_", ['CLIENT_ERROR invalid exptime argument'], "exptime $_") for qw(+1 - 2147483648 -2147483649);
$c->answers('touch none abc', ['CLIENT_ERROR invalid exptime argument'], 'the number is read before the key is looked up');
$c->answers('touch k abc noreply', [], 'the refusal obeys noreply');
$c->answers_now('touch k 5 6', ['TOUCHED'], 'surplus words are ignored');

done_testing;
