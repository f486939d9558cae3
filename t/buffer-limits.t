#!/usr/bin/perl
# Goal: read_buf_mem_limit holds: who finds no buffer hears what happened, or is closed, and is counted; nobody
# else suffers, and all memory comes back.
# Method: workers of two blocks (one to read, one to answer) and of sixty-four; too many values, too many replies,
# too many half commands, too long a line, too long a list.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $NO_VALUES = 'SERVER_ERROR out of memory writing get response';
my $BLOCK = 16_384;

sub values_of { return map { ("VALUE k$_ 0 4", sprintf '%04d', $_) } @_ }
sub keys_of { return join ' ', map { "k$_" } @_ }

# Two blocks a worker.
{
    my $server = TestServer->start('-t', '32', '-R', '500', '-o', 'read_buf_mem_limit=1');
    is($server->settings->{read_buf_mem_limit}, 1_048_576, 'the limit shows in the settings');
    my $c = $server->client;
    $c->set("k$_", sprintf '%04d', $_) for 1 .. 300;
    my $oom = 0;

    # values of one command
    $c->answers('get ' . keys_of(1 .. 10), [ values_of(1 .. 10), 'END' ], 'ten values fit');
    $c->answers('get ' . keys_of(1 .. 50), $NO_VALUES, 'fifty do not: one line in place of all');
    $c->answers('gets ' . keys_of(1 .. 300), $NO_VALUES, 'nor three hundred with gets');
    $c->answers('gat 0 ' . keys_of(1 .. 300), $NO_VALUES, 'nor with gat');
    $c->answers([ 'get k1', 'get ' . keys_of(1 .. 50), 'get k2' ],
        [ values_of(1), 'END', $NO_VALUES, values_of(2), 'END' ], 'what stands beside it is answered');
    $oom += 4;
    is($server->stat('response_obj_oom'), $oom, 'each is counted');
    $c->answers('get ' . join(' ', map { "absent$_" } 1 .. 300), 'END', 'misses need no memory');

    # replies of one pipeline
    for my $line ('get k1', 'mg k1 v', 'set k1 0 0 4 noreply', 'incr n 1') {
        my $value = $line =~ /^set/ ? "0001\r\n" : '';
        my $p = $server->client;
        $p->send("$line\r\n$value" x 10 . "mn\r\n");
        ok(defined $p->through("MN\r\n"), "ten times $line");
        $p->send("$line\r\n$value" x 200);
        ok($p->closed, 'two hundred times: closed without a reply');
        $oom++;
    }
    is($server->stat('response_obj_oom'), $oom, 'each is counted');
    my $p = $server->client;
    $p->send("mn\r\n" x 200);
    is($p->bytes(4 * 200), "MN\r\n" x 200, 'replies that are sent at once need not be held');

    # half commands
    is($server->stat('read_buf_oom'), 0, 'nobody has missed a read buffer');
    my @half = grep { $_ } map { my $h = $server->try_client; $h->send('get k') if $h; $h } 1 .. 96;
    # over TLS some are refused in their handshake
    my $open = sub { $_->fill(0) for @half; return scalar grep { !$_->{ended} } @half };
    ok(TestServer::wait_until(sub { $open->() == 32 }), 'of three a worker one is kept and two are closed')
        or diag($open->() . ' kept');
    my @kept = grep { !$_->{ended} } @half;
    is(scalar(grep { $_->ask('1') eq 'VALUE k1 0 4' && $_->bytes(11) eq "0001\r\nEND\r\n" } @kept), 32,
        'whoever is kept is answered in the end');
    $_->close for @half;
    is($server->stat('read_buf_oom'), 64, 'each that was closed is counted');
    is(scalar(grep { $server->client->ask('mn') eq 'MN' } 1 .. 40), 40, 'every worker serves');

    # a line that is longer than a block
    my $before = $server->stat('read_buf_oom');
    my $l = $server->client;
    $l->send('get ' . 'absent ' x 3000);
    is($l->line, 'SERVER_ERROR out of memory reading request', 'a line without end is refused');
    ok($l->closed, 'and its connection closed');
    is($server->stat('read_buf_oom'), $before + 1, 'it is counted');

    # a list that is longer than a block
    my $fails = $server->stat('malloc_fails');
    $c->set("size$_", 'x' x (90 * 1.25 ** $_)) for 0 .. 39;
    is($c->ask('stats slabs'), 'SERVER_ERROR out of memory writing stats', 'a long list is refused');
    is($server->stat('malloc_fails'), $fails + 1, 'it is counted');
    is($c->ask('mn'), 'MN', 'and the connection stays');
    my $stats = $server->stats;
    cmp_ok($stats->{read_buf_bytes}, '<=', 1_048_576, 'never more memory than was allowed');
    ok($server->wait_stat('response_obj_count', 1), 'nothing is held');
    $c->ask('stats reset');
    is($server->stat($_), 0, "$_ begins anew") for qw(response_obj_oom read_buf_oom malloc_fails);
}

