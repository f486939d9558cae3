#!/usr/bin/perl
# Goal: get, gets, gat and gats return hits in the order asked for, and nothing else.
# Method: key lists with hits, misses, repeats and long keys; thousands of keys in a line.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

$c->set($_, "value of $_", flags => ord) for qw(a b c);

sub values_of { return map { ("VALUE $_ " . ord . ' 10', "value of $_") } @_ }

$c->answers('get a', [ values_of('a'), 'END' ], 'one key');
$c->answers('get a b c', [ values_of(qw(a b c)), 'END' ], 'several keys');
$c->answers('get c a b', [ values_of(qw(c a b)), 'END' ], 'the order is the request\'s');
$c->answers('get a a b a', [ values_of(qw(a a b a)), 'END' ], 'a key asked for twice is sent twice');
$c->answers('get x a y b z', [ values_of(qw(a b)), 'END' ], 'misses leave no trace');
$c->answers('get x y z', ['END'], 'only misses');
$c->answers('get   a    b  ', [ values_of(qw(a b)), 'END' ], 'several spaces, also at the end');
$c->answers(\"get a\n", [ values_of('a'), 'END' ], 'a line ended by LF alone');
$c->answers('get a noreply', [ values_of('a'), 'END' ], 'noreply is a key like any other');
$c->set('noreply', 'x');
$c->answers('get noreply', [ 'VALUE noreply 0 1', 'x', 'END' ], 'a key named noreply');

my ($cas) = map { $c->cas($_) } 'a';
$c->answers('gets a x', [ "VALUE a 97 10 $cas", 'value of a', 'END' ], 'gets adds the cas number');

# keys
my $limit = 'k' x 250;
$c->set($limit, 'v');
$c->answers("get $limit", [ "VALUE $limit 0 1", 'v', 'END' ], 'a key of 250 bytes');
$c->answers_now("get ${limit}k", [$BAD], 'a key of 251 bytes');
$c->answers_now("get a ${limit}k b", [$BAD], 'a long key among others refuses the whole command');
$c->answers_now("gets ${limit}k", [$BAD], 'gets with a long key');
$c->answers_now("get ${limit}k noreply", [$BAD], 'a long key before the word noreply');
$c->answers_now([ 'get a', "get ${limit}k", 'get b' ], [ values_of('a'), 'END', $BAD, values_of('b'), 'END' ],
    'replies around a refused command stay');
for my $key ("\x01", "tab\tkey", "\x7f\x80\xff", 'umläut', '%s%n', '"quoted"', "cr\rkey") {
    $c->set($key, 'v');
    $c->answers("get $key", [ "VALUE $key 0 1", 'v', 'END' ], 'an odd key: ' . TestClient::visible($key));
}
$c->answers_now([ "set nul\0key 0 0 1", 'v' ], ['STORED'], 'a NUL byte in a key');
$c->answers_now("get nul\0key nul nul\0other", [ "VALUE nul\0key 0 1", 'v', 'END' ], 'the whole key counts');

# missing keys
for my $line ('get', 'gets', 'get ', 'gat', 'gats', 'gat 0', 'gats 0') {
    $c->answers_now($line, [$BAD], "'$line' has too few words");
}

# gat and gats
$c->answers('gat 1000 a x b', [ values_of(qw(a b)), 'END' ], 'gat returns what get returns');
like($c->ask('mg a t'), qr/^HD t${\ TestServer::left(1000)}$/, 'gat sets the exptime');
like($c->ask('mg b t'), qr/^HD t${\ TestServer::left(1000)}$/, 'of each hit');
$c->answers('gats 0 a', [ "VALUE a 97 10 $cas", 'value of a', 'END' ], 'gats adds the cas number');
is($c->ask('mg a t'), 'HD t-1', 'gats sets the exptime');
$c->answers('gat -1 b', [ values_of('b'), 'END' ], 'a negative exptime still returns the value');
$c->answers('get b', ['END'], 'which has expired then');
$c->answers("gat $_ a", ['CLIENT_ERROR invalid exptime argument'], "gat with exptime $_") for qw(abc 1x 1.5);
$c->answers_now("gat $_ a", ['CLIENT_ERROR invalid exptime argument'], "gat with exptime $_")
    for qw(+1 2147483648 -2147483649 000000000001);
$c->answers('gat 1 ' . 'x' x 250, ['END'], 'gat with a key of 250 bytes');
$c->answers_now('gat 1 ' . 'x' x 251, [$BAD], 'gat with a key of 251 bytes');

# many keys
my @keys = map { "key$_" } 1 .. 5000;
$c->send(join '', map { 'set ' . $_ . ' 0 0 ' . length($_) . " noreply\r\n$_\r\n" } @keys);
my $want = join('', map { "VALUE $_ 0 " . length($_) . "\r\n$_\r\n" } @keys) . "END\r\n";
ok(TestClient::wire($want) && $c->talk("get @keys") eq $want, 'five thousand keys in a line');
ok($c->talk('get ' . join ' ', map { "$_ none" } @keys) eq $want, 'with as many misses between them');
ok($c->talk("gets @keys") =~ s/(VALUE \S+ 0 \d+) \d+/$1/gr eq $want, 'five thousand keys of gets');

# a value stays as it was when its reply was made, whatever the next command of the packet does
$c->set('v', 'before');
$c->answers([ 'get v', 'set v 0 0 5', 'after', 'get v' ],
    [ 'VALUE v 0 6', 'before', 'END', 'STORED', 'VALUE v 0 5', 'after', 'END' ], 'set behind get in one packet');
$c->set('n', '100');
$c->answers([ 'get n', 'incr n 1', 'get n', 'decr n 95', 'get n' ],
    [ 'VALUE n 0 3', '100', 'END', '101', 'VALUE n 0 3', '101', 'END', '6', 'VALUE n 0 3', '6  ', 'END' ],
    'arithmetic between gets in one packet') unless TestServer::is_old();
my $large = 'x' x 300_000;
$c->set('large', $large);
$c->send("get large\r\ndelete large\r\nset large 0 0 2\r\nhi\r\nget large\r\n");
ok($c->bytes(length "VALUE large 0 300000\r\n$large\r\nEND\r\n") eq "VALUE large 0 300000\r\n$large\r\nEND\r\n",
    'a large value under way when it is replaced');
is($c->bytes(length "DELETED\r\nSTORED\r\nVALUE large 0 2\r\nhi\r\nEND\r\n"), "DELETED\r\nSTORED\r\nVALUE large 0 2\r\nhi\r\nEND\r\n",
    'what follows it');

done_testing;
