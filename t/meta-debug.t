#!/usr/bin/perl
# Goal: me describes an item, mn answers at its place.
# Method: items of known size and age; mn between quiet commands.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;

$c->answers('mn', ['MN'], 'mn');
$c->answers_now('mn with words', ['MN'], 'mn ignores words');
$c->answers([ 'mg a q', 'mg b q', 'mn', 'mg c q', 'mn' ], [ 'MN', 'MN' ], 'mn shows where quiet commands end');
$c->answers('me k', ['EN'], 'me on a miss');
$c->set('k', 'value', ttl => 100);
my $cas = $c->cas('k');
my $exp = TestServer::is_old() ? qr/-?\d+/ : qr/${\ TestServer::left(100)}/;
$c->answers_like('me k', qr/ME k exp=($exp) la=[01] cas=$cas fetch=yes cls=1 size=65\r\n/, 'me on a fetched item');
$c->set('k2', 'v');
$c->answers_like('me k2', qr/ME k2 exp=-1 la=[01] cas=\d+ fetch=no cls=1 size=62\r\n/, 'on one that was not, and never expires');
$c->answers_like('me k2', qr/ME k2 exp=-1 la=[01] cas=\d+ fetch=no cls=1 size=62\r\n/, 'looking is not fetching');
$c->set('f', 'v', flags => 1);
$c->answers_like('me f', qr/ME f exp=-1 .* size=65\r\n/, 'client flags take four bytes') unless TestServer::is_old();
my $before = $server->stat('cmd_meta');
$c->talk('me k');
is($server->stat('cmd_meta') - $before, 1, 'me counts in cmd_meta');
$c->answers_now('me', ['CLIENT_ERROR bad command line format'], 'no key');
$c->answers_now('me ' . 'k' x 251, ['CLIENT_ERROR bad command line format'], 'a key of 251 bytes');

# with b the key is what its token stands for
unless (TestServer::is_old()) {
    $c->answers_like('me Yg== b', qr/EN\r\n/, 'an encoded key that is not there');
    $c->answers([ 'ms Yg== 1 b', 'v' ], ['HD'], 'stored');
    $c->answers_like('me Yg== b', qr/ME Yg== exp=-1 .*\r\n/, 'and there');
    $c->answers('me b b', ['EN'], 'a token that stands for no key');
}

# the largest class for what lies in several chunks
$c->set('large', 'x' x 700_000);
$c->answers_like('me large', qr/ME large exp=-1 la=[01] cas=\d+ fetch=no cls=39 size=700\d\d\d\r\n/, 'a large item');

done_testing;
