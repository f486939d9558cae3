#!/usr/bin/perl
# Goal: md removes, empties or marks an item, and only where the cas number allows it.
# Method: each flag alone and together, the item seen by mg and get afterwards.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

$c->answers('md k', ['NF'], 'an absent key');
$c->answers('md k k Oxyz', ['NF kk Oxyz'], 'key and opaque come back');
$c->answers('md k q', ['NF'], 'q does not hide NF');
$c->set('k', 'v');
$c->answers('md k', ['HD'], 'a present key');
$c->answers('get k', ['END'], 'it is gone');
$c->set('k', 'v');
$c->answers('md k q', [], 'q hides HD');
$c->answers('get k', ['END'], 'it is gone');
$c->set('k', 'v');
$c->answers('md k Oxyz k', ['HD Oxyz kk'], 'in their order');
$c->set('k', 'v');
$c->answers('md k q k Oxyz', [], 'q hides them, too');

# C
$c->set('k', 'v');
my $cas = $c->cas('k');
$c->answers('md k C' . ($cas + 1), ['EX'], 'another cas number');
$c->answers('md k q C' . ($cas + 1), ['EX'], 'q does not hide EX');
$c->answers_now('md k C0', ['EX'], 'C0');
is($c->get('k'), 'v', 'nothing was deleted');
$c->answers("md k C$cas", ['HD'], 'the number');
is($c->get('k'), undef, 'it is gone');

# I
$c->set('k', 'v', ttl => 100);
$cas = $c->cas('k');
$c->answers('md k I', ['HD'], 'I marks it');
$c->answers_like('mg k v t c', qr/VA 1 t${\ TestServer::left(100)} c(?!$cas\b)\d+ X W\r\nv\r\n/, 'stale, with a new cas number, and the first one wins');
$c->answers_like('mg k v t', qr/VA 1 t${\ TestServer::left(100)} Z X\r\nv\r\n|VA 1 t${\ TestServer::left(100)} X Z\r\nv\r\n/, 'the next one does not');
$c->answers('get k', [ 'VALUE k 0 1', 'v', 'END' ], 'get sees no marks');
$c->answers('md k I T30', ['HD'], 'I again, with a time to live');
like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(30)} X W$/, 'the time to live, and another win');
$c->set('k', 'w');
$c->answers('mg k v', [ 'VA 1', 'w' ], 'a store takes the marks away');
$c->answers('md k T30', ['HD'], 'T without I');
is($c->get('k'), undef, 'deletes');
$c->answers('md none I', ['NF'], 'I without the key');
$c->set('k', 'v');
$c->answers_now('md k I E1234', ['HD'], 'I with E');
$c->answers_now('mg k c u', ['HD c1234 X W'], 'gives the cas number');

# x
unless (TestServer::is_old()) {
    $c->set('k', 'value', flags => 5, ttl => 100);
    $cas = $c->cas('k');
    $c->answers('md k x', ['HD'], 'x leaves an empty item');
    $c->answers('mg k v s f t c', [ "VA 0 s0 f0 t-1 c$cas", '' ], 'without flags and expiry, with its cas number');
    $c->answers([ 'add k 0 0 1', 'x' ], ['NOT_STORED'], 'it is there for add');
    $c->set('k', 'value');
    $c->answers('md k x F7 T30 E99', ['HD'], 'x with F, T and E');
    like($c->ask('mg k s f t c'), qr/^HD s0 f7 t${\ TestServer::left(30)} c99$/, 'they are set');
    $c->set('k', 'value');
    $cas = $c->cas('k');
    $c->answers("md k x I C$cas", ['HD'], 'x and I');
    $c->answers_like('mg k v c', qr/VA 0 c(?!$cas\b)\d+ X W\r\n\r\n/, 'empty, stale, with a new cas number');
    $c->answers('md k x C1', ['EX'], 'x with another cas number');
    $c->answers('md none x', ['NF'], 'x without the key');
}

# errors
$c->answers_now('md', [$BAD], 'no key');
$c->answers_now('md ' . 'k' x 251, [$BAD], 'a key of 251 bytes');
$c->answers_now('md k k k', ['CLIENT_ERROR duplicate flag'], 'a flag twice');
$c->answers_now('md k y', ['CLIENT_ERROR invalid flag'], 'an unknown flag');
$c->answers_now('md k Cx', ['CLIENT_ERROR bad token in command line format'], 'a cas number that is none');
$c->set('k', 'v');
$c->answers_now('md k O' . 'x' x 32, ['CLIENT_ERROR opaque token too long'], 'an opaque of 32 bytes');
is($c->get('k'), 'v', 'deletes nothing');
$c->answers('md k O' . 'x' x 31, [ 'HD O' . 'x' x 31 ], 'an opaque of 31 bytes') unless TestServer::is_old();

done_testing;
