#!/usr/bin/perl
# Goal: mg, ms, md and ma read their flags by one rule, and name what is wrong in one order.
# Method: malformed keys and flags for each command; ms consumes its block where the rule says so.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $TOKEN = 'CLIENT_ERROR bad token in command line format';
TestServer::need_new('flags of meta commands have other limits and texts');
my $server = TestServer->start;
my $c = $server->client;
$c->set('k', '5');

# A command with these flags; the block of ms must be gone with it.
sub line {
    my ($command, $flags, $key) = @_;
    $key //= 'k';
    return $command eq 'ms' ? [ "ms $key 2 $flags", 'mn' ] : "$command $key $flags";
}

my %known = map { $_ => 1 } split //, 'bcCDEfFhIJklMNOPLqRstTuvx';
for my $command (qw(mg ms md)) {
    for my $letter (grep { !$known{$_} } map { chr } 0x41 .. 0x7a) {
        $c->answers(line($command, $letter), ['CLIENT_ERROR invalid flag'], "$command: unknown flag $letter");
    }
    $c->answers(line($command, $_), ['CLIENT_ERROR invalid flag'], "$command: the digit $_ is no flag") for 0 .. 9;
    $c->answers(line($command, "$_ $_"), ['CLIENT_ERROR duplicate flag'], "$command: $_ twice") for qw(c k q s t f);
    $c->answers(line($command, 'k c k'), ['CLIENT_ERROR duplicate flag'], "$command: twice, not side by side");
    $c->answers(line($command, 'Oa Ob'), ['CLIENT_ERROR duplicate flag'], "$command: with different arguments");
    for my $flag (qw(T N R C E)) {
        $c->answers(line($command, $flag), [$TOKEN], "$command: $flag without its number");
        $c->answers(line($command, "${flag}x"), [$TOKEN], "$command: $flag with a word");
        $c->answers(line($command, "${flag}1x"), [$TOKEN], "$command: $flag with a number and more");
        $c->answers(line($command, "$flag+1"), [$TOKEN], "$command: $flag with a plus sign");
    }
    $c->answers(line($command, "${_}2147483648"), [$TOKEN], "$command: $_ beyond 31 bits") for qw(T N R);
    $c->answers(line($command, "${_}-"), [$TOKEN], "$command: $_ with a sign alone") for qw(T N R);
    $c->answers(line($command, "${_}18446744073709551616"), [$TOKEN], "$command: $_ beyond 64 bits") for qw(C E);
    $c->answers(line($command, "${_}-1"), [$TOKEN], "$command: $_ below zero") for qw(C E);
    $c->answers(line($command, 'Jx'), ['CLIENT_ERROR invalid numeric initial value'], "$command: J with a word");
    $c->answers(line($command, 'Dx'), ['CLIENT_ERROR invalid numeric delta value'], "$command: D with a word");
    $c->answers(line($command, 'Fx'), [$BAD], "$command: F with a word");
    $c->answers(line($command, 'F4294967296'), [$BAD], "$command: F beyond 32 bits")
        if $server->settings->{client_flags_size} == 4;
    $c->answers(line($command, 'Tx Jx'), ['CLIENT_ERROR invalid numeric initial value'], "$command: the last bad argument is named");
    $c->answers(line($command, 'Tx k k'), ['CLIENT_ERROR duplicate flag'], "$command: a flag twice comes before it");
    $c->answers(line($command, 'Tx !'), [$BAD], "$command: a flag that is no letter comes before all") if $command ne 'ms';
    $c->answers(line($command, 'q y'), ['CLIENT_ERROR invalid flag'], "$command: q does not hide errors");
    $c->answers(line($command, '', 'k' x 251), [$BAD], "$command: a key of 251 bytes");
    $c->answers(line($command, "b", '!!!!'), ['CLIENT_ERROR error decoding key'], "$command: a key that is not base64");
}

# a first byte that no flag has: ms does not know the length of its block yet
for my $byte ('!', '*', '-', '@', '{', '~', "\x80", "\x01") {
    my $shown = TestClient::visible($byte);
    $c->answers("mg k $byte", [$BAD], "mg: $shown");
    $c->answers("md k $byte", [$BAD], "md: $shown");
    $c->answers("ma k $byte", [$BAD], "ma: $shown");
    # Its block may be thrown away or taken for a command.
    my $own = $server->client;
    $own->answers_like([ "ms k 2 $byte", '  ' ], qr/\Q$BAD\E\r\n(\Q$BAD\E\r\n|ERROR\r\n)?/, "ms: $shown");
}

# how many
my $eighteen = join ' ', qw(c f h l s t u x I), 'C1', 'D1', 'E1', 'F1', 'J1', 'Oo', 'P', 'L', 'k';
$c->set('k', '5');
$c->answers_like("mg k $eighteen", qr/HD [^\r]*\r\n/, 'mg with eighteen flags');
$c->answers("mg k $eighteen q", ['CLIENT_ERROR options flags are too long'], 'mg with nineteen');
my $seventeen = join ' ', qw(c f h l s t u x), 'D1', 'F1', 'J1', 'Oo', 'P', 'L', 'k', 'T0', 'v';
$c->answers_like([ "ms k 2 $seventeen", 'hi' ], qr/HD [^\r]*\r\n/, 'ms with seventeen flags');
$c->answers([ "ms k 2 $seventeen q", 'mn' ], ['CLIENT_ERROR options flags are too long'], 'ms with eighteen, and its block');
$c->answers([ 'mg k ' . 'y ' x 19 ], ['CLIENT_ERROR options flags are too long'], 'too many is found before what they are');

# opaque
for my $command (qw(mg ms md ma)) {
    $c->set('k', '5');
    $c->answers(line($command, 'O' . 'x' x 31), [ "HD O" . 'x' x 31 ], "$command: an opaque of 31 bytes");
    $c->set('k', '5');
    $c->answers(line($command, 'O' . 'x' x 32), ['CLIENT_ERROR opaque token too long'], "$command: one of 32");
    $c->set('k', '5');
    $c->answers(line($command, 'O'), ["HD O"], "$command: an empty one");
    $c->set('k', '5');
    $c->answers(line($command, "O\x01\x80!"), ["HD O\x01\x80!"], "$command: odd bytes in one");
}
$c->answers('mg none O' . 'x' x 32, ['CLIENT_ERROR opaque token too long'], 'mg: a long opaque on a miss');

# every command takes every letter and ignores what means nothing to it
for my $letter (grep { !/[bMOTNRCEJDFIxqv]/ } keys %known) {
    $c->set('k', '5');
    $c->answers_like(line($_, $letter), qr/HD[^\r]*\r\n/, "$_ $letter") for qw(mg ms md);
    $c->set('k', '5');
    $c->answers_like("ma k $letter", qr/HD[^\r]*\r\n/, "ma $letter");
}

done_testing;
