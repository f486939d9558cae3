#!/usr/bin/perl
# Goal: a key given as base64 is the key of its bytes, and is returned as it was stored.
# Method: keys of any bytes by both spellings through mg, ms, md, ma and me.

use strict;
use warnings;
use MIME::Base64 qw(encode_base64);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;

sub b64 { return encode_base64($_[0], '') }

$c->answers([ 'ms ' . b64('abc') . ' 2 b', 'hi' ], ['HD'], 'ms with b');
$c->answers('get abc', [ 'VALUE abc 0 2', 'hi', 'END' ], 'the key is the bytes');
$c->answers('mg YWJj b v', [ 'VA 2', 'hi' ], 'mg with b');
$c->answers('mg YWJj b k v', [ 'VA 2 kYWJj b', 'hi' ], 'k returns it encoded');
$c->answers_now('mg abc k v', [ 'VA 2 kYWJj b', 'hi' ], 'also when asked for plainly');
$c->answers_now([ 'ms abc 2 k', 'hi' ], ['HD kabc'], 'a store without b');
$c->answers_now('mg YWJj b k', ['HD kabc'], 'makes it a plain item');
$c->answers('mg Tm9uZQ== b k Ox', ['EN kTm9uZQ== b Ox'], 'a miss returns the key as asked');
$c->answers([ 'ms YWJj 2 b k', 'hi' ], ['HD kYWJj b'], 'ms returns it encoded');
$c->answers('md YWJj b k', ['HD kYWJj b'], 'md');
$c->answers('get abc', ['END'], 'deletes it');
$c->answers('ma bnVt b k N0 J5 v', [ 'VA 1 kbnVt b', '5' ], 'ma');
$c->answers('get num', [ 'VALUE num 0 1', '5', 'END' ], 'creates it');
$c->answers_now('mg num k', ['HD kbnVt b'], 'and remembers how');
$c->answers_now('mg bmV3 b N0 k', ['HD kbmV3 b W'], 'mg N');
$c->answers_now('mg new k', ['HD kbmV3 b Z'], 'remembers, too');

for my $key ("\x00", "a b", "line\r\nend", join('', map { chr } 0 .. 100), "\xff" x 186, 'a', 'ab', 'abc', "\x00\x01\x02") {
    my $coded = b64($key);
    my $name = TestClient::visible($key);
    $c->answers([ "ms $coded 1 b", 'x' ], ['HD'], "the key $name is stored");
    $c->answers("mg $coded b v k", [ "VA 1 k$coded b", 'x' ], 'and found');
    $c->answers("md $coded b", ['HD'], 'and deleted');
}
unless (TestServer::is_old()) {
    $c->answers([ 'ms YWJj 1 b', 'x' ], ['HD'], 'an item with a binary key');
    $c->answers_like('me YWJj b', qr/ME YWJj exp=[^\r]*\r\n/, 'me finds it by the encoded key');
    $c->answers_like('me abc', qr/ME YWJj exp=[^\r]*\r\n/, 'and by the plain one');
    for my $bad ('YWJ', '====', '!', 'A', 'AA') {
        $c->answers("mg $bad b", ['CLIENT_ERROR error decoding key'], "'$bad' cannot be decoded");
        $c->answers([ "ms $bad 2 b", 'mn' ], ['CLIENT_ERROR error decoding key'], "'$bad' for ms, with its block");
    }
    $c->answers('mg ' . b64('x' x 187) . ' b v', ['EN'], 'a key of 187 bytes is too long when encoded')
        if length b64('x' x 187) <= 250;
    $c->answers('mg ' . b64('x' x 189) . ' b', ['CLIENT_ERROR bad command line format'], 'a key longer than 250 bytes when encoded');
}

done_testing;
