#!/usr/bin/perl
# Goal: meta commands do not depend on how their bytes arrive.
# Method: conversations sent whole, byte by byte, and cut at every offset; see TestSplit.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestSplit;

my $server = TestServer->start('-t', '1');

sub split_ok {
    my ($name, $lines, $reply, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    TestSplit::check($server, $name, TestClient::wire([ @$lines, 'mn' ]), TestClient::wire([ @$reply, 'MN' ]), %options);
}

split_ok('get and set', [
    'ms a 3 F5 T0', 'abc', 'mg a v f s k Oopaque t', 'mg a q', 'mg none v q', 'mg none k Ox', 'ms a 2 ME', 'hi', 'ms a 2 MA q', 'hi',
    'mg a v', 'ms a 0 q', '', 'mg a v', 'ms none 1 MR k', 'x', 'ms a 4 q', "\r\n\r\n", 'mg a s v', 'md a', 'mg a v',
], [
    'HD', 'VA 3 f5 s3 ka Oopaque t-1', 'abc', 'HD', 'EN knone Ox', 'NS', 'VA 5', 'abchi', 'VA 0', '', 'NS knone',
    'VA 4 s4', "\r\n\r\n", 'HD', 'EN',
]);
split_ok('arithmetic and marks', [
    'ms n 1', '5', 'ma n v', 'ma n q', 'ma n v MD D2 Ox k', 'md n I q', 'mg n v', 'mg n v', 'md n', 'ma n v', 'ms w 1 T100', 'x', 'md w',
    'mg w N0 v', 'mg w v', 'md w q', 'bogus', 'mn',
], [
    'HD', 'VA 1', '6', 'VA 1 Ox kn', '5', 'VA 1 X W', '5', 'VA 1 Z X', '5', 'HD', 'NF', 'HD', 'HD',
    'VA 0 W', '', 'VA 0 Z', '', 'ERROR', 'MN',
]) unless TestServer::is_old();
split_ok('binary keys', [ 'ms YWJj 2 b', 'hi', 'mg YWJj b k v', 'md YWJj b k' ], [ 'HD', 'VA 2 kYWJj b', 'hi', 'HD kYWJj b' ]);
split_ok('errors', [
    'ms k 2 y', 'mn', 'ms k 2 k k', 'mn', 'mg k y', 'ma k y', 'ms k x', 'ms k 3', 'abcXXmn', 'ms k 2 O' . 'x' x 40, 'mn', 'md k O' . 'x' x 40, 'ms k 2 MX', 'mn',
], [
    'CLIENT_ERROR invalid flag', 'CLIENT_ERROR duplicate flag', 'CLIENT_ERROR invalid flag', 'CLIENT_ERROR invalid or duplicate flag',
    'CLIENT_ERROR bad command line format', 'CLIENT_ERROR bad data chunk', 'MN', 'CLIENT_ERROR opaque token too long',
    'CLIENT_ERROR opaque token too long', 'CLIENT_ERROR invalid mode for ms M token',
]) unless TestServer::is_old();
for my $length (16_000, 600_000) {
    my $value = substr join(',', 1 .. 130_000), 0, $length;
    my $start = length "ms v $length s\r\n";
    split_ok("a value of $length bytes", [ "ms v $length", $value, 'mg v s v', 'md v' ],
        [ 'HD', "VA $length s$length", $value, 'HD' ],
        cuts => [ (map { $start + $_ } -3 .. 3), (map { $start + $length + $_ } -3 .. 6), 16_380 .. 16_388, 524_280 .. 524_300 ], slow => 0);
}

done_testing;
