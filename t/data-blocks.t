#!/usr/bin/perl
# Goal: the server never loses its place between command lines and data blocks.
# Method: wrong lengths, wrong ends, refused and too large values; behind each a command whose answer
# shows where parsing went on.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $CHUNK = 'CLIENT_ERROR bad data chunk';
my $LARGE = 'SERVER_ERROR object too large for cache';
my $server = TestServer->start;
my $c = $server->client;
$c->set('k', 'old');

# the end of the block
$c->answers_now(\"set k 0 0 3\r\nabcde\r\n", [ $CHUNK, $BAD ], 'two bytes more than announced');
$c->answers_now(\"set k 0 0 3\r\nabcXXmn\r\n", [ $CHUNK, 'MN' ], 'no line end behind the block: parsing goes on right there');
$c->answers_now(\"set k 0 0 3 noreply\r\nabcXXmn\r\n", ['MN'], 'noreply silences the error');
$c->answers_now(\"set k 0 0 3\r\nabc\n\nmn\r\n", [ $CHUNK, 'MN' ], 'LF alone does not end a block');
$c->answers_now(\"set k 0 0 3\r\nabc\r\rmn\r\n", [ $CHUNK, 'MN' ], 'nor does CR');
$c->answers_now(\"set k 0 0 5\r\nab\r\nc\r\n", ['STORED'], 'a line end inside the block is data');
is($c->get('k'), TestServer::is_old() ? 'old' : "ab\r\nc", 'the value');
$c->set('k', 'old');
$c->answers_now(\"set k 0 0 0\r\n\r\n", ['STORED'], 'an empty block');
$c->answers_now(\"set k 0 0 0\r\nXXmn\r\n", [ $CHUNK, 'MN' ], 'an empty block without its line end');
$c->set('k', 'old');
$c->answers_now(\"set k 0 0 3\r\nabcXXget k\r\n", [ $CHUNK, 'VALUE k 0 3', 'old', 'END' ], 'a refused block leaves the older value');

# byte counts that are none: the block is not consumed
for my $count ('-1', 'abc', '1.5', '2147483646', '4294967296', '0x10', '1x', '+1', '000000000001', '') {
    $c->answers_now([ "set k 0 0 $count", 'mn' ], [ $BAD, 'MN' ], "byte count '$count'");
}
$c->answers_now([ 'set k 0 0 noreply', 'mn' ], [ $BAD, 'MN' ], 'noreply where the byte count should be');
$c->answers([ 'set k 0 0 00000000003', 'abc' ], ['STORED'], 'a byte count of eleven digits');

# refused lines whose block is consumed
for my $line (
    'set ' . 'k' x 251 . ' 0 0 2', 'set k x 0 2', 'set k 0 x 2', 'add k x 0 2', 'cas k 0 0 2 x', 'cas k 0 0 2',
    'append ' . 'k' x 251 . ' 0 0 2', 'set ' . 'k' x 1000 . ' 0 0 2')
{
    $c->answers_now([ $line, 'mn' ], [$BAD], 'refused with its block: ' . substr $line, 0, 20);
    $c->answers_now([ "$line noreply", 'mn' ], [], 'the same with noreply') unless $line =~ /^cas k 0 0 2$/;
}

# too large
for my $command (qw(set add replace append prepend)) {
    $c->set('k', 'old');
    $c->answers([ "$command k 0 0 1048577", 'x' x 1_048_577 ], [$LARGE], "$command of too large a value, with its block");
    my $want = $command eq 'set' ? undef : 'old';
    is($c->get('k'), $want, $command eq 'set' ? 'set leaves no older value' : "$command leaves the older value");
}
$c->set('k', 'old');
my $cas = $c->cas('k');
$c->answers([ "cas k 0 0 2000000 $cas", 'x' x 2_000_000 ], [$LARGE], 'cas of too large a value');
is($c->get('k'), 'old', 'cas leaves the older value');
$c->answers([ 'set k 0 0 3000000 noreply', 'x' x 3_000_000 ], [], 'noreply');
is($c->get('k'), undef, 'noreply does the same');

# the largest value: 48 bytes, key and NUL, CR LF, cas number, client flags if any
for my $row (
    [ 'k', 0, 1_048_516 ],
    [ 'k', 1, 1_048_512 ],
    [ 'k' x 250, 0, 1_048_267 ],
) {
    my ($key, $flags, $most) = @$row;
    my $name = length($key) . " bytes of key, flags $flags";
    $c->answers([ "set $key $flags 0 $most", 'x' x $most ], ['STORED'], "$name: the largest value");
    is(length($c->get($key) // ''), $most, 'comes back');
    $c->answers([ "set $key $flags 0 " . ($most + 1), 'x' x ($most + 1) ], [$LARGE], 'one byte more');
}
my $plain = TestServer->start('-C')->client;
$plain->answers([ 'set k 0 0 1048524', 'x' x 1_048_524 ], ['STORED'], '-C: the largest value');
$plain->answers([ 'set k 0 0 1048525', 'x' x 1_048_525 ], [$LARGE], '-C: one byte more');

# appending over the limit
$c->set('k', 'x' x 1_000_000);
$c->answers([ 'append k 0 0 100000', 'y' x 100_000 ], ['NOT_STORED'], 'append whose result is too large');
is(length $c->get('k'), 1_000_000, 'the older value stays');
$c->answers([ 'prepend k 0 0 100000', 'y' x 100_000 ], ['NOT_STORED'], 'prepend whose result is too large');
$c->answers([ 'ms k 100000 MA', 'y' x 100_000 ], ['NS'], 'ms MA whose result is too large');
is(length $c->get('k'), 1_000_000, 'the older value stays');

# blocks in pieces
$c->send("set k 0 0 10\r\n");
ok($c->silent, 'the server waits for the block');
$c->send('01234');
ok($c->silent, 'for all of it');
$c->send("56789\r");
ok($c->silent, 'and its end');
$c->send("\nget k\r\n");
is($c->through("END\r\n"), "STORED\r\nVALUE k 0 10\r\n0123456789\r\nEND\r\n", 'then goes on');
$c->send("set k 0 0 9\r\nabc");
$c->close;
my $d = $server->client;
is($d->get('k'), '0123456789', 'a client that leaves amid a block changes nothing');
$d->send("set k 0 0 1048576\r\n" . 'x' x 100_000);
$d->close;
$d = $server->client;
$d->answers('mn', ['MN'], 'nor does one that leaves amid a block that is thrown away');

done_testing;
