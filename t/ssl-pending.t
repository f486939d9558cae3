#!/usr/bin/perl
# Goal: bytes that are decrypted already, inside the TLS layer, are served though no socket event tells
# of them.
# Method: bursts whose last record ends behind a turn's budget; commands that straddle a full read buffer;
# records in halves; nothing is sent afterwards that could wake the connection.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it leaves such bytes where they are');
use TestWire;

my $STORED = "STORED\r\n";

# after a turn's budget
for my $budget (1, 2, 3, 20) {
    my $server = TestServer->start({ tls => 1 }, '-t', '1', '-R', $budget);
    for my $version ('1.2', '1.3') {
        my $wire = TestWire->connect($server->port, version => $version);
        for my $uploads (1, 2, 3, 10, 11, 12, 19, 20, 21, 22, 40) {
            my $burst = ('set k 0 0 20000' . "\r\n" . 'x' x 20_000 . "\r\n") x $uploads . "get none\r\nmn\r\n";
            my $want = $STORED x $uploads . "END\r\nMN\r\n";
            $wire->put($wire->seal($burst));
            is($wire->take(length $want, 5), $want, "-R $budget, TLS $version: $uploads uploads and two commands") or last;
        }
        for my $commands (1, 2, 19, 20, 21, 39, 40, 41, 200) {
            $wire->put($wire->seal("mn\r\n" x $commands));
            is(length $wire->take(4 * $commands, 5), 4 * $commands, "-R $budget, TLS $version: $commands commands in one record") or last;
        }
        # one command behind a value that ends the record before it
        $wire->put($wire->seal("set k 0 0 100\r\n", 'x' x 100 . "\r\nget none\r\n"));
        is($wire->take(13, 5), "${STORED}END\r\n", "-R $budget, TLS $version: a command behind a value");
        # a swallowed value
        $wire->put($wire->seal("set k x 0 30000\r\n" . 'x' x 30_000 . "\r\nmn\r\n"));
        my $error = "CLIENT_ERROR bad command line format\r\nMN\r\n";
        is($wire->take(length $error, 5), $error, "-R $budget, TLS $version: a command behind a refused value");
    }
}

# a command that straddles a full read buffer
my $server = TestServer->start({ tls => 1 }, '-t', '1');
for my $version ('1.2', '1.3') {
    for my $first (1, 4, 10, 11, 100, 1000, 2040) {
        my $wire = TestWire->connect($server->port, version => $version);
        my $keys = ' ' . join ' ', map { "none$_" } 1 .. 3000;
        my $start = substr 'get abcdef' . ' x' x 2000, 0, $first;
        my $second = substr($first <= 4 ? substr('get ', $first) . 'none' . $keys : $keys, 0, 16_382) . "\r\n";
        is(length $second, 16_384, 'a full record') if $first == 1;
        $wire->put($wire->seal($start));
        $wire->put($wire->seal($second));
        is($wire->take(5, 5), "END\r\n", "TLS $version: $first bytes of a command, then a full record with the rest");
    }
    # several full records, the line's end in the last byte
    for my $records (2, 3, 7) {
        my $wire = TestWire->connect($server->port, version => $version);
        my $line = 'get' . ' n' x 200_000;
        $line = substr($line, 0, 16_384 * $records - 2) . "\r\n";
        $wire->put($wire->seal($line));
        is($wire->take(5, 5), "END\r\n", "TLS $version: a line that fills $records records");
    }
    # values whose end lies in another record, at each offset around the border
    my $wire = TestWire->connect($server->port, version => $version);
    my $wrong = 0;
    for my $length (16_330 .. 16_390) {
        $wire->put($wire->seal("set k 0 0 $length\r\n" . 'v' x $length . "\r\nmn\r\n"));
        $wrong++, last if $wire->take(12, 5) ne "${STORED}MN\r\n";
    }
    is($wrong, 0, "TLS $version: values that end around a record's border");
}

# records in halves do not make the server spin
SKIP: {
    skip 'no /proc', 1 unless -e "/proc/${\ $server->pid}/stat";
    my @halves = map { TestWire->connect($server->port) } 1 .. 10;
    my @rest;
    for my $wire (@halves) {
        my $record = $wire->seal("mn\r\n" x 10);
        $wire->put(substr $record, 0, 20);
        push @rest, substr $record, 20;
    }
    ok($server->workers_rest, 'half records cost nothing while they wait');
    $halves[$_]->put($rest[$_]) for 0 .. $#halves;
    is(join('', map { $_->take(40, 5) } @halves), "MN\r\n" x 100, 'and are served when they are whole');
}

# a client that does not read meanwhile
{
    my $c = $server->client;
    $c->set('large', 'L' x 500_000);
    my $wire = TestWire->connect($server->port, small_window => 1);
    $wire->put($wire->seal("get large\r\n" x 30 . "mn\r\n"));
    is($c->ask('mn'), 'MN', 'others are served while a client does not read');
    my $want = "VALUE large 0 500000\r\n" . 'L' x 500_000 . "\r\nEND\r\n";
    my $got = $wire->take(30 * length($want) + 4, 20);
    ok($got eq $want x 30 . "MN\r\n", 'and everything arrives when it does');
}

done_testing;
