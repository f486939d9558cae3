#!/usr/bin/perl
# Goal: ms stores in each of its modes, compares when asked to, and returns what its flags ask for.
# Method: modes on absent and present keys, C and E, flags in the reply, failures and their blocks.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $BAD = 'CLIENT_ERROR bad command line format';
my $server = TestServer->start;
my $c = $server->client;

# flags, reply and value without the key; reply and value with it ('old' was stored)
for my $row (
    [ '', 'HD', 'new', 'HD', 'new' ],
    [ 'MS', 'HD', 'new', 'HD', 'new' ],
    [ 'ME', 'HD', 'new', 'NS', 'old' ],
    [ 'MR', 'NS', undef, 'HD', 'new' ],
    [ 'MA', 'NS', undef, 'HD', 'oldnew' ],
    [ 'MP', 'NS', undef, 'HD', 'newold' ],
) {
    my ($mode, $absent, $then_absent, $present, $then_present) = @$row;
    $c->talk('delete k');
    $c->answers([ "ms k 3 $mode", 'new' ], [$absent], "ms $mode without the key");
    is($c->get('k'), $then_absent, 'the value');
    $c->set('k', 'old');
    $c->answers([ "ms k 3 $mode", 'new' ], [$present], "ms $mode with the key");
    is($c->get('k'), $then_present, 'the value');
    $c->set('k', 'old');
    $c->answers([ "ms k 3 $mode q", 'new' ], [ $present eq 'HD' ? () : $present ], "ms $mode q hides HD only");
}
$c->answers_now([ 'ms k 3 MEXTRA', 'new' ], ['NS'], 'the first letter of the mode counts');
for my $mode (qw(MX Me Ms M1)) {
    $c->answers([ "ms k 3 $mode", 'new' ], ['CLIENT_ERROR invalid mode for ms M token'], "mode $mode, with its block");
}
$c->answers_now([ 'ms k 3 M', 'new' ], ['CLIENT_ERROR invalid mode for ms M token'], 'M without a letter');

# append and prepend that may create
for my $mode (qw(MA MP)) {
    $c->talk('delete k');
    $c->answers_now([ "ms k 3 $mode N100", 'new' ], ['HD'], "$mode with N creates");
    next if TestServer::is_old();
    is($c->get('k'), 'new', 'the value');
    like($c->ask('mg k t'), qr/^HD t${\ TestServer::left(100)}$/, 'with its time to live');
    $c->answers([ "ms k 1 $mode N500 T700 F5", '+' ], ['HD'], "$mode N on a present key");
    like($c->ask('mg k t f s'), qr/^HD t${\ TestServer::left(100)} f0 s4$/, 'time to live and client flags stay');
}

# flags of the reply
$c->answers([ 'ms k 5 Oxyz k', 'hello' ], ['HD Oxyz kk'], 'opaque and key');
$c->answers([ 'ms k 5 k Oxyz', 'hello' ], ['HD kk Oxyz'], 'in their order');
$c->answers_now([ 'ms k 5 s', 'hello' ], ['HD s5'], 's: the length');
$c->answers_now([ 'ms k 5 MA s', 'hello' ], ['HD s10'], 's behind append: the total');
$c->answers_now([ 'ms k 2 ME s c', 'hi' ], ['NS s2 c0'], 's and c of a failure');
unless (TestServer::is_old()) {
    my ($cas) = $c->ask(\"ms k 5 c\r\nhello\r\n") =~ /^HD c(\d+)$/;
    is($c->cas('k'), $cas, 'c: the new cas number');
}
$c->answers([ 'ms k 5 F123 T1000', 'hello' ], ['HD'], 'client flags and time to live');
like($c->ask('mg k f t'), qr/^HD f123 t${\ TestServer::left(1000)}$/, 'they are stored');
$c->answers([ 'ms k 0', '' ], ['HD'], 'an empty value');
$c->answers('mg k v f t', [ 'VA 0 f0 t-1', '' ], 'flags 0 and no expiry by default');
$c->answers_now([ 'ms k 2 Pproxy Lx', 'hi' ], ['HD'], 'P and L are for others');
for my $flags (0, 4_294_967_295) {
    $c->answers([ "ms k 2 F$flags", 'hi' ], ['HD'], "F$flags");
    $c->answers('mg k f', ["HD f$flags"], "F$flags comes back");
}

