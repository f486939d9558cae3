#!/usr/bin/perl
# Goal: where records begin and end means nothing to commands, and answers leave in records of the size
# that ssl_wbuf_size asks for.
# Method: conversations in records of one byte, of random sizes, cut at every byte on the wire; values
# around record borders; sizes of the records that come back.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestWire;

my $server = TestServer->start({ tls => 1 }, '-t', '1');
my $conversation = "set a 0 0 10\r\n0123456789\r\nget a b\r\nms c 4 k\r\nabcd\r\nmg c v\r\nincr a 1\r\ndelete a\r\nget a\r\nmn\r\n";
my $reply = "STORED\r\nVALUE a 0 10\r\n0123456789\r\nEND\r\nHD kc\r\nVA 4\r\nabcd\r\n123456790\r\nDELETED\r\nEND\r\nMN\r\n";

# Servers before 1.6.45 leave bytes inside the TLS layer now and then.
for my $version (TestServer::is_old() ? () : ('1.2', '1.3')) {
    my $wire = TestWire->connect($server->port, version => $version);
    $wire->put($wire->seal($conversation));
    is($wire->take(length $reply), $reply, "TLS $version: one record");
    $wire->put($wire->seal(split //, $conversation));
    is($wire->take(length $reply), $reply, 'records of one byte, in one write');
    $wire->say(split //, $conversation);
    is($wire->take(length $reply), $reply, 'records of one byte, each with a write');
    for my $at (1 .. length($conversation) - 1) {
        $wire->say(substr($conversation, 0, $at), substr $conversation, $at);
        my $got = $wire->take(length $reply);
        next if $got eq $reply;
        is($got, $reply, "two records, cut at $at");
        last;
    }
    pass('two records, cut at each offset');

    # cut on the wire, inside records and their headers
    my $other = $server->client;
    my $length = length $wire->seal($conversation);
    $wire = TestWire->connect($server->port, version => $version);
    for my $at (1 .. $length - 1) {
        my $record = $wire->seal($conversation);
        $wire->put(substr $record, 0, $at);
        $other->ask('mn') if $at % 7 == 0 || $at < 10;
        $wire->put(substr $record, $at);
        my $got = $wire->take(length $reply);
        next if $got eq $reply;
        is($got, $reply, "cut on the wire at $at");
        last;
    }
    pass('cut on the wire at each byte');
    my $bytes = $wire->seal($conversation);
    for my $byte (split //, $bytes) { $wire->put($byte); $other->ask('mn') }
    is($wire->take(length $reply), $reply, 'byte by byte on the wire');

    srand 3;
    my $many = '';
    my $want = '';
    for my $i (1 .. 10_000) { $many .= "mg k$i s v q\r\n"; if ($i % 100 == 0) { $many .= "mn\r\n"; $want .= "MN\r\n" } }
    my @parts;
    while (length $many) { push @parts, substr $many, 0, 1 + int rand(rand() < 0.2 ? 16_384 : 200), '' }
    $wire->put($wire->seal(@parts));
    is($wire->take(length $want), $want, 'ten thousand commands in records of random size');

    # values
    for my $length (1, 100, 16_382 .. 16_386, 32_767 .. 32_769, 65_536, 1_000_000) {
        my $value = substr join(',', $length .. 210_000 + $length), 0, $length;
        $wire->put($wire->seal("set v 0 0 $length\r\n" . $value . "\r\nget v\r\n"));
        my $answer = "STORED\r\nVALUE v 0 $length\r\n$value\r\nEND\r\n";
        ok($wire->take(length $answer) eq $answer, "TLS $version: a value of $length bytes");
    }
}

# values of three megabytes
my $large = TestServer->start({ tls => 1 }, '-t', '1', '-I', '4m');
for my $version ('TLSv1_2', 'TLSv1_3') {
    my $c = $large->client(tls => { SSL_version => $version });
    my $value = substr join(',', 1 .. 500_000), 0, 3_000_000;
    $c->set('k', $value);
    ok($c->get('k') eq $value, "$version: three megabytes");
}

# the size of records that go out
for my $row ([ 1, 1024 ], [ 4, 4096 ], [ 16, 16_384 ], [ 64, 16_384 ]) {
    my ($kilobytes, $most) = @$row;
    my $sized = TestServer->start({ tls => 1 }, '-t', '1', '-o', "ssl_wbuf_size=$kilobytes");
    is($sized->settings->{ssl_wbuf_size}, $kilobytes * 1024, "ssl_wbuf_size=$kilobytes shows in bytes");
    my $c = $sized->client;
    $c->set('k', 'x' x 200_000);
    $c->set('s', 'y');
    for my $version ('1.2', '1.3') {
        my $wire = TestWire->connect($sized->port, version => $version);
        my $header = 'VALUE k 0 200000' . "\r\n";
        my $total = length($header) + 200_000 + 7;
        $wire->say("mn\r\n");
        $wire->take(4);
        $wire->record_sizes;
        $wire->say("get k\r\n");
        is(length $wire->take($total), $total, "ssl_wbuf_size=$kilobytes, TLS $version: a large value");
        my @sizes = $wire->record_sizes;
        cmp_ok((sort { $b <=> $a } @sizes)[0], '<=', $most, "in records of at most $most");
        cmp_ok(scalar(grep { $_ == $most } @sizes), '>=', int($total / $most) - 1, 'most of them full');
        my $sum = 0;
        $sum += $_ for @sizes;
        is($sum, $total, 'that hold it');
        $wire->say("get s\r\n" x 10);
        my $answer = "VALUE s 0 1\r\ny\r\nEND\r\n" x 10;
        is($wire->take(length $answer), $answer, 'small answers');
        is(scalar(@sizes = $wire->record_sizes), 1, 'of a pipeline share a record') unless TestServer::is_old();
    }
}

done_testing;
