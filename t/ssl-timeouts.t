#!/usr/bin/perl
# Goal: ssl_handshake_timeout ends handshakes that are not finished in time, never early and at most a second late,
# and touches nobody else.
# Method: real seconds, a limit of one: clients that send nothing, a part, or byte after byte, accepted at different
# moments; clients that finished; plain ones; counters, connections, and workers that sleep when there is nothing
# to wait for.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use IO::Select;
use Time::HiRes qw(sleep time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has no limit for handshakes');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
my @doors = ('-l', '127.0.0.1:-1,notls:127.0.0.1:-1');

sub start_with {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', @tls, @doors, @_);
    $server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);
    return $server;
}

my $server = start_with('-v', '-o', 'ssl_handshake_timeout=1');
my ($port, $open) = $server->ports;
sub counts { my $s = $server->stats('ssl'); return [ @$s{qw(ssl_handshake_errors ssl_handshake_timeouts ssl_handshakes_pending ssl_handshakes_done)} ] }

# a finished one, an idle plain one that has never said a word
my $finished = TestWire->connect($port) or die 'no handshake';
my $plain = $server->client(port => $open, tls => 0);
# The client is done before the server is.
ok(TestServer::wait_until(sub { "@{ counts() }" eq '0 0 0 1' }), 'one handshake is done');

# Some of each kind, a little apart; when the server ends each is noted.
my @late;
for my $i (0 .. 23) {
    my $before = time;
    my $wire = TestWire->connect($port, handshake => 0);
    my $hello = $wire->hello;
    $wire->put($i % 4 == 0 ? '' : $i % 4 == 1 ? substr($hello, 0, 1) : $i % 4 == 2 ? substr($hello, 0, 100) : $hello);
    push @late, { wire => $wire, before => $before, after => time, kind => $i % 4, hello => $hello, sent => 1 };
    sleep 0.03;
}
my $deadline = time + TestServer::patience(6);
my $select = IO::Select->new(map { $_->{wire}->socket } @late);
while ($select->count && time < $deadline) {
    $select->can_read(0.02);
    for my $late (grep { !$_->{ended} } @late) {
        # Whoever sends byte after byte gains nothing by it.
        if ($late->{kind} == 1 && $late->{sent} < 60) { $late->{wire}->put(substr $late->{hello}, $late->{sent}++, 1) }
        1 while $late->{wire}->receive(0);
        next unless $late->{wire}->ended;
        $late->{ended} = time;
        $select->remove($late->{wire}->socket);
    }
}
my @early = grep { $_->{ended} && $_->{ended} - $_->{before} < 1 } @late;
is(scalar(grep { !$_->{ended} } @late), 0, 'all unfinished handshakes are ended');
is(scalar @early, 0, 'none before its second is over');
my ($slowest) = sort { $b <=> $a } map { ($_->{ended} // $deadline) - $_->{after} } @late;
cmp_ok($slowest, '<', TestServer::patience(2), 'none later than two');
ok(TestServer::wait_until(sub { counts()->[1] == 24 }), 'they are counted');
is_deeply(counts(), [ 24, 24, 0, 1 ], 'as errors and as timeouts, each once, and none is pending');
like($server->stderr_text, qr/handshake timeout/, 'and told with -v');
ok($server->wait_stat('curr_connections', 4), 'their connections are gone');

$finished->say("mn\r\n");
is($finished->take(4), "MN\r\n", 'a connection whose handshake was finished goes on');
is($plain->ask('mn'), 'MN', 'so does a plain one');

# one that is finished late, but in time; with a neighbour that came before it and one that came after
{
    my @three = map { TestWire->connect($port, handshake => 0) } 1 .. 3;
    $_->put($_->hello) for @three;
    sleep 0.5;
    ok($three[1]->handshake, 'a handshake that is finished in time');
    ok(TestServer::wait_until(sub { counts()->[1] == 26 }), 'its neighbours are ended');
    $three[1]->say("mn\r\n");
    is($three[1]->take(4), "MN\r\n", 'it is not');
    is_deeply(counts(), [ 26, 26, 0, 2 ], 'and not counted');
}

# with nothing to wait for, nobody wakes up
SKIP: {
    my $switches = sub { $server->thread_sleeps('mc-worker') };
    skip 'no /proc, or valgrind', 1 if !%{ $switches->() } || $ENV{VALGRIND_TEST};
    # What the last command left behind settles first.
    my $before;
    TestServer::wait_until(sub { my $last = $before; $before = $switches->(); sleep 0.05; $last && join(' ', %$last) eq join(' ', %$before) });
    sleep 1.3;
    is_deeply($switches->(), $before, 'with nothing to wait for, no worker wakes up');
}

# clients that give up themselves are errors, not timeouts
{
    my $before = counts();
    for (1 .. 10) { my $wire = TestWire->connect($port, handshake => 0); $wire->put($wire->hello); $wire->close }
    ok(TestServer::wait_until(sub { counts()->[0] == $before->[0] + 10 }), 'clients that leave are errors');
    is(counts()->[1], $before->[1], 'and not timeouts');
}

# the limit gives room back: a full server is free again
SKIP: {
    skip 'valgrind has descriptors of its own', 4 if $ENV{VALGRIND_TEST};
    my $full = TestServer->start({ tls => 1 }, '-t', '1', '-c', '60', @tls, '-o', 'ssl_handshake_timeout=1');
    my $serves = sub { my $client = $full->try_client; return $client && ($client->ask('mn') // '') eq 'MN' };
    ok($serves->(), 'a server with room for few');
    my @half = map { TestWire->connect($full->port, handshake => 0) } 1 .. 70;
    ok(TestServer::wait_until($serves, 20), 'is filled by clients that do not go on, and has room again when their time is over');
    ok($full->wait_stat('ssl_handshake_timeouts', sub { $_[0] > 20 }, 5, 'ssl'), 'they are ended');
    cmp_ok($full->stat('rejected_connections'), '>', 0, 'others were turned away meanwhile');
}

# idle_timeout ends half-open handshakes, too; they are errors of a handshake, once
{
    my $strict = start_with('-o', 'idle_timeout=1');
    my $half = TestWire->connect(($strict->ports)[0], handshake => 0);
    $half->put($half->hello);
    ok($strict->wait_stat('idle_kicks', sub { $_[0] >= 1 }), 'idle_timeout ends a half-open handshake');
    my $stats = $strict->client(port => ($strict->ports)[1], tls => 0)->stats('ssl');
    is_deeply([ @$stats{qw(ssl_handshake_errors ssl_handshake_timeouts ssl_handshakes_pending)} ], [ 1, 0, 0 ], 'it has failed, and not by the limit');
}

# without the option, and with 0, there is no limit
for my $none ([], [ '-o', 'ssl_handshake_timeout=0' ]) {
    my $patient = start_with(@$none);
    my $half = TestWire->connect(($patient->ports)[0], handshake => 0);
    ok($patient->wait_stat('ssl_handshakes_pending', 1, 5, 'ssl'), "@$none: a handshake begins");
    sleep 1.6;
    is($patient->stat('ssl_handshakes_pending', 'ssl'), 1, 'and may take its time');
    $half->put($half->hello);
    ok($half->handshake, 'to be finished at last');
}

done_testing;
