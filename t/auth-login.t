#!/usr/bin/perl
# Goal: with -Y a client has to log in, and is heard and answered line by line before it has.
# Method: each answer of the exchange, what closes it, its limits, its counters; over TCP, a Unix socket, and TLS where
# SSL_TEST is set.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('answers of refused lines are lost');

my $file = TestServer::scratch() . '/users';
TestServer::write_file($file, "foo:bar\nbaaaz:quux\n");
my $server = TestServer->start('-Y', $file, '-t', '2');
my ($STRANGER, $FAILURE) = ('CLIENT_ERROR unauthenticated', 'CLIENT_ERROR authentication failure');

# What a stranger hears; the exchange goes on with a login, which shows that nothing else came.
sub hears {
    my ($request, $answers, $name) = @_;
    my $c = $server->client;
    $c->send(TestClient::wire($request) . "set x 0 0 7\r\nfoo bar\r\n");
    TestClient::same_bytes($c->through("STORED\r\n"), TestClient::wire([ @$answers, 'STORED' ]), $name);
    return $c;
}

hears([], [], 'a login');
is($server->client->ask([ 'set any/thing -5 whenever 10', 'baaaz quux' ]), 'STORED', 'the second user, behind whatever words');
hears($_, [$STRANGER], "not without a login: '$_'")
    for 'get foo', 'gets foo', 'mg foo v', 'ms foo 1', 'version', 'stats', 'flush_all', 'verbosity 1', 'shutdown', 'watch fetchers', 'mn abc',
    'lru_crawler metadump all', 'refresh_certs', 'GET / HTTP/1.1', 'SET x 0 0 7', 'setx y 0 0 7', ' set x 0 0 7', 'set x 0 0', 'set x 0 0 -1',
    'set x 0 0 7x', 'set x 0 0 4294967296', 'add x 0 0 7', "\x80\x0b" . "\0" x 22;
hears('set x 0 0 16385', ['CLIENT_ERROR auth token too long'], 'a token that is too long');
hears('set x 0 0 4294967295', ['CLIENT_ERROR auth token too long'], 'a token of four gigabytes');
hears([ 'set x 0 0 7', $_ ], [$FAILURE], "wrong: '$_'") for 'foo baz', 'fop bar', 'bar foo', 'foo qux', '  foobr', 'foobar ';
hears([ 'set x 0 0 ' . length, $_ ], [$FAILURE], "not quite: '$_'")
    for 'foo ba', 'foo barr', 'fo bar', 'fooo bar', 'foo bar ', ' foo bar', 'foo  bar', ' ', 'foo ', ' bar', "foo bar\0", "foo\0 bar";
hears([ 'set x 0 0 ' . length, $_ ], ['CLIENT_ERROR bad authentication token format'], "no blank: '$_'") for 'foo:bar', '', "foo\tbar";
hears(\"set x 0 0 7\r\nfoo barXY", ['CLIENT_ERROR bad command line termination'], 'no line end behind the token');
hears(\"set x 0 0 7\r\nfoo bar\n\n", ['CLIENT_ERROR bad command line termination'], 'another line end behind it');
hears(\"set x 0 0 7\nfoo baz\r\n", [$FAILURE], 'a login line that ends in LF');
hears([ 'set x 0 0 7 noreply', 'foo baz' ], [$FAILURE], 'noreply is no word here');
hears([ ('get aaaa') x 50, 'set x 0 0 7', 'foo baz', 'set x 0 0 3', 'foo', 'get bbbb' ],
    [ ($STRANGER) x 50, $FAILURE, 'CLIENT_ERROR bad authentication token format', $STRANGER ], 'each of many has its answer, in order');

# the rest of a conversation
my $c = hears([], [], 'a login');
$c->answers([ 'set al 0 0 2', 'hi' ], ['STORED'], 'and then a set');
$c->answers('get al x', [ 'VALUE al 0 2', 'hi', 'END' ], 'that is there, unlike the key of the login');
$c = $server->client;
$c->send("set x 0 0 7\r\nfoo bar\r\nset k 0 0 1\r\n1\r\nget k\r\nquit\r\n");
is($c->rest, "STORED\r\nSTORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n", 'commands right behind a login are served');
is($server->client->ask('get al'), $STRANGER, 'the login of one client is no other\'s');

