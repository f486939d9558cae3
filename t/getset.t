#!/usr/bin/perl
# Goal: values of every size and content come back as they were stored.
# Method: set and get over one connection; sizes around the borders of slab classes, read buffers and
# TLS records.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start;
my $c = $server->client;

$c->answers('get foo', ['END'], 'nothing is there at first');
$c->answers(['set foo 0 0 6', 'fooval'], ['STORED'], 'set');
$c->answers('get foo', ['VALUE foo 0 6', 'fooval', 'END'], 'get returns the value');
$c->answers(['set foo 0 0 0', ''], ['STORED'], 'an empty value');
$c->answers('get foo', ['VALUE foo 0 0', '', 'END'], 'an empty value comes back');
$c->answers(['set foo 123 0 6', "a\r\nb\r\n"], ['STORED'], 'line ends inside a value');
$c->answers('get foo', ['VALUE foo 123 6', "a\r\nb\r\n", 'END'], 'client flags and line ends come back');

my $bytes = join '', map { chr } 0 .. 255;
$c->answers(['set bin 0 0 256', $bytes], ['STORED'], 'all byte values');
$c->answers('get bin', ['VALUE bin 0 256', $bytes, 'END'], 'all byte values come back');

# Pseudo-random text that shows a block of bytes out of place.
sub text {
    my ($length) = @_;
    my $text = join ' ', map { $_ * 7919 % 1_000_003 } 1 .. $length / 6 + 2;
    return substr $text, 0, $length;
}

for my $length (
    1, 2, 47, 48, 49, 95, 96, 97, 900, 1023, 1024, 2047, 2048, 2049, 4096, 8191, 16_300 .. 16_310, 16_383 .. 16_386,
    20_000, 32_767, 32_768, 65_535, 65_536, 100_000, 524_227, 524_228, 524_229, 600_000, 1_000_000, 1_048_515, 1_048_516)
{
    my $value = text($length);
    $c->set('a', $value);
    ok($c->get('a') eq $value, "$length bytes come back");
}

my $long_key = 'k' x 250;
$c->answers(["set $long_key 0 0 2", 'hi'], ['STORED'], 'a key of 250 bytes');
$c->answers("get $long_key", ["VALUE $long_key 0 2", 'hi', 'END'], 'a key of 250 bytes comes back');

done_testing;
