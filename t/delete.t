#!/usr/bin/perl
# Goal: delete removes one item, for everyone, at once.
# Method: replies with and without the key, old and new forms of the line, several connections.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

$c->answers('delete k', ['NOT_FOUND'], 'an absent key');
$c->set('k', 'v');
$c->set('other', 'v');
$c->answers('delete k', ['DELETED'], 'a present key');
$c->answers('get k other', [ 'VALUE other 0 1', 'v', 'END' ], 'it is gone, others are not');
$c->answers('delete k', ['NOT_FOUND'], 'once more');
$c->set('k', 'v');
$c->answers('delete k 0', ['DELETED'], 'the 0 that old clients send');
$c->set('k', 'v');
$c->answers('delete k 0 noreply', [], 'the 0 and noreply');
is($c->get('k'), undef, 'it is gone');
$c->set('k', 'v');
$c->answers_now('delete k 10', ['DELETED'], 'another number is ignored') ;
$c->talk('delete k');
$c->set('k', 'v');
$c->answers('delete k noreply', [], 'noreply');
is($c->get('k'), undef, 'noreply deletes');
$c->answers('delete k noreply', [], 'noreply on a miss');
$c->set('noreply', 'v');
$c->answers_now('delete noreply', [], 'a key named noreply, silently');
$c->answers_now('get noreply', ['END'], 'it is gone');
$c->answers_now('delete', [$BAD], 'no key');
$c->answers_now('delete ' . 'k' x 251, [$BAD], 'a key of 251 bytes');
$c->answers('delete ' . 'k' x 250, ['NOT_FOUND'], 'a key of 250 bytes');

my $other = $server->client;
$c->set('shared', 'v');
is($other->get('shared'), 'v', 'another connection sees the item');
$other->answers('delete shared', ['DELETED'], 'and deletes it');
is($c->get('shared'), undef, 'for all');

$c->set('k', 'v');
$c->answers([ 'delete k', 'get k', 'add k 0 0 1', 'w', 'get k' ],
    [ 'DELETED', 'END', 'STORED', 'VALUE k 0 1', 'w', 'END' ], 'delete and add in one packet');

done_testing;