# byte by byte
$c = $server->client;
$c->send_slowly("get aa\r\nset x 0 0 7\r\nfoo baz\r\nset x 0 0 7\nfoo bar\r\nmn\r\n");
is($c->through("MN\r\n"), "$STRANGER\r\n$FAILURE\r\nSTORED\r\nMN\r\n", 'byte by byte');

# what ends it without a word
sub closes {
    my ($bytes, $name) = @_;
    my $other = $server->client;
    $other->send($bytes);
    ok($other->closed, $name);
}
closes($_, 'too short for a line: ' . TestClient::visible($_)) for "quit\r\n", "mn\r\n", "abcd\r\n", "abcde\n", "\r\n\r\n", "\n\n\n";
closes('a' x 2049, '2049 bytes without a line end');
$c = $server->client;
$c->send("get aaaa\r\nquit\r\n");
is($c->rest, "$STRANGER\r\n", 'what is owed goes out first');
$c = $server->client;
$c->send("\r\n");
ok($c->silent, 'an empty line waits');
$c->send('x');
ok($c->closed, 'and is too short with the next byte');
$c = $server->client;
$c->send('a' x 2048);
ok($c->silent, '2048 bytes without a line end wait');
$c->send("\r\n");
is($c->line, $STRANGER, 'and are a line when the end comes');

# the largest token
$c = $server->client;
$c->send("set x 0 0 16382\r\n");
$c->send('foo ' . 'b' x 16378 . "\r\n");
is($c->line, $FAILURE, 'a token of 16382 bytes');
is($c->log_in('foo', 'bar'), 'STORED', 'and a good one behind it');
for my $size (16383, 16384) {
    $c = $server->client;
    $c->send("set x 0 0 $size\r\n");
    ok($c->silent, "a token of $size bytes is waited for");
    $c->send('b' x 16383);
    ok($c->silent, 'as long as the buffer is not full');
    $c->send('b');
    ok($c->closed, 'and closed then');
}

# counters
my $counted = TestServer->start('-Y', $file);
$c = $counted->client;
$c->send(TestClient::wire([ 'set x 0 0 7', 'foo baz', 'get aaaa', 'set x 0 0 3', 'foo', 'set x 0 0 20000', 'set x 0 0 7', 'foo bar' ]));
$c->through("STORED\r\n");
my $stats = $c->stats;
is("@$stats{qw(auth_cmds auth_errors cmd_set curr_items)}", '2 1 0 0', 'whole exchanges are counted, and no set');
$stats = $c->stats('settings');
is("@$stats{qw(binding_protocol auth_enabled_ascii auth_enabled_sasl)}", "ascii $file no", 'the settings tell of it');

# at -vv lines are told, tokens are not
my $loud = TestServer->start('-Y', $file, '-vv');
$c = $loud->client;
$c->send("get aaaa\r\nset x 0 0 10\r\nfoo secret\r\nset x 0 0 7\r\nfoo bar\r\n");
$c->through("STORED\r\n");
ok($loud->wait_stderr(qr/^>\d+ STORED$/m), 'the operator hears of the login');
like($loud->stderr_text, qr/^<\d+ get aaaa\n>\d+ $STRANGER\n<\d+ set x 0 0 10\n>\d+ $FAILURE\n<\d+ set x 0 0 7\n>\d+ STORED$/m, 'line by line');
unlike($loud->stderr_text, qr/secret|foo bar/, 'but no password');
like($loud->stderr_text, qr/server listening \(ascii\)/, 'and what the listener speaks');

SKIP: {
    skip 'no Unix sockets in this build', 3 unless TestServer::has_feature('unix');
    my $unix = TestServer->start({ unix => 1 }, '-Y', $file);
    $c = $unix->client;
    is($c->ask('get aaaa'), $STRANGER, 'a Unix socket asks, too');
    is($c->log_in('foo', 'bar'), 'STORED', 'and lets in');
    is($c->ask('get aaaa'), 'END', 'then it serves');
}

done_testing;
