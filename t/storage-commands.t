#!/usr/bin/perl
# Goal: set, add, replace, append, prepend and cas decide by what is stored and by nothing else.
# Method: each command on an absent and on a present key, the reply and the value afterwards; then what
# happens to client flags, expiry and cas number.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

# name, reply and value afterwards without the key; reply and value with it ('old' was stored)
for my $row (
    [ 'set', 'STORED', 'new', 'STORED', 'new' ],
    [ 'add', 'STORED', 'new', 'NOT_STORED', 'old' ],
    [ 'replace', 'NOT_STORED', undef, 'STORED', 'new' ],
    [ 'append', 'NOT_STORED', undef, 'STORED', 'oldnew' ],
    [ 'prepend', 'NOT_STORED', undef, 'STORED', 'newold' ],
) {
    my ($command, $absent, $then_absent, $present, $then_present) = @$row;
    $c->talk('delete k');
    $c->answers([ "$command k 0 0 3", 'new' ], [$absent], "$command without the key");
    is($c->get('k'), $then_absent, "the value after $command without the key");
    $c->set('k', 'old');
    $c->answers([ "$command k 0 0 3", 'new' ], [$present], "$command with the key");
    is($c->get('k'), $then_present, "the value after $command with the key");
    $c->talk('delete k');
    $c->answers([ "$command k 0 0 3 noreply", 'new' ], [], "$command noreply is silent");
    is($c->get('k'), $then_absent, "$command noreply does the same");
}

