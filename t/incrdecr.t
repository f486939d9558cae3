#!/usr/bin/perl
# Goal: incr and decr count in unsigned 64-bit numbers and say what they cannot count.
# Method: a table of stored texts and deltas with replies and stored texts afterwards.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $NON_NUMERIC = 'CLIENT_ERROR cannot increment or decrement non-numeric value';
my $DELTA = 'CLIENT_ERROR invalid numeric delta argument';
my $server = TestServer->start;
my $c = $server->client;

# stored text, command, delta, reply, text afterwards
for my $row (
    [ '0', 'incr', '1', '1', '1' ],
    [ '5', 'incr', '0', '5', '5' ],
    [ '9', 'incr', '1', '10', '10' ],
    [ '99', 'incr', '901', '1000', '1000' ],
    [ '10', 'decr', '1', '9', '9 ' ],
    [ '100', 'decr', '1', '99', '99 ' ],
    [ '5', 'decr', '10', '0', '0' ],
    [ '12345', 'decr', '12345', '0', '0    ' ],
    [ '4294967295', 'incr', '1', '4294967296', '4294967296' ],
    [ '4294967296', 'decr', '1', '4294967295', '4294967295' ],
    [ '18446744073709551614', 'incr', '1', '18446744073709551615', '18446744073709551615' ],
    [ '18446744073709551615', 'incr', '1', '0', '0' . ' ' x 19 ],
    [ '18446744073709551615', 'incr', '18446744073709551615', '18446744073709551614', '18446744073709551614' ],
    [ '18446744073709551615', 'decr', '18446744073709551615', '0', '0' . ' ' x 19 ],
    [ '007', 'incr', '1', '8', '8  ' ],
    [ '7  ', 'incr', '1', '8', '8  ' ],
    [ '1', 'incr', '9223372036854775808', '9223372036854775809', '9223372036854775809' ],
    [ ' 12', 'incr', '1', '13', '13 ' ],
    [ "\t\n12", 'decr', '1', '11', '11  ' ],
    [ "12\t", 'incr', '1', '13', '13 ' ],
    [ "12\n", 'incr', '1', '13', '13 ' ],
    [ "12\r\n34", 'incr', '1', '13', '13    ' ],
    [ '12 x', 'decr', '1', '11', '11  ' ],
) {
    my ($text, $command, $delta, $reply, $after) = @$row;
    $c->set('n', $text);
    $c->answers("$command n $delta", [$reply], "$command '$text' by $delta");
    is($c->get('n'), $after, "the text after $command '$text' by $delta");
}

for my $text ('', 'x', '-5', '1.5', '0x10', '5x', ' 5x', "\t", '18446744073709551616', '1' x 30) {
    $c->set('n', $text);
    $c->answers('incr n 1', [$NON_NUMERIC], "incr of '$text'");
    $c->answers('decr n 1', [$NON_NUMERIC], "decr of '$text'");
    is($c->get('n'), $text, "'$text' stays");
}
$c->set('n', '1' . ' ' x 600_000);
$c->answers('incr n 1', [$NON_NUMERIC], 'a value in several chunks');

for my $delta ('x', '-1', '1.5', '18446744073709551616') {
    $c->answers("incr n $delta", [$DELTA], "delta $delta");
    $c->answers("decr none $delta", [$DELTA], "delta $delta, before the key is looked up");
}
for my $delta ('+1', '1' . '0' x 22) {
    $c->answers_now("incr n $delta", [$DELTA], "delta $delta");
}
$c->set('n', '1');
$c->answers('incr n 0000000000000000000001', ['2'], 'a delta of 22 digits');
$c->answers('incr none 1', ['NOT_FOUND'], 'incr of an absent key');
$c->answers('decr none 1', ['NOT_FOUND'], 'decr of an absent key');
$c->answers('incr n 5 noreply', [], 'incr noreply');
$c->answers('get n', [ 'VALUE n 0 1', '7', 'END' ], 'incr noreply counts');
$c->answers('decr n x noreply', [], 'a refusal obeys noreply');
for my $command (qw(incr decr)) {
    $c->answers_now($_, [$BAD], "'$_' has too few words") for $command, "$command n";
    $c->answers_now("$command " . 'k' x 251 . ' 1', [$BAD], "$command with a key of 251 bytes");
}
$c->answers_now('incr n 1 2 3', ['8'], 'surplus words are ignored');

# what stays of the item
$c->set('n', '10', flags => 5, ttl => 1000);
my $cas = $c->cas('n');
$c->answers('incr n 1', ['11'], 'in place');
$c->answers_like('gets n', qr/VALUE n 5 2 (?!$cas\b)\d+\r\n11\r\nEND\r\n/, 'the flags stay, the cas number is new');
like($c->ask('mg n t'), qr/^HD t${\ TestServer::left(1000)}$/, 'the exptime stays');
$cas = $c->cas('n');
$c->answers('incr n 89', ['100'], 'into a longer text');
$c->answers_like('gets n', qr/VALUE n 5 3 (?!$cas\b)\d+\r\n100\r\nEND\r\n/, 'the flags stay with a new item');
like($c->ask('mg n t'), qr/^HD t${\ TestServer::left(1000)}$/, 'the exptime stays with a new item');

# without cas numbers
my $p = TestServer->start('-C')->client;
$p->set('n', '9');
$p->answers('incr n 1', ['10'], '-C: incr');
$p->answers('decr n 5', ['5'], '-C: decr');
$p->answers('get n', [ 'VALUE n 0 2', '5 ', 'END' ], '-C: the text');

done_testing;
