#!/usr/bin/perl
# Goal: values larger than a chunk are kept in several, and come back byte for byte.
# Method: sizes around the borders, the classes whose chunks they use, every way to store and read them.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

# Text that shows a byte out of place.
my $text = join '', map { sprintf '%07d,', $_ } 1 .. 700_000;
sub text { my ($length, $from) = @_; return substr $text, $from // 0, $length }

# Chunks in use, class => number, classes without any left out.
sub chunks {
    my ($server) = @_;
    my $slabs = $server->stats('slabs');
    return { map { /^(\d+):used_chunks$/ && $slabs->{$_} ? ($1 => $slabs->{$_}) : () } keys %$slabs };
}

for my $row (
    [ [], 524_228, { 39 => 1 } ],
    [ [], 524_229, { 2 => 1, 39 => 1 } ],
    [ [], 600_000, { 2 => 1, 31 => 1, 39 => 1 } ],
    [ [], 1_048_516, { 1 => 1, 2 => 1, 39 => 2 } ],
    [ [ '-o', 'slab_chunk_max=16' ], 1_048_516, { 2 => 1, 17 => 1, 23 => 64 } ],
    [ [ '-I', '4m' ], 4_194_244, { 2 => 1, 7 => 1, 39 => 8 } ],
) {
    my ($args, $length, $want) = @$row;
    next if TestServer::is_old() && "@$args" =~ /chunk_max/;
    my $server = TestServer->start('-t', '1', @$args);
    my $c = $server->client;
    my $value = text($length);
    $c->set('a', $value);
    ok($c->get('a') eq $value, "@$args $length bytes come back");
    is_deeply(chunks($server), $want, 'in these chunks') unless TestServer::is_old() && $length > 524_228;
    $c->talk('delete a');
    is_deeply(chunks($server), {}, 'all of them are free again');
}

my $server = TestServer->start('-t', '1', '-I', '4m');
my $c = $server->client;
for my $length (524_227 .. 524_232, 1_048_500 .. 1_048_504, 1_572_864, 2_000_000, 3_000_001) {
    my $value = text($length, $length % 1000);
    $c->set('k', $value);
    ok($c->get('k') eq $value, "$length bytes");
}

# every way to store
my $value = text(900_000);
for my $request (
    [ 'set k 5 0 900000', $value ], [ 'add k 5 0 900000', $value ], [ 'ms k 900000 F5', $value ], [ 'ms k 900000 F5 ME', $value ])
{
    $c->talk('delete k');
    $c->answers($request, [ $request->[0] =~ /^ms/ ? 'HD' : 'STORED' ], (split / /, $request->[0])[0] . ' of a large value');
    ok($c->talk('get k') eq "VALUE k 5 900000\r\n$value\r\nEND\r\n", 'it comes back with its flags');
}
my $cas = $c->cas('k');
$c->answers([ "cas k 0 0 900000 $cas", $value ], ['STORED'], 'cas');
ok($c->talk('mg k s v') eq "VA 900000 s900000\r\n$value\r\n", 'mg');
ok($c->talk('gat 0 k') eq "VALUE k 0 900000\r\n$value\r\nEND\r\n", 'gat');

# growing
$c->set('g', '');
my $whole = '';
for my $step (1 .. 40) {
    my $more = text(37_000 + $step * 911, $step);
    $whole .= $more;
    $c->talk([ 'append g 0 0 ' . length $more, $more ]);
}
ok($c->get('g') eq $whole, 'forty appends, from small to large');
$c->set('g', '');
$whole = '';
for my $step (1 .. 40) {
    my $more = text(37_000 + $step * 911, $step);
    $whole = $more . $whole;
    $c->talk([ 'ms g ' . length($more) . ' MP', $more ]);
}
ok($c->get('g') eq $whole, 'forty prepends');
$c->answers([ 'append g 0 0 3', 'end' ], ['STORED'], 'three bytes more');
ok($c->get('g') eq $whole . 'end', 'are there');
$c->answers('incr g 1', ['CLIENT_ERROR cannot increment or decrement non-numeric value'], 'no number');

# blocks that are not taken
$c->set('k', 'old');
$c->answers(\("set k 0 0 700000\r\n" . text(700_000) . "XXmn\r\n"), [ 'CLIENT_ERROR bad data chunk', 'MN' ], 'a large block with a wrong end');
is($c->get('k'), 'old', 'leaves the older value');
$c->set('k', 'old');
$c->send("set k 0 0 3000000\r\n" . text(2_000_000));
my $used = chunks($server);
$c->close;
$c = $server->client;
ok(TestServer::wait_until(sub { (chunks($server)->{39} // 0) < ($used->{39} // 0) }), 'a client that leaves amid a large value gives back its chunks');
is($c->get('k'), 'old', 'and leaves the older value');

# several at the same time, in pieces
my @clients = map { $server->client } 1 .. 5;
my @values = map { text(800_000 + $_ * 1000, $_ * 13) } 0 .. 4;
$clients[$_]->send("set p$_ 0 0 " . length($values[$_]) . "\r\n") for 0 .. 4;
for (my $at = 0; $at < 810_000; $at += 10_000) {
    for my $i (0 .. 4) { $clients[$i]->send(substr $values[$i] . "\r\n", $at, 10_000) if $at < length($values[$i]) + 2 }
}
is($clients[$_]->line, 'STORED', "upload $_ among others") for 0 .. 4;
ok($c->get("p$_") eq $values[$_], "value $_ is whole") for 0 .. 4;

# expired and replaced ones give all back
$c->talk('flush_all');
$c->talk("get p$_") for 0 .. 4;
$c->talk('get g k a');
is_deeply([ grep { $_ != 1 } keys %{ chunks($server) } ], [], 'after a flush no chunk of large items is in use');

done_testing;
