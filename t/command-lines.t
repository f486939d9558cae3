#!/usr/bin/perl
# Goal: lines are cut into words in one way, and every line that is no command has its answer.
# Method: odd lines of each kind, one reply each; what ends the connection instead.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

# unknown commands
$c->answers($_, ['ERROR'], "unknown: '" . TestClient::visible($_) . "'")
    for 'bogus', 'bogus with words', 'gett a', 'GET a', 'Get a', 'mz a', 'xx a', 'setx k 0 0 1', "get\ta", "\x01\x02\x03\x04", 'getset',
    'VERSION', 'x y z';
$c->answers_now($_, ['ERROR'], "unknown: '$_'") for '     ', 'flush_allx', 'noreplyx noreplyx';
$c->answers_now('bogus noreply', [], 'an unknown command with noreply is silent');
$c->answers_now('HTTP/1.1', ['ERROR'], 'HTTP/ as the only word');

# short lines
$c->answers_now(\$_, [$BAD], 'short: ' . TestClient::visible($_)) for "\r\n", "\n", " \n", "a\r\n", "\r\r\n", "xy\n";

# too few words
for my $line (qw(get gets gat gats set add replace append prepend cas incr decr touch delete mg ms md ma me),
    'set k', 'set k 0', 'set k 0 0', 'cas k 0 0', 'ms k', 'verbosity')
{
    $c->answers_now($line, [$BAD], "too few words: '$line'");
}

# spaces and line ends
$c->set('k', 'v');
my @hit = ('VALUE k 0 1', 'v', 'END');
$c->answers('get  k', \@hit, 'two spaces');
$c->answers('get k   ', \@hit, 'spaces at the end');
$c->answers(\"get k\n", \@hit, 'LF alone');
$c->answers(\"get k\nget k\r\nget k\n", [ (@hit) x 3 ], 'both line ends mixed');
$c->answers(\"set k 0 0 1\nw\r\n", ['STORED'], 'LF behind the command line, CR LF behind the block');
$c->answers_now(\"version\r\r\n", ['ERROR'], 'only one CR belongs to the line end');
$c->answers(\"set  k  0  0  1  \r\nv\r\n", ['STORED'], 'more spaces in a storage line');
$c->answers("  flush_all  ", ['OK'], 'leading spaces before an administrative command');
like($c->talk('  get k'), qr/^(ERROR|END)\r\n$/, 'leading spaces before get: refused or not');

# surplus words
for my $row (
    [ [ 'set k 0 0 1 a b c', 'v' ], 'STORED' ],
    [ [ 'set k 0 0 1 noreply x', 'v' ], 'STORED' ],
    [ 'touch k 5 6 7', 'TOUCHED' ],
    [ 'delete k 10', 'DELETED' ],
    [ 'mn x', 'MN' ],
    [ 'version 1 2 3', undef ],
    [ 'verbosity 0 1', 'OK' ],
    [ 'flush_all 0 1 2', 'OK' ],
) {
    my ($request, $reply) = @$row;
    my $name = 'surplus words: ' . (ref $request ? $request->[0] : $request);
    if ($reply) { $c->answers_now($request, [$reply], $name) }
    elsif (!TestServer::is_old()) { $c->answers_like($request, qr/VERSION \S+\r\n/, $name) }
}
$c->answers_now(\("get " . join(' ', 1 .. 40) . " k\r\n"), ['END'], 'more words than the table of words holds');
$c->set('k', 'v');
$c->answers("get " . join(' ', 1 .. 40) . ' k', \@hit, 'get walks the key list to its end');
$c->answers_now([ 'set k 0 0 1 ' . join(' ', 1 .. 40) . ' noreply', 'w' ], ['STORED'], 'noreply beyond the table is not seen');

# commands that take one word
$c->answers_like('version', qr/VERSION \d+\.\d+\.\d+\S*\r\n/, 'version');
$c->answers($_, ['OK'], "'$_'") for 'verbosity 0', 'verbosity 0 noreplyx';
$c->answers('verbosity 0 noreply', [], 'verbosity with noreply');
$c->answers_now($_, [$BAD], "'$_'") for 'verbosity', 'verbosity x', 'verbosity -1', 'verbosity 4294967296', 'verbosity 1x';
$c->answers_now("stats $_", ['ERROR'], "stats $_") for 'nothing', 'SETTINGS', 'itemss', 'noreply', 'sett';
$c->answers_now('shutdown', ['SERVER_ERROR: shutdown not enabled'], 'shutdown without -A');
$c->answers_now('shutdown now', ['SERVER_ERROR: shutdown not enabled'], 'shutdown without -A, whatever follows');
for my $line ('debugtime x', 'debugtime', 'debugtime 5x', 'debugitem', 'debugitem ref') {
    $c->answers($line, ['ERROR'], "'$line'");
}

# whole words only
for my $line ('stats r', 'stats res', 'stats setting', 'shutdown g') {
    my $want = $line =~ /^shutdown/ ? 'SERVER_ERROR: shutdown not enabled' : 'ERROR';
    $c->answers_now($line, [$want], "the beginning of a word is not the word: '$line'");
}

# what closes the connection
sub closes {
    my ($bytes, $name) = @_;
    my $other = $server->client;
    $other->send($bytes);
    ok($other->closed, $name);
    $other->close;
}
closes("quit\r\n", 'quit');
closes("quit now\r\n", 'quit with words') unless TestServer::is_old();
closes("GET / HTTP/1.1\r\n", 'an HTTP request');
closes("POST /x HTTP/1.0\r\nHost: a\r\n\r\n", 'another HTTP request');
closes('x' x 2049, '2049 bytes without a line end');
closes('set ' . 'x' x 2100, 'a long line of another command');
closes(' ' x 3000, 'nothing but spaces');
closes(' ' x 150 . 'get ' . 'x' x 2000, 'more than a hundred spaces before get');

my $other = $server->client;
$other->send("set a 0 0 1\r\nx\r\nquit\r\nget a\r\n");
is($other->rest, "STORED\r\n", 'replies before quit are sent, commands behind it not read');

# what does not
$other = $server->client;
$other->send('x' x 2048);
ok($other->silent, '2048 bytes without a line end: the server waits');
$other->answers(\"y\r\n", ['ERROR'], 'and answers when the end comes') unless TestServer::is_old();
$other = $server->client;
$other->send('get ' . 'k' x 20 . ' ' . 'x' x 5000);
ok($other->silent, 'get may be longer');
$other->send(" k\r\n");
is($other->line, 'CLIENT_ERROR bad command line format', 'its keys may not') ;
$other = $server->client;
my $keys = join ' ', map { "key$_" } 1 .. 20_000;
$other->send("get $keys");
$other->send(" k\r\n");
like($other->through("END\r\n"), qr/^VALUE k 0 1\r\n.\r\nEND\r\n$/, 'a get line of two hundred thousand bytes');
$other->send("gets $keys\r\nmn\r\n");
is($other->through("MN\r\n"), "END\r\nMN\r\n", 'and the same with gets');

done_testing;
