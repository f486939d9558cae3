#!/usr/bin/perl
# Goal: ma counts as incr and decr do, and creates, compares and returns as its flags ask for.
# Method: modes, deltas, creation, cas numbers, refusals; the stored text by mg.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $NON_NUMERIC = 'CLIENT_ERROR cannot increment or decrement non-numeric value';
my $server = TestServer->start;
my $c = $server->client;

$c->answers('ma n', ['NF'], 'an absent key');
$c->answers_now('ma n k Oxyz q', ['NF kn Oxyz'], 'q does not hide it; key and opaque come back');
$c->set('n', '10');
$c->answers('ma n', ['HD'], 'one more by default');
$c->answers('ma n v', [ 'VA 2', '12' ], 'v returns the number');
$c->answers('ma n v D30', [ 'VA 2', '42' ], 'D');
for my $row ([ 'MI', 43 ], [ 'M+', 44 ], [ 'MD', 43 ], [ 'M-', 42 ], [ 'MI D8', 50 ], [ 'MD D40', 10 ], [ 'MD D100', 0 ], [ 'D0', 0 ]) {
    my ($flags, $number) = @$row;
    $c->answers("ma n v $flags", [ 'VA ' . length $number, $number ], "ma n v $flags");
}
$c->answers_now('ma n v MINCR', [ 'VA 1', '1' ], 'the first letter of the mode counts');
$c->answers('ma n q', [], 'q hides HD');
$c->answers_now('ma n q v', [], 'q hides VA');
$c->set('n', '18446744073709551615');
$c->answers('ma n v', [ 'VA 1', '0' ], 'wraps at 64 bits');
$c->set('n', '10');
$c->answers('ma n MD', ['HD'], 'a number that gets shorter');
$c->answers('get n', [ 'VALUE n 0 2', '9 ', 'END' ], 'is padded in the item');
$c->answers('ma n v D0', [ 'VA 1', '9' ], 'but not in the reply');
$c->answers('ma n v k Oxyz', [ 'VA 2 kn Oxyz', '10' ], 'key and opaque');

# N and J
$c->answers('ma new N0 v', [ 'VA 1', '0' ], 'N creates');
$c->answers('mg new t', ['HD t-1'], 'N0: for ever');
$c->answers('ma new N0 v', [ 'VA 1', '1' ], 'and counts from then on');
$c->answers('ma new2 N90 J13 v D5', [ 'VA 2', '13' ], 'J is the first number, D does not count');
like($c->ask('mg new2 t f'), qr/^HD t${\ TestServer::left(90)} f0$/, 'the time to live is N\'s');
$c->answers('ma new2 N90 J13 v D5', [ 'VA 2', '18' ], 'J counts for creation only');
$c->answers_now('ma new3 N90 J13 MD q', [], 'q hides creation');
$c->answers_now('mg new3 v', [ 'VA 2', '13' ], 'it was created');
$c->answers('ma new4 N0 J18446744073709551615 v', [ 'VA 20', '18446744073709551615' ], 'the largest J');

# T, t, c
$c->set('n', '1');
$c->answers('ma n T100', ['HD'], 'T');
like($c->ask('mg n t'), qr/^HD t${\ TestServer::left(100)}$/, 'sets the time to live');
like($c->ask('ma n t T300'), qr/^HD t${\ TestServer::left(100)}$/, 't before T shows the old one');
like($c->ask('ma n T400 t'), qr/^HD t${\ TestServer::left(400)}$/, 't behind T the new one');
my ($cas) = $c->ask('ma n c') =~ /^HD c(\d+)$/;
is($c->cas('n'), $cas, 'c shows the new cas number');

# C and E
$c->answers("ma n v C" . ($cas + 1), ['EX'], 'another cas number');
$c->answers_now("ma n q k Oxyz C" . ($cas + 1), ['EX kn Oxyz'], 'EX is not hidden');
$c->answers("ma n C$cas", ['HD'], 'the number');
$c->answers('ma n C0', ['HD'], 'C0 does not check');
$c->answers_now('ma n E555 c', ['HD c555'], 'E gives the cas number');
$c->answers_now('mg n c', ['HD c555'], 'it is stored');
$c->answers_now('ma new5 N0 E666 c', ['HD c666'], 'E on creation');

# refusals
for my $text ('', 'x', '-5', '1.5', '18446744073709551616') {
    $c->set('n', $text);
    $c->answers('ma n', [$NON_NUMERIC], "ma of '$text'");
    $c->answers('ma n q', [$NON_NUMERIC], 'q does not hide the refusal');
    is($c->get('n'), $text, "'$text' stays");
}
$c->set('n', '5' . ' ' x 600_000);
$c->answers('ma n', [$NON_NUMERIC], 'a value in several chunks');
$c->set('n', 1);
$c->answers("ma n M$_", ['CLIENT_ERROR invalid mode for ma M token'], "mode $_") for 'X', 'i', '*';
$c->answers_now('ma n M', ['CLIENT_ERROR invalid mode for ma M token'], 'M without a letter');
my $FLAG = 'CLIENT_ERROR invalid or duplicate flag';
for my $flags ('y', 'v v', 'Dx', 'D', 'D-1', 'D18446744073709551616', 'Jx', 'Cx', 'Ex', 'Tx', 'Nx') {
    $c->answers_now("ma n $flags", [$FLAG], "flags '$flags'");
}
$c->answers_now('ma ' . 'k' x 251, [$FLAG], 'a key of 251 bytes');
$c->answers_now('ma n ' . 'v ' x 20, [$FLAG], 'more flags than there may be');
$c->answers_now('ma n ' . '!x', ['CLIENT_ERROR bad command line format'], 'a flag that is no letter');
is($c->get('n'), 1, 'none of them counted');
$c->answers_now('ma n O' . 'x' x 32, ['CLIENT_ERROR opaque token too long'], 'an opaque of 32 bytes');

# stored numbers are read as leniently as incr reads them
for my $text (' 12', "12\t", "12\r\n34", '12 x') {
    $c->set('lenient', $text);
    $c->answers('ma lenient v', [ 'VA 2', '13' ], 'ma counts ' . $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger);
}
$c->answers_now('mg n v', [ 'VA 1', '2' ], 'is found after counting');

done_testing;
