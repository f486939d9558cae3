#!/usr/bin/perl
# Goal: however many hold a value, its count of references does not run over: a get that would be one too many is a miss.
# Method: a text client asks for one large value so often that nothing more can hold it, and does not read; binary clients
# ask for it meanwhile, loud and quiet, and store it anew.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary qw(frame talk answers read_answer store);

TestServer::need_new('counts run over');

my $server = TestServer->start('-t', '1', '-m', '256');
my $b = $server->client;
my $value = 'v' x 2_000;
store($b, 'k', $value);
my @gets = map { frame($_ => 'k') } qw(get getq getk getkq gat gatkq);
my $hit = [ "get 0 f0 $value", "getq 0 f0 $value", "getk 0 f0 kk $value", "getkq 0 f0 kk $value", "gat 0 f0 $value", "gatkq 0 f0 kk $value" ];
answers($b, \@gets, $hit, 'as long as nobody holds it');

# What fills the sockets first is another value.
store($b, 'fill', 'f' x 100_000);
my $holder = $server->client;
$holder->send('get' . ' fill' x 300 . ' k' x 61_000 . "\r\n");
ok($server->wait_stat('get_misses', sub { $_[0] > 0 }, 30), 'sixty thousand hold it, and nobody else can');
my $misses = [ 'get 1 Not found', 'getk 1 kk', 'gat 1 Not found' ];
answers($b, \@gets, $misses, 'so it is missing for others');
answers($b, [ (@gets) x 200 ], [ (@$misses) x 200 ], 'however often they ask');
my @others = map { my $client = $server->client; $client->send(join '', (@gets) x 20); $client } 1 .. 20;
answers($others[-1], [], [ (@$misses) x 20 ], 'and from however many connections');
$_->close for @others;
store($b, 'k', $value);
answers($b, \@gets, $hit, 'a new one is there for everybody');
$holder->close;
ok($server->wait_stat('curr_connections', 2), 'the holder goes');
answers($b, \@gets, $hit, 'it stays');
answers($b, [ frame(delete => 'k'), frame(delete => 'fill') ], [ 'delete 0', 'delete 0' ], 'and goes');
my $chunks = sub { my $slabs = $server->stats('slabs'); my $n = 0; $n += $slabs->{$_} for grep { /used_chunks/ } keys %$slabs; $n };
ok(TestServer::wait_until(sub { $chunks->() == 0 }), 'no memory is held');

done_testing;
