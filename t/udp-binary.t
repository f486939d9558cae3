#!/usr/bin/perl
# Goal: binary requests in datagrams are answered as text ones are, and nothing of one is left for the next.
# Method: requests and their answers, byte for byte; both protocols in turns and in spite of -B; requests that are cut anywhere.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestUdp;

TestServer::need_new('takes values from the datagrams of others');

my ($GET, $SET, $DELETE, $QUIT, $NOOP, $GETQ, $STAT, $SETQ) = (0, 1, 4, 7, 10, 9, 16, 17);

sub request {
    my ($opcode, $key, $extras, $value, $opaque) = map { $_ // '' } @_[ 0 .. 4 ];
    my $body = length($key) + length($extras) + length $value;
    return pack('CCnCCnNNNN', 0x80, $opcode, length $key, length $extras, 0, 0, $body, $opaque || 0, 0, 0) . $extras . $key . $value;
}

# An answer; the id of an item (cas) is off.
sub answer {
    my ($opcode, $status, $extras, $value, $opaque) = map { $_ // '' } @_[ 0 .. 4 ];
    my $body = length($extras) + length $value;
    return pack('CCnCCnNNNN', 0x81, $opcode, 0, length $extras, 0, $status || 0, $body, $opaque || 0, 0, 0) . $extras . $value;
}

my $flags = pack 'N', 0;
my $noop = request($NOOP, undef, undef, undef, 77);
my $noop_answer = answer($NOOP, 0, undef, undef, 77);

for my $args ([], [ '-B', 'binary' ], [ '-B', 'ascii' ]) {
    my $server = TestServer->start('-t', '1', '-C', '-U', '-1', @$args);
    my ($udp, $other) = map { $server->udp_client } 1 .. 2;
    $udp->answers($noop, [$noop_answer], "noop (@$args)");
    $udp->answers("mn\r\n", ["MN\r\n"], "text (@$args)");
    $udp->answers(request($SET, 'k', pack('N2', 5, 0), 'value'), [ answer($SET) ], 'set');
    $udp->answers(request($GET, 'k'), [ answer($GET, 0, pack('N', 5), 'value') ], 'get');
    $udp->answers("get k\r\n", ["VALUE k 5 5\r\nvalue\r\nEND\r\n"], 'text sees it, too');
    $server->kill_now;
}

my $server = TestServer->start('-t', '1', '-C', '-U', '-1');
my ($udp, $other) = map { $server->udp_client } 1 .. 2;
$udp->answers(request($GET, 'none'), [ answer($GET, 1, undef, 'Not found') ], 'a miss');
$udp->answers(request(0x66), [ answer(0x66, 0x81, undef, 'Unknown command') ], 'an unknown opcode');
$udp->answers(request($GET), [ answer($GET, 4, undef, 'Invalid arguments') ], 'what would close a connection is answered');
$other->answers($noop, [$noop_answer], 'and the socket stays');
$udp->answers(request($QUIT) . $noop, [ answer($QUIT) ], 'quit is answered, and ends its datagram');

# quiet ones
my $quiet = request($SETQ, 'q', pack('N2', 0, 0), 'v') . request($GETQ, 'none') . request($GETQ, 'q', undef, undef, 3);
$udp->answers("$quiet$noop", [ answer($GETQ, 0, $flags, 'v', 3), $noop_answer ], 'quiet ones are silent but for a hit');

# long answers
my $value = join ',', 1 .. 12_000;
$value = substr $value, 0, 50_000;
$udp->answers(request($SET, 'large', pack('N2', 0, 0), $value), [ answer($SET) ], 'a large value');
$udp->answers(request($GET, 'large'), [ answer($GET, 0, $flags, $value) ], 'comes back in several datagrams');
for my $payload (1392, 1393) {
    my $len = $payload - 28;
    $udp->answers(request($SET, 'edge', pack('N2', 0, 0), 'e' x $len), [ answer($SET) ], "an answer of $payload bytes");
    $udp->send(1, request($GET, 'edge'));
    my ($id, $sequence, $total) = $udp->datagram;
    is($total, $payload > 1392 ? 2 : 1, "is $total");
    $udp->datagram if $total == 2;
}
# Statistics are many answers to one command: one message.
my $stats = $udp->ask(request($STAT));
my $count = 0;
while (length $stats >= 24) {
    my (undef, $opcode, $key, $extras, undef, $status, $body) = unpack 'CCnCCnN', $stats;
    last if $opcode != $STAT || $status;
    substr $stats, 0, 24 + $body, '';
    $count++;
}
cmp_ok($count, '>', 30, 'statistics come in one message');
is($stats, '', 'which is whole');

# cut anywhere
my $set = request($SET, 'cut', pack('N2', 0, 0), 'x' x 30);
for my $len (1, 23, 24, 26, 32, 35, 36, length($set) - 1) {
    $udp->send(1, substr $set, 0, $len);
    $other->answers(request($GET, 'cut'), [ answer($GET, 1, undef, 'Not found') ], "$len bytes of a set store nothing");
    ok($udp->silent(0.02), 'and are not answered');
    $udp->goes_on('text goes on, too');
}
my $huge = pack('CCnCCnNNNN', 0x80, $SET, 3, 8, 0, 0, 2_000_011, 0, 0, 0) . pack('N2', 0, 0) . 'big' . 'x' x 1000;
$udp->send(1, $huge);
1 while defined $udp->raw(0.1);
$other->answers($noop, [$noop_answer], 'a value too large is skipped within its datagram');

is($server->stop('USR1'), 0, 'an orderly stop');
done_testing;