# C
$c->set('k', 'old');
my $cas = $c->cas('k');
$c->answers([ 'ms k 3 C' . ($cas + 1), 'new' ], ['EX'], 'C with a higher number');
$c->answers([ 'ms k 3 C0', 'new' ], ['EX'], 'C0') unless TestServer::is_old();
$c->answers([ 'ms k 3 q k Ox C' . ($cas + 1), 'new' ], ['EX kk Ox'], 'EX is not hidden by q');
is($c->get('k'), 'old', 'the value stays');
$c->answers([ "ms k 3 C$cas", 'new' ], ['HD'], 'C with the number');
is($c->get('k'), 'new', 'the value is new');
$c->answers([ 'ms none 3 C5', 'new' ], ['NF'], 'C without the key');
$c->answers_now([ 'ms k 3 MR C5', 'xxx' ], ['EX'], 'C with replace');
$c->answers_now([ 'ms k 1 MA C5', 'x' ], ['EX'], 'C with append');
$c->answers_now([ 'ms k 1 MA C0', '+' ], ['HD'], 'C0 with append does not check');
$c->answers_now([ 'ms none 1 MA C5', 'x' ], ['NS'], 'C with append and no key');
$c->answers_now([ 'ms k 1 ME C5', 'x' ], ['NS'], 'C with add changes nothing');
if (!TestServer::is_old()) {
    $cas = $c->cas('k');
    $c->answers([ "ms k 1 MA C$cas", '+' ], ['HD'], 'C with append and the number');
    is($c->get('k'), 'new++', 'the value');
}

# E
$c->answers_now([ 'ms k 3 E12345 c', 'new' ], ['HD c12345'], 'E gives the cas number');
$c->answers_now('mg k c', ['HD c12345'], 'it is stored');
$c->answers_now([ 'ms k 3 C12345 E99', 'new' ], ['HD'], 'C and E together');
$c->answers_now('mg k c', ['HD c99'], 'a lower number is fine');
$c->answers_now([ 'ms k 1 MA E777', 'x' ], ['HD'], 'E with append');
$c->answers_now('mg k c', ['HD c777'], 'it is stored');
unless (TestServer::is_old()) {
    $c->set('before', 'x');
    my $last = $c->cas('before');
    $c->answers(\"ms k 3 E5\r\nnew!!mn\r\n", [ 'CLIENT_ERROR bad data chunk', 'MN' ], 'E and a block that is too long');
    $c->set('after', 'x');
    cmp_ok($c->cas('after'), '>', $last, 'the number of a refused store is not left for the next one');
    $c->answers([ 'ms k 3 E5 O' . 'x' x 40, 'new' ], ['CLIENT_ERROR opaque token too long'], 'E and a long opaque');
    $c->set('after', 'x');
    cmp_ok($c->cas('after'), '>', $last, 'nor that one');
    $c->answers([ 'ms k 3 E0', 'new' ], ['HD'], 'E0');
    cmp_ok($c->cas('k'), '>', $last, 'E0 means the server\'s own number');
}

# the block
$c->answers_now(\"ms k 3\r\nhello\r\n", [ 'CLIENT_ERROR bad data chunk', $BAD ], 'a block that is too long');
$c->answers(\"ms k 3\r\nabcXXmn\r\n", [ 'CLIENT_ERROR bad data chunk', 'MN' ], 'parsing goes on right behind the block');
$c->answers(\"ms k 3 q\r\nabcXXmn\r\n", [ 'CLIENT_ERROR bad data chunk', 'MN' ], 'q does not hide the error');
for my $line ('ms k x', 'ms k -1', 'ms k 1x', 'ms k 99999999999999', 'ms k 2147483646', 'ms k 1.5') {
    $c->answers_now([ $line, 'mn' ], [ $BAD, 'MN' ], "$line: the block is not waited for");
}
$c->answers_now([ 'ms k 2 T', 'mn' ], ['CLIENT_ERROR bad token in command line format'], 'a flag without its argument, with its block');
$c->answers_now([ 'ms ' . 'k' x 251 . ' 2', 'mn' ], [$BAD], 'a key of 251 bytes, with its block');
$c->answers([ 'ms ' . 'k' x 250 . ' 2', 'mn' ], ['HD'], 'a key of 250 bytes');

# too large
$c->set('k', 'old');
$c->answers([ 'ms k 2000000 MR', 'x' x 2_000_000 ], ['SERVER_ERROR object too large for cache'], 'too large, with its block');
is($c->get('k'), undef, 'the older value is gone, whatever the mode');

# without cas numbers append and prepend compare with nothing
my $p = TestServer->start('-C')->client;
$p->answers([ 'ms k 1', 'b' ], ['HD'], '-C: a store');
$p->answers([ 'ms k 1 MA C5', 'c' ], ['HD'], '-C: append ignores C');
$p->answers([ 'ms k 1 MP C5', 'a' ], ['HD'], '-C: so does prepend');
$p->answers('mg k v', [ 'VA 3', 'abc' ], '-C: both are done');
$p->answers([ 'ms k 1 C5', 'x' ], ['EX'], '-C: a set does not');

done_testing;
