#!/usr/bin/perl
# Goal: statistics over the binary protocol are those of text, a packet for each; switches and refusals are as they say.
# Method: each group by both protocols on a quiet server; names that are almost right; prefix counts of each command; -X.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary qw(frame talk answers read_answer store);

my $server = TestServer->start('-t', '1');
my $c = $server->client;
$server->admin->ask('mn');
my $NONE = 'stat 1 Not found';
# What moves by itself, or by the asking.
my $moves = qr/^(?:time|uptime|rusage_\w+|bytes_\w+|time_in_\w+|cmd_\w+|get_\w+|conn_yields|lru_\w+|moves_\w+|log_\w+|round_robin\w*|slab_\w+|items:.*|age.*)$/;

# One group as [ name, value ].
sub group {
    my ($name) = @_;
    $c->send(frame(stat => $name));
    my @list;
    while (defined(my $answer = read_answer($c))) {
        return @list if $answer eq 'stat 0';
        push @list, $answer =~ /^stat 0 k(\S+?)(?: (.*))?$/s ? [ $1, $2 // '' ] : [ $answer, '' ];
        return @list if $answer eq $NONE;
    }
    return @list;
}

is_deeply([ map { $_->[0] } group('items') ], [], 'items without items: nothing but the end');
store($c, 'a key', 'value');
for my $name ('', qw(settings items slabs sizes), TestServer::is_old() ? () : 'latency') {
    my @binary = group($name);
    my @text = $server->admin->stats_list($name eq '' ? undef : $name);
    my $title = $name || 'the general list';
    is_deeply([ map { $_->[0] } @binary ], [ map { $_->[0] } @text ], "$title: the same names in the same order");
    my $still = sub { [ grep { $_->[0] !~ $moves } @_ ] };
    is_deeply($still->(@binary), $still->(@text), "$title: the same values");
}
for my $name (qw(conns ssl cachedump sizes_enable extstore detail bogus ITEMS item itemsx items1 rese resetx reset2), 'detail x', 'detail o',
    'detail onx', 'detail  on', 'detail on ', 'cachedump 1 1', "items\0", "reset\r\n", ' ', 'x' x 250)
{
    answers($c, [ frame(stat => $name), frame('noop') ], [ $NONE, 'noop 0' ], 'no such group: ' . TestClient::visible($name));
}
{
    talk($c, frame(get => 'a key'), frame(get => 'none'));
    cmp_ok($server->stat('get_hits') + $server->stat('get_misses'), '>=', 2, 'counts before a reset');
    answers($c, [ frame(stat => 'reset') ], ['stat 0'], 'reset: the end alone');
    is($server->stat('cmd_get') . $server->stat('get_misses'), '00', 'and nothing is counted after it');
    my $opaque = $server->client;
    $opaque->send(frame(stat => 'sizes', opaque => 'mine'));
    is(read_answer($opaque, opaque => 'mine'), 'stat 0 ksizes_status disabled', 'every packet repeats the opaque');
    is(read_answer($opaque, opaque => 'mine'), 'stat 0', 'the last one, too');
}

# which command counts as what by its prefix
answers($c, [ frame(stat => 'detail on') ], ['stat 0'], 'detail on');
for my $case (
    [ get => 'get 1 hit 0 set 0 del 0' ], [ getkq => 'get 1 hit 0 set 0 del 0' ], [ touch => 'get 1 hit 0 set 0 del 0' ],
    [ gatq => 'get 1 hit 0 set 0 del 0' ], [ set => 'get 0 hit 0 set 1 del 0' ], [ addq => 'get 0 hit 0 set 1 del 0' ],
    [ appendq => 'get 0 hit 0 set 1 del 0' ], [ delete => 'get 0 hit 0 set 0 del 1' ], [ incr => undef ],
) {
    my ($command, $counts) = @$case;
    talk($c, frame($command => "$command:k"));
    my $want = defined $counts ? "PREFIX $command $counts\r\n" : '';
    my ($dump) = @{ talk($c, frame(stat => 'detail dump')) };
    my $got = join '', $dump =~ /(PREFIX $command .*?\n)/;
    is($got, $want, "$command: what its prefix counts");
}
{
    my ($dump, $end) = @{ talk($c, frame(stat => 'detail dump')) };
    like($dump, qr/^stat 0 kdetailed (?:PREFIX \w+ get \d hit \d set \d del \d\r\n){8}END\r\n$/, 'detail dump: one packet, as in text');
    is($end, 'stat 0', 'and the end');
    my $text = $server->client;
    $text->send("stats detail dump\r\n");
    is($text->through("END\r\n"), $dump =~ s/^stat 0 kdetailed //r, 'with the very same text');
    answers($c, [ frame(stat => 'detail off'), frame(get => 'off:k'), frame(stat => 'detail dump') ],
        [ 'stat 0', 'get 1 Not found', $dump, 'stat 0' ], 'detail off: nothing more is counted');
    answers($c, [ frame(stat => 'reset'), frame(stat => 'detail dump') ], [ 'stat 0', "stat 0 kdetailed END\r\n", 'stat 0' ], 'reset: nothing is left');
}
{
    # More than any buffer holds at once.
    talk($c, frame(stat => 'detail on'), map { frame(getq => "prefix$_:k") } 1 .. 5_000);
    my ($dump, $end) = @{ talk($c, frame(stat => 'detail dump')) };
    my $lines = () = $dump =~ /PREFIX prefix\d+ get 1 hit 0 set 0 del 0\r\n/g;
    is("$lines $end", '5000 stat 0', 'a dump of 5000 prefixes');
}
{
    my $mute = TestServer->start('-X', '-t', '1')->client;
    answers($mute, [ map { frame(stat => "detail $_") } qw(on off dump x) ], [ ($NONE) x 4 ], '-X: no detail');
    answers($mute, [ frame(stat => 'sizes') ], [ 'stat 0 ksizes_status disabled', 'stat 0' ], '-X: other groups are there');
}

# counters
sub counted {
    my ($name, $want, @frames) = @_;
    talk($c, frame(stat => 'reset'), @frames);
    my $stats = $server->stats;
    my @names = qw(cmd_get get_hits get_misses cmd_touch touch_hits touch_misses cmd_set cas_hits cas_badval cas_misses incr_hits incr_misses
        decr_hits decr_misses delete_hits delete_misses cmd_flush store_too_large store_no_memory);
    is_deeply({ map { $stats->{$_} ? ($_ => 0 + $stats->{$_}) : () } @names }, $want, "$name: what it counts");
}
store($c, 'k', '5');
counted('get', { cmd_get => 4, get_hits => 2, get_misses => 2 }, map { (frame($_ => 'k'), frame($_ => 'none')) } qw(get getkq));
counted('touch', { cmd_touch => 6, touch_hits => 3, touch_misses => 3 }, map { (frame($_ => 'k'), frame($_ => 'none')) } qw(touch gat gatkq));
counted('stores', { cmd_set => 6 }, (map { frame($_ => 'k', value => '5') } qw(set add replace)), frame(replace => 'none'), frame(append => 'none'),
    frame(prepend => 'k', value => '1'));
counted('stores with an id', { cmd_set => 3, cas_badval => 1, cas_misses => 1 }, frame(set => 'k', cas => 1, value => '5'),
    frame(add => 'none', cas => 1), frame(append => 'k', cas => 1));
counted('too large', {}, frame(set => 'large', value => 'x' x 1_100_000));
counted('malformed and unknown', {}, frame(0x1b, 'k'), frame('noop'), frame('version'));
counted('arithmetic', { incr_hits => 1, incr_misses => 1, decr_hits => 1, decr_misses => 1 }, frame(incr => 'k'), frame(decr => 'k'),
    frame(incr => 'none', ttl => ~0 & 0xffffffff), frame(decr => 'none', ttl => ~0 & 0xffffffff), frame(incr => 'new'), frame(incr => 'k', cas => 1));
counted('delete', { delete_hits => 1, delete_misses => 1 }, frame(delete => 'k', cas => 1), frame(delete => 'k'), frame(deleteq => 'k'));
counted('flush', { cmd_flush => 2 }, frame('flush'), frame('flushq'));
{
    # A store counts when its value has come.
    talk($c, frame(stat => 'reset'));
    my $half = $server->client;
    my $set = frame(set => 'half', value => 'x' x 5_000);
    $half->send(substr $set, 0, -1);
    $server->admin->ask('mn');
    is($server->stat('cmd_set'), 0, 'half a store is none');
    $half->send(substr $set, -1);
    is(read_answer($half), 'set 0', 'a whole one');
    is($server->stat('cmd_set'), 1, 'is one');
}

done_testing;
