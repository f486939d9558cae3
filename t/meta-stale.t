#!/usr/bin/perl
# Goal: of many clients one is told to fetch anew, and stale values can be served meanwhile.
# Method: the marks W, X and Z after N, R and I, from two connections; recaching on the stopped clock.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my ($c, $other) = map { $server->client } 1 .. 2;
$server->freeze_clock if TestServer::has_feature('debug');

# vivify
$c->answers_like('mg k s v N30', qr/VA 0 s0 W\r\n\r\n/, 'an empty item is made, and the first one wins');
$other->answers('mg k s v N30', [ 'VA 0 s0 Z', '' ], 'the next one waits');
$other->answers([ 'add k 0 0 1', 'x' ], ['NOT_STORED'], 'the item is there');
my $cas = $c->cas('k');
$c->answers([ "ms k 3 C$cas T300", 'new' ], ['HD'], 'the winner stores by its cas number');
$other->answers('mg k v N30', [ 'VA 3', 'new' ], 'the marks are gone');

# recache
for my $row ([ 'R30', '', 'R below the time left' ], [ 'R299', '', 'R one below' ]) {
    my ($flags, $marks, $name) = @$row;
    $other->answers("mg k v $flags", [ "VA 3$marks", 'new' ], $name);
}
$c->answers('mg k v R400', [ 'VA 3 W', 'new' ], 'R above the time left wins');
$other->answers('mg k v R400', [ 'VA 3 Z', 'new' ], 'once');
$other->answers('mg k v', [ 'VA 3 Z', 'new' ], 'everyone is told');
$c->answers([ 'ms k 3 T300', 'new' ], ['HD'], 'a store');
$c->answers('mg k v R30', [ 'VA 3', 'new' ], 'takes the mark away');
$c->answers([ 'ms ever 1', 'x' ], ['HD'], 'an item that never expires');
$c->answers('mg ever R1000 v', [ 'VA 1', 'x' ], 'is never recached');
$c->answers_like('mg k t T10 R20', qr/HD t${\ TestServer::left(300)} W\r\n/, 'the time left is the one at its place: T before R') ;
$c->answers([ 'ms k 3 T10', 'new' ], ['HD'], 'a short time to live');
$c->answers('mg k R20 T300', ['HD W'], 'R before T');
$c->answers([ 'ms k 3 T10', 'new' ], ['HD'], 'again');
$c->answers('mg k T300 R20', ['HD'], 'R behind T');
$c->answers([ 'ms k 3 T10', 'new' ], ['HD'], 'again');
$c->answers('mg k R0', ['HD'], 'R0 never wins');
$c->answers('mg k R-1', ['HD'], 'nor does R-1');

# an opaque that is too long ends mg: nobody has won
my $long = 'O' . 'x' x 32;
my $too_long = 'CLIENT_ERROR opaque token too long';
$c->answers([ 'ms k 3 T10', 'new' ], ['HD'], 'a short time to live');
$c->answers("mg k R20 $long", [$too_long], 'R before a long opaque');
$c->answers("mg k $long R20 T300", [$too_long], 'R behind it');
$c->answers('mg k R20', ['HD W'], 'the right to recache is still there');
$c->answers("mg made N0 $long T30", [$too_long], 'N before a long opaque');
$c->answers('mg made s t', ['HD s0 t-1'], 'an item was made, without a mark, and T did not act');

# stale
$c->answers([ 'ms s 5 T300', 'fresh' ], ['HD'], 'an item');
$c->answers('md s I T30', ['HD'], 'made stale');
$c->answers_like('mg s v t', qr/VA 5 t${\ TestServer::left(30)} X W\r\nfresh\r\n|VA 5 t${\ TestServer::left(30)} W X\r\nfresh\r\n/, 'the first one wins, and sees that it is stale');
$other->answers_like('mg s v', qr/VA 5 (Z X|X Z)\r\nfresh\r\n/, 'the next one sees both marks');
$cas = $other->cas('s');
SKIP: {
    skip 'differs before 1.6.45', 1 if TestServer::is_old();
    $other->answers('mg s k', ['HD ks Z X'], 'the order of the marks');
    $c->answers('md s I', ['HD'], 'stale once more');
    $c->answers('mg s k', ['HD ks X W'], 'another win');
}
$cas = ($c->ask('mg s c') =~ /c(\d+)/)[0];
$c->answers([ 'ms s 4 I C' . ($cas - 1), 'late' ], ['HD'], 'I: a store by a lower number');
$c->answers_like('mg s v t', qr/VA 4 t${\ TestServer::left(30)} (Z X|X Z|X W|X)\r\nlate\r\n/, 'is taken, stays stale and keeps the time to live');
$cas = ($c->ask('mg s c') =~ /c(\d+)/)[0];
$c->answers([ 'ms s 4 I C' . ($cas + 100), 'none' ], ['EX'], 'I: a store by a higher number is not');
$c->answers([ "ms s 5 I C$cas T60", 'again' ], ['HD'], 'I: the number itself');
$c->answers_like('mg s v t', qr/VA 5 t${\ TestServer::left(60)}\r\nagain\r\n/, 'is a store as any other');
$c->answers([ 'ms s 4 C1', 'none' ], ['EX'], 'without I a lower number is refused');

# what keeps the marks and what takes them
for my $row (
    [ 'touch s 100', 1 ],
    [ 'gat 100 s', 1 ],
    [ 'ma s', 1 ],
    [ [ 'set s 0 0 1', '1' ], 0 ],
    [ [ 'append s 0 0 1', '1' ], 0 ],
    [ [ 'replace s 0 0 1', '1' ], 0 ],
    [ [ 'ms s 1', '1' ], 0 ],
) {
    my ($request, $stays) = @$row;
    $c->set('s', '1', ttl => 500);
    $c->talk('md s I');
    $c->talk($request);
    my $name = ref $request ? $request->[0] : $request;
    like($c->ask('mg s'), $stays ? qr/^HD X W$|^HD W X$/ : qr/^HD$/, "$name " . ($stays ? 'keeps' : 'takes') . ' the marks');
}

SKIP: {
    skip 'this is not a debug server', 1 unless TestServer::has_feature('debug');
    $server->freeze_clock;
    $c->answers([ 'ms r 1 T100', 'x' ], ['HD'], 'an item of a hundred seconds');
    $c->answers('mg r R30', ['HD'], 'not yet');
    $server->advance_clock(70);
    $c->answers('mg r R30 t', ['HD t30'], 'thirty seconds left are not less than thirty');
    $server->advance_clock(1);
    $c->answers('mg r R30 t', ['HD t29 W'], 'twenty-nine are');
    $c->answers('mg r R30 t', ['HD t29 Z'], 'one winner');
}

done_testing;
