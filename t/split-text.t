#!/usr/bin/perl
# Goal: classic commands do not depend on how their bytes arrive.
# Method: conversations sent whole, byte by byte, and cut at every offset; see TestSplit.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestSplit;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start('-t', '1');

sub split_ok {
    my ($name, $lines, $reply, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    TestSplit::check($server, $name, TestClient::wire([ @$lines, 'mn' ]), TestClient::wire([ @$reply, 'MN' ]), %options);
}

split_ok('storage and retrieval', [
    'set a 1 0 3', 'abc', 'get a', 'add a 0 0 1', 'x', 'replace a 2 0 2', 'hi', 'append a 0 0 1', '!', 'prepend a 0 0 1', '?',
    'get a none a', 'set b 0 0 0', '', 'set c 0 0 2 noreply', "\r\n", 'get a b c', 'delete a', 'delete a', 'get a',
], [
    'STORED', 'VALUE a 1 3', 'abc', 'END', 'NOT_STORED', 'STORED', 'STORED', 'STORED',
    ('VALUE a 2 4', '?hi!') x 2, 'END', 'STORED', 'VALUE a 2 4', '?hi!', 'VALUE b 0 0', '', 'VALUE c 0 2', "\r\n", 'END',
    'DELETED', 'NOT_FOUND', 'END',
]);
split_ok('arithmetic, touch and others', [
    'set n 0 0 2', '10', 'incr n 5', 'decr n 10', 'get n', 'incr n x', 'touch n 0', 'touch none 0', 'gat 0 n', 'incr none 1 noreply',
    'verbosity 0', 'flush_all noreply', 'get n', 'bogus',
], [
    'STORED', '15', '5', 'VALUE n 0 2', '5 ', 'END', 'CLIENT_ERROR invalid numeric delta argument', 'TOUCHED', 'NOT_FOUND',
    'VALUE n 0 2', '5 ', 'END', 'OK', 'END', 'ERROR',
]);
split_ok('refused blocks', [
    'set ' . 'k' x 251 . ' 0 0 4', 'mn', '', 'set k x 0 2', 'mn', 'set k 0 0 3', "abcXXget none", 'cas k 0 0 2 x', 'mn', 'set k 0 0 x', 'get none',
], [ $BAD, $BAD, 'CLIENT_ERROR bad data chunk', 'END', $BAD, $BAD, 'END' ]) unless TestServer::is_old();

my @keys = map { "key$_" } 1 .. 60;
split_ok('a long multiget', [ 'set key7 0 0 1', '7', 'set key55 0 0 2', '55', "get @keys" ],
    [ 'STORED', 'STORED', 'VALUE key7 0 1', '7', 'VALUE key55 0 2', '55', 'END' ]);
split_ok('quiet stores', [ (map { ("set q$_ 0 0 3 noreply", "v$_$_") } 1 .. 9), 'get q1 q9' ],
    [ 'VALUE q1 0 3', 'v11', 'VALUE q9 0 3', 'v99', 'END' ]);

# borders of the read buffer and of chunks
for my $length (2000, 16_000, 70_000, 600_000) {
    my $value = substr join(',', 1 .. 130_000), 0, $length;
    my $start = length "set v 0 0 $length\r\n";
    my @cuts = ((map { $start + $_ } -3 .. 3), (map { $start + $length + $_ } -3 .. 6),
        map { my $near = $_; map { $near + $_ } -2 .. 2 } grep { $_ < $length } 2048, 4096, 16_384, 32_768, 65_536, 524_288);
    split_ok("a value of $length bytes", [ "set v 0 0 $length", $value, 'get v', 'delete v' ],
        [ 'STORED', "VALUE v 0 $length", $value, 'END', 'DELETED' ], cuts => \@cuts, slow => 0);
}
split_ok('a value too large', [ 'set v 0 0 1100000', 'x' x 1_100_000, 'get v' ], [ 'SERVER_ERROR object too large for cache', 'END' ],
    cuts => [ 1 .. 30, 16_000 .. 16_020, 1_100_000 .. 1_100_030 ], slow => 0);

done_testing;