# flags and exptime of append and prepend are read and then not used
for my $command (qw(append prepend)) {
    $c->set('f', 'x', flags => 7);
    $c->answers([ "$command f 9 0 1", 'y' ], ['STORED'], "$command with other flags");
    $c->answers_like('get f', qr/VALUE f 7 2\r\n(xy|yx)\r\nEND\r\n/, "$command keeps the client flags");
    $c->set('f', 'x', ttl => 1000);
    $c->answers([ "$command f 0 0 1", 'y' ], ['STORED'], "$command with another exptime");
    like($c->ask('mg f t'), qr/^HD t${\ TestServer::left(1000)}$/, "$command keeps the exptime");
    $c->answers([ "$command f 0 0 0", '' ], ['STORED'], "$command of nothing");
    is(length $c->get('f'), 2, "$command of nothing changes nothing");
}
$c->set('f', 'x', flags => 7);
$c->answers([ 'set f 0 0 1', 'y' ], ['STORED'], 'set without flags');
$c->answers('get f', [ 'VALUE f 0 1', 'y', 'END' ], 'set replaces the client flags');
for my $flags (0, 1, 4_294_967_295) {
    $c->answers([ "set f $flags 0 1", 'y' ], ['STORED'], "client flags $flags");
    $c->answers('get f', [ "VALUE f $flags 1", 'y', 'END' ], "client flags $flags come back");
}
for my $flags ('abc', '-1', '1x', '1.5', '0x10', '18446744073709551616') {
    $c->answers_now([ "set bad $flags 0 1", 'y' ], [$BAD], "client flags $flags are refused, with their block");
}
$c->answers_now([ 'set bad 4294967296 0 1', 'y' ], [$BAD], 'client flags above 32 bits are refused')
    if ($server->settings->{client_flags_size} // 4) == 4;
is($c->get('bad'), undef, 'nothing was stored meanwhile');
for my $exptime ('abc', '1x', '1.5', '--1') {
    $c->answers_now([ "set bad 0 $exptime 1", 'y' ], [$BAD], "exptime $exptime is refused, with its block");
}
$c->answers_now([ 'set bad 0 abc 1 noreply', 'y' ], [], 'the refusal obeys noreply');
$c->answers([ 'set k 007 0 1', 'y' ], ['STORED'], 'leading zeros in flags');

# cas
$c->set('k', 'one');
my ($cas) = $c->talk('gets k') =~ /^VALUE k 0 3 (\d+)\r\n/;
ok($cas, 'gets shows a cas number');
$c->answers([ 'cas k 5 0 3 ' . ($cas + 1), 'two' ], ['EXISTS'], 'cas with another number');
is($c->get('k'), 'one', 'the value stays');
$c->answers([ "cas k 5 0 3 $cas", 'two' ], ['STORED'], 'cas with the number');
$c->answers('get k', [ 'VALUE k 5 3', 'two', 'END' ], 'the value and its flags are new');
$c->answers([ "cas k 0 0 5 $cas", 'three' ], ['EXISTS'], 'the number is used up');
$c->answers([ 'cas k 0 0 1 0', 'x' ], ['EXISTS'], 'number 0 matches nothing');
$c->answers([ 'cas none 0 0 1 5', 'x' ], ['NOT_FOUND'], 'cas without the key');
$c->answers([ 'cas none 0 0 1 5 noreply', 'x' ], [], 'cas noreply without the key');
$c->answers([ 'cas k 0 0 1 18446744073709551615', 'x' ], ['EXISTS'], 'the largest number');
$c->answers_now([ 'cas k 0 0 1 18446744073709551616', 'x' ], [$BAD], 'a number above 64 bits');
for my $number ('x', '-1', '1.5', '5x', '+5') {
    $c->answers_now([ "cas k 0 0 1 $number", 'x' ], [$BAD], "cas number $number is refused, with its block");
}
$c->answers_now([ 'cas k 0 0 1', 'x' ], [$BAD], 'cas without a number, with its block');
$c->answers_now([ 'cas k 0 0 1 noreply', 'x' ], [], 'noreply where the number should be: refused in silence');
is($c->get('k'), 'two', 'none of them stored');

# cas numbers
my $first = $c->cas('k');
$c->answers([ 'set k 0 0 1', 'x' ], ['STORED'], 'set again');
my $second = $c->cas('k');
cmp_ok($second, '>', $first, 'every store gives a larger number');
$c->talk('touch k 100');
is($c->cas('k'), $second, 'touch does not');
$c->talk('gat 100 k');
is($c->cas('k'), $second, 'gat does not');
$c->answers([ 'append k 0 0 1', '2' ], ['STORED'], 'append');
cmp_ok($c->cas('k'), '>', $second, 'append gives a new number');
$c->set('n', '5');
my $number = $c->cas('n');
$c->answers('incr n 1', ['6'], 'incr');
cmp_ok($c->cas('n'), '>', $number, 'incr gives a new number');
$number = $c->cas('n');
$c->answers([ 'set n 0 0 1', 'abc' ], [ 'CLIENT_ERROR bad data chunk', 'ERROR' ], 'a block that is too long')
    if TestServer::is_old();
$c->answers_now(\"set n 0 0 1\r\nabc\r\n", [ 'CLIENT_ERROR bad data chunk', $BAD ], 'a block that is too long');
is($c->cas('n'), $number, 'a refused block changes nothing');

# without cas numbers
my $plain = TestServer->start('-C');
my $p = $plain->client;
$p->set('k', 'one');
$p->answers('gets k', [ 'VALUE k 0 3 0', 'one', 'END' ], '-C: gets shows 0');
$p->answers([ 'cas k 0 0 1 0', 'x' ], ['EXISTS'], '-C: cas 0 never matches');
$p->answers([ 'cas k 0 0 1 2', 'x' ], ['EXISTS'], '-C: no other number does');
$p->answers([ 'cas none 0 0 1 2', 'x' ], ['NOT_FOUND'], '-C: an absent key');
is($plain->settings->{cas_enabled}, 'no', '-C shows in the settings');

# the first number of a server is 2
unless (TestServer::is_old()) {
    my $fresh = TestServer->start->client;
    $fresh->set('a', 'x');
    is($fresh->cas('a'), 2, 'the first cas number is 2');
    $fresh->answers([ 'add a 0 0 1', 'x' ], ['NOT_STORED'], 'add on a present key');
    $fresh->set('a', 'x');
    is($fresh->cas('a'), 4, 'an upload that is not stored uses up a number');
}

done_testing;