# Sixty-four blocks for one worker: what is refused, and what fits into what the others have left.
{
    my $server = TestServer->start('-t', '1', '-o', 'read_buf_mem_limit=1');
    my $c = $server->client;
    $c->set("k$_", sprintf '%04d', $_) for 1 .. 1000;
    my $fits = sub {
        my ($n) = @_;
        my $answer = $c->talk('get ' . keys_of(1 .. $n));
        return $answer =~ /^VALUE/ ? 1 : $answer eq "$NO_VALUES\r\n" ? 0 : $answer;
    };
    is($fits->(700), 1, 'seven hundred values');
    is($fits->(1000), 0, 'a thousand are too many');

    my @idle = map { my $h = $server->client; $h->send('get k'); $h } 1 .. 60;
    ok($server->wait_stat('read_buf_bytes', sub { $_[0] >= 61 * $BLOCK }), 'sixty half commands');
    is($fits->(700), 0, 'then seven hundred values are too many');
    is($fits->(20), 1, 'and twenty are not');
    is(scalar(grep { $_->ask('1') eq 'VALUE k1 0 4' } @idle), 60, 'the sixty are answered');
    cmp_ok($server->stat('read_buf_bytes_free'), '>', 50 * $BLOCK, 'their buffers wait for others');
    is($fits->(700), 1, 'and give way to seven hundred values');
    cmp_ok($server->stat('read_buf_bytes'), '<=', 64 * $BLOCK, 'within the limit');

    # values that are sent from item memory, and flat ones that fill blocks
    $c->set("large$_", $_ x 100_000) for 1 .. 9;
    my $answer = $c->talk('get ' . join ' ', map { "large$_" } 1 .. 9);
    is(length $answer, 9 * (100_000 + length "VALUE large1 0 100000\r\n\r\n") + 5, 'large values need no blocks');
    $c->set("m$_", 'm' x 1000) for 1 .. 500;
    is(length $c->talk('get ' . join ' ', map { "m$_" } 1 .. 500), 5 + 500 * 1002 + length join('', map { "VALUE m$_ 0 1000\r\n" } 1 .. 500),
        'half a megabyte of small ones fits');
    is($c->talk('get ' . join ' ', map { 'm' . (1 + $_ % 500) } 1 .. 1100), "$NO_VALUES\r\n", 'and one does not');

    # a long line takes what it needs, and gives it back
    is($c->talk('get ' . 'absent ' x 30_000), "END\r\n", 'a line of two hundred kilobytes fits');
    my $l = $server->client;
    $l->send('get ' . 'absent ' x 300_000);
    is($l->line, 'SERVER_ERROR out of memory reading request', 'one of two megabytes does not');
    ok($server->wait_stat('curr_connections', 62), 'it is closed');
    is($fits->(700), 1, 'and its memory is there again');

    # replies of one turn do not wait for the next
    $c->send("get k1\r\n" x 2000);
    is($c->bytes(2000 * 25), "VALUE k1 0 4\r\n0001\r\nEND\r\n" x 2000, 'a long pipeline is answered turn by turn');
    is($server->stat('read_buf_oom'), 1, 'one line was too long');
}

done_testing;
