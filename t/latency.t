#!/usr/bin/perl
# Goal: with -o latency_stats the server tells how long commands take, each in its class, from the event that brought them to the
# send of their reply, over every kind of transport; without it, it says so.
# Method: known commands and their counts; a client that does not read, and one that is slow to send; reset; both protocols.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary qw(frame talk read_answer);
use Time::HiRes qw(sleep time);

TestServer::need_new('it does not measure times');

my @CLASSES = qw(get_hit get_miss multiget set other);
my @ON = ('-t', '1', '-o', 'latency_stats');
my $SLOW = 0.4;

# Whether the server waits for a client to read.
sub wait_until_full {
    my ($server, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $is_full = sub { my $conns = $server->stats('conns'); return grep { /:state$/ && $conns->{$_} eq 'conn_mwrite' } keys %$conns };
    return ok(TestServer::wait_until($is_full, 20), "$name: the socket is full");
}

# A class's steps as [ end, count ], shortest first.
sub steps {
    my ($stats, $class) = @_;
    my @ends = map { /^$class:us_(\S+)$/ ? $1 : () } keys %$stats;
    return map { [ $_, $stats->{"$class:us_$_"} ] } sort { $a <=> $b } @ends;
}

# Waits until so many were measured: that happens behind the send of their reply.
sub counts_are {
    my ($server, $counts, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $class (sort keys %$counts) {
        ok($server->wait_stat("$class:count", $counts->{$class}, 10, 'latency'), "$name: $counts->{$class} of $class");
    }
    return $server->stats('latency');
}

# ---------------------------------------------------------------------------------------------------
# Off

{
    my $server = TestServer->start('-t', '1');
    my $client = $server->client;
    $client->answers('stats latency', [ 'STAT latency_status disabled', 'END' ], 'without the option the answer says so');
    $client->answers('stats latency x', [ 'STAT latency_status disabled', 'END' ], 'whatever stands behind');
    $client->answers('stats latencies', ['ERROR'], 'no other name is taken for it');
    is_deeply(talk($server->client, frame(stat => 'latency')), [ 'stat 0 klatency_status disabled', 'stat 0' ], 'binary: the same');
    ok(!exists $server->settings->{latency_stats}, 'and stats settings does not know the name');
}

# ---------------------------------------------------------------------------------------------------
# What is told

my $server = TestServer->start(@ON);
my $client = $server->client;
{
    my @names = map { $_->[0] } $server->admin->stats_list('latency');
    my @expected = map { my $class = $_; map { "$class:$_" } qw(count sum p50 p99 p99.9) } @CLASSES;
    is_deeply([ grep { !/:us_/ } @names ], \@expected, 'each class has its lines');
    is((map { $_->[0] } $server->admin->stats_list('settings'))[-1], 'latency_stats', 'the option is the last of stats settings');
    is($server->settings->{latency_stats}, 'yes', 'and is on');
}

sub pass_through_each_class {
    my ($client) = @_;
    $client->talk([ 'set a 0 0 1', '1', 'add a 0 0 1', '1', 'ms b 1', '2' ]);
    $client->talk([ 'get a', 'gets a', 'mg a v', 'gat 0 a', 'touch b 0', 'get n', 'mg n v', 'get a b n', 'gats 0 n m' ]);
    $client->send("set c 0 0 1 noreply\r\n3\r\nmg n v q\r\n");
    $client->answers('mn', ['MN'], 'what is silent is over');
}
my %EACH = (get_hit => 5, get_miss => 3, multiget => 2, set => 4);

{
    $client->answers('stats reset', ['RESET'], 'stats reset');
    my $begun = time;
    pass_through_each_class($client);
    my $stats = counts_are($server, \%EACH, 'text');
    my $most = (time - $begun) * 1e6;
    for my $class (@CLASSES) {
        my @steps = steps($stats, $class);
        my $sum = 0;
        $sum += $_->[1] for @steps;
        my $count = $stats->{"$class:count"};
        is($sum, $count, "$class: the steps have all of them") if $class ne 'other';
        cmp_ok($stats->{"$class:sum"}, '<=', $most * $count, "$class: they took no longer than there was time");
        my @parts = map { $stats->{"$class:$_"} } qw(p50 p99 p99.9);
        ok($parts[0] > 0 && $parts[0] <= $parts[1] && $parts[1] <= $parts[2], "$class: percentiles in order (@parts)");
        is($parts[2], $steps[-1][0], "$class: the last is the end of the last step");
        cmp_ok($stats->{"$class:sum"} / $count, '<=', $parts[2], "$class: the mean is within");
    }
}

# ---------------------------------------------------------------------------------------------------
# Slow clients

# How many of a class took so long.
sub slow {
    my ($server, $class) = @_;
    my $sum = 0;
    $sum += $_->[1] for grep { $_->[0] > $SLOW * 1e6 } steps($server->stats('latency'), $class);
    return $sum;
}

sub a_reply_that_is_not_read_takes_long {
    my ($server, $client, $name) = @_;
    $server->admin->set('large', 'v' x 1_000_000);
    my $count = $server->stat('get_hit:count', 'latency');
    is(slow($server, 'get_hit'), 0, "$name: nothing was slow");
    my $gets = 40;
    $client->send("get large\r\n" x $gets);
    wait_until_full($server, $name);
    sleep $SLOW;
    $client->bytes($gets * length "VALUE large 0 1000000\r\n" . 'v' x 1_000_000 . "\r\nEND\r\n");
    ok($server->wait_stat('get_hit:count', $count + $gets, 10, 'latency'), "$name: all of them are counted");
    my $slow = slow($server, 'get_hit');
    ok($slow >= 1 && $slow <= $gets, "$name: those that waited for the client took long ($slow)");
    cmp_ok($server->stat('get_hit:p99.9', 'latency'), '>', $SLOW * 1e6, "$name: which a percentile shows");
    is(slow($server, $_), 0, "$name: no $_ did") for qw(get_miss set);
}
a_reply_that_is_not_read_takes_long($server, $client, 'TCP');

{
    $server->admin->ask('stats reset');
    my $uploader = $server->client;
    $uploader->send("set slow 0 0 10\r\n12345");
    sleep 1;
    $uploader->send("67890\r\n");
    is($uploader->line, 'STORED', 'a value that comes slowly is stored');
    my $stats = counts_are($server, { set => 1 }, 'slow upload');
    cmp_ok($stats->{'set:p99.9'}, '<', 1e6, 'the time that its client took is not counted');
}

# A server that stands still in the midst of a reply is slow, whoever made it so.
{
    $server->admin->ask('stats reset');
    my $keys = join ' ', 'large', map { "none$_" } 1 .. 2000;
    my $reader = $server->client;
    $reader->send("get large large large large large large large large large large large large $keys\r\n" x 2);
    wait_until_full($server, 'multiget');
    $server->signal('STOP');
    sleep $SLOW;
    $server->signal('CONT');
    $reader->bytes(2 * (13 * (length("VALUE large 0 1000000\r\n") + 1_000_002) + 5));
    ok($server->wait_stat('multiget:count', 2, 10, 'latency'), 'and counted as two');
    cmp_ok(slow($server, 'multiget'), '>=', 1, 'with the time in which the server was stopped');
}

# ---------------------------------------------------------------------------------------------------
# Reset

$server->admin->answers('stats reset', ['RESET'], 'stats reset again');
{
    my $stats = $server->stats('latency');
    for my $class (qw(get_hit get_miss multiget set)) {
        is_deeply([ map { $stats->{"$class:$_"} } qw(count sum p50 p99 p99.9) ], [ (0) x 5 ], "$class: nothing is left");
        is_deeply([ steps($stats, $class) ], [], "$class: no step is");
    }
    cmp_ok($stats->{'other:count'}, '<=', 2, 'but for the commands that asked');
}

# ---------------------------------------------------------------------------------------------------
# Other protocols and transports

{
    my $binary = $server->client;
    talk($binary, frame(set => 'x', value => '1'), frame(setq => 'y', value => '2'), frame(add => 'x', value => '3'));
    talk($binary, (map { frame($_ => 'x') } qw(get getq getk getkq touch gat gatq)));
    talk($binary, frame(get => 'n'), frame(getq => 'n'), frame(touch => 'n'), frame(delete => 'n'), frame('version'));
    my $stats = counts_are($server, { get_hit => 7, get_miss => 3, multiget => 0, set => 3 }, 'binary');
    $binary->send(frame(stat => 'latency'));
    my %told;
    while ((my $answer = read_answer($binary)) ne 'stat 0') {
        $told{$1} = $2 if $answer =~ /^stat 0 k(\S+) (\S+)$/;
    }
    is_deeply([ map { $told{"get_hit:$_"} } qw(count sum p50 p99.9) ], [ map { $stats->{"get_hit:$_"} } qw(count sum p50 p99.9) ],
        'and told as in text');
}

{
    my $unix = TestServer->start({ unix => 1 }, @ON);
    pass_through_each_class($unix->client);
    counts_are($unix, \%EACH, 'unix socket');
    is($unix->stop('USR1'), 0, 'an orderly stop');
}

{
    my $both = TestServer->start(@ON, '-U', '-1');
    my $udp = $both->udp_client;
    $udp->answers("set a 0 0 1\r\n1\r\n", ["STORED\r\n"], 'UDP: a set');
    $udp->answers("get a\r\nget n\r\nget a n\r\n", [ "VALUE a 0 1\r\n1\r\nEND\r\n", "END\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n" ], 'gets');
    my $stats = counts_are($both, { get_hit => 1, get_miss => 1, multiget => 1, set => 1 }, 'UDP');
    cmp_ok($stats->{'get_hit:p50'}, '>', 0, 'UDP: which took some time');
    my $listed = join '', $udp->ask("stats latency\r\n", 1);
    like($listed, qr/^STAT get_hit:count 1\r$/m, 'UDP: the list');
}

SKIP: {
    skip 'this server is built without TLS', 1 unless TestServer::has_feature('tls') && TestClient::tls_available();
    for my $threads ([], [ '-o', 'ssl_handshake_threads=0' ]) {
        my $tls = TestServer->start({ tls => 1 }, @ON, @$threads);
        my $name = @$threads ? 'TLS on workers' : 'TLS';
        pass_through_each_class($tls->client);
        counts_are($tls, \%EACH, $name);
        a_reply_that_is_not_read_takes_long($tls, $tls->client, $name);
    }
}

# A client that leaves its worker and comes back is measured as before.
{
    my $c = $server->client;
    $c->talk([ 'lru_crawler metadump all', 'get n' ]);
    $server->admin->ask('stats reset');
    $c->answers('get n', ['END'], 'a client that was away');
    counts_are($server, { get_miss => 1 }, 'which is measured');
}

done_testing;
