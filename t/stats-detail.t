#!/usr/bin/perl
# Goal: `stats detail` counts gets, stores and deletes by the prefix of their keys.
# Method: known commands, the dump afterwards; on, off, reset, another separator, refused by -X; by datagrams and binary, too.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestBinary qw(frame talk);
use TestServer;

my $USAGE = 'CLIENT_ERROR usage: stats detail on|off|dump';

# The dump as prefix => 'get hit set del'.
sub dump_of {
    my ($c) = @_;
    $c->send("stats detail dump\r\n");
    my $text = $c->through("END\r\n") // '';
    return { map { /^PREFIX (\S*) get (\d+) hit (\d+) set (\d+) del (\d+)$/ ? ($1 => "$2 $3 $4 $5") : () } split /\r\n/, $text };
}

my $server = TestServer->start('-t', '2');
my $c = $server->client;
$c->answers('stats detail', [$USAGE], 'no word');
$c->answers_now("stats detail $_", [$USAGE], "stats detail $_") for qw(o ON dumps x);
is($server->settings->{detail_enabled}, 'no', 'it is off at first');
$c->talk([ 'set foo:1 0 0 1', 'x', 'get foo:1' ]);
is_deeply(dump_of($c), {}, 'off, nothing is counted');
$c->answers('stats detail on', ['OK'], 'on');
is($server->settings->{detail_enabled}, 'yes', 'the settings show it');
$c->talk([
    'set foo:1 0 0 1', 'x', 'add foo:2 0 0 1', 'x', 'add foo:2 0 0 1', 'x', 'replace bar:none 0 0 1', 'x', 'append foo:1 0 0 1', 'x',
    'cas foo:1 0 0 1 1', 'x', 'get foo:1 foo:none bar:none plain', 'gets foo:2', 'delete foo:2', 'delete foo:none', 'set plain 0 0 1', 'x',
    'set :empty 0 0 1', 'x', 'set a:b:c 0 0 1', 'x', 'set foobar:1 0 0 1', 'x',
]);
my $want = { foo => '3 2 5 2', bar => '1 0 1 0', '' => '0 0 1 0', a => '0 0 1 0', foobar => '0 0 1 0' };
is_deeply(dump_of($c), $want, 'counts by prefix') or diag(explain dump_of($c));
is_deeply(dump_of($server->client), $want, 'the same for every connection');
$c->talk([ 'touch foo:1 0', 'incr foo:1 1', 'decr foo:1 1', 'mg foo:1 v', 'ms foo:1 1', '5', 'md foo:1', 'ma foo:1' ]);
is_deeply(dump_of($c), $want, 'other commands are not counted') unless TestServer::is_old();
$c->answers('stats detail off', ['OK'], 'off');
$c->talk('get foo:1');
is_deeply(dump_of($c), $want, 'off: numbers stay as they are') unless TestServer::is_old();
$c->answers('stats detail on extra words', ['OK'], 'further words are ignored') unless TestServer::is_old();
$c->answers('stats reset', ['RESET'], 'stats reset');
is_deeply(dump_of($c), {}, 'clears them');

my $other = TestServer->start('-t', '1', '-D', '#');
my $o = $other->client;
is($other->settings->{detail_enabled}, 'yes', '-D switches it on');
$o->talk([ 'get a:b', 'get a#b', 'set x#y#z 0 0 1', 'x' ]);
is_deeply(dump_of($o), { a => '1 0 0 0', x => '0 0 1 0' }, 'with its separator');

# Beginnings of one another are prefixes of their own, in any order.
$c->talk("delete $_:1") for qw(abcdef abc abcd ab);
is_deeply(dump_of($c), { map { $_ => '0 0 0 1' } qw(abcdef abc abcd ab) }, 'prefixes are compared as a whole') unless TestServer::is_old();

# So many prefixes are told apart, the others are one line of a name that no prefix can have.
unless (TestServer::is_old()) {
    $c->answers('stats reset', ['RESET'], 'from the start');
    my $known = 65_536;
    my @keys = map { "p$_:k" } 1 .. $known + 1000;
    while (my @some = splice @keys, 0, 500) {
        $c->send("get @some\r\n");
        $c->through("END\r\n") // die 'no answer';
    }
    my $counts = dump_of($c);
    is(delete $counts->{':'}, '1000 0 0 0', 'a thousand prefixes too many count as one');
    is(scalar keys %$counts, $known, 'the others each');
    $c->talk([ 'set p1:k 0 0 1', 'x', 'set late:k 0 0 1', 'x', 'get late:k p2:k :' ]);
    $counts = dump_of($c);
    is($counts->{p1}, '1 0 1 0', 'what was told apart stays so');
    is($counts->{p2}, '2 0 0 0', 'whatever comes later');
    is($counts->{':'}, '1002 1 1 0', 'the empty prefix is one of the others when it comes late');
    $c->answers('stats reset', ['RESET'], 'stats reset');
    is_deeply(dump_of($c), {}, 'forgets them');
}

# The same counts by datagrams and by binary, all in one table.
unless (TestServer::is_old()) {
    my $roads = TestServer->start('-t', '1', '-U', '-1');
    my ($text, $udp, $binary) = ($roads->client, $roads->udp_client, $roads->client);
    $udp->answers("stats detail on\r\n", ["OK\r\n"], 'on, by a datagram');
    is($roads->settings->{detail_enabled}, 'yes', 'the settings show it');
    $udp->answers("set u:1 0 0 1\r\nx\r\nget u:1 u:2\r\ndelete u:1\r\n", [ "STORED\r\n", "VALUE u:1 0 1\r\nx\r\nEND\r\n", "DELETED\r\n" ], 'commands in a datagram');
    $udp->ask(frame(set => 'b:1', value => 'x')) for 1, 2;
    talk($binary, frame(get => 'b:1'), frame(delete => 'b:1'));
    $text->talk([ 'get t:1', 'get b:none' ]);
    my $counts = { u => '2 1 1 1', b => '2 1 2 1', t => '1 0 0 0' };
    is_deeply(dump_of($text), $counts, 'are counted as in text') or diag(explain dump_of($text));
    my $dump = $udp->ask("stats detail dump\r\n");
    $text->send("stats detail dump\r\n");
    is($dump, $text->through("END\r\n"), 'the dump is the same in a datagram');
    $text->send('get ' . join(' ', map { "many$_:1" } 1 .. 500) . "\r\n");
    $text->through("END\r\n");
    is(scalar(() = $udp->ask("stats detail dump\r\n") =~ /^PREFIX many\d+ get 1 hit 0 set 0 del 0\r$/mg), 500, 'and one message, however long');
    $udp->answers("stats detail $_\r\n", ["$USAGE\r\n"], "a datagram with detail $_") for 'x', 'o';
    $udp->answers("stats detail off\r\nstats reset\r\nstats detail dump\r\n", [ "OK\r\n", "RESET\r\n", "END\r\n" ], 'off, reset and what is left');
    is($roads->settings->{detail_enabled}, 'no', 'off for all');
    my $udp_closed = TestServer->start('-t', '1', '-X', '-U', '-1')->udp_client;
    $udp_closed->answers("stats detail on\r\n", ["CLIENT_ERROR stats detail not allowed\r\n"], '-X: not by a datagram either');
}

my $closed = TestServer->start('-t', '1', '-X')->client;
$closed->answers_now("stats detail$_", ['CLIENT_ERROR stats detail not allowed'], "-X: stats detail$_") for ' on', ' dump', '', ' x';

done_testing;
