#!/usr/bin/perl
# Goal: -c bounds clients: with maxconns_fast one too many is told and closed, without it waits its turn.
# Method: fill a small server, look at the next client, then let one go.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(sleep time);

plan skip_all => 'valgrind has descriptors of its own' if $ENV{VALGRIND_TEST};

my $REFUSED = "ERROR Too many open connections\r\n";

# Connects until one is not served; those that are, and the refused one (undef: it could not connect).
sub fill {
    my ($server, $most) = @_;
    my @clients;
    while (@clients < $most) {
        my $client = $server->try_client(tls => 0);
        return (\@clients, undef) unless $client;
        $client->send("mn\r\n");
        my $answer = $client->line(1);
        return (\@clients, $client, $answer) unless ($answer // '') eq 'MN';
        push @clients, $client;
    }
    return (\@clients, undef);
}

# maxconns_fast
my $server = TestServer->start({ tls => 0 }, '-c', '40', '-t', '2');
my ($clients, $refused, $answer) = fill($server, 40);
is(@$clients, 22, '-c 40 -t 2 has room for twenty-two clients') unless TestServer::is_old();
cmp_ok(@$clients, '>=', 15, 'clients are served');
is($answer, 'ERROR Too many open connections', 'one too many is told');
ok($refused->closed, 'and closed');
my $stats = $clients->[0]->stats;
cmp_ok($stats->{rejected_connections}, '>=', 1, 'rejected_connections counts it');
is($stats->{curr_connections}, scalar @$clients, 'curr_connections does not');
is($stats->{accepting_conns}, 1, 'the server goes on accepting');
is($stats->{listen_disabled_num}, 0, 'it never stopped');
for (1 .. 5) { is($server->client->rest, $REFUSED, 'another one too many') }
(pop @$clients)->close;
ok(TestServer::wait_until(sub { my $c = $server->try_client; ($c->ask('mn') // '') eq 'MN' }), 'a place that gets free is taken');

# without it
$server = TestServer->start({ tls => 0 }, '-c', '40', '-t', '2', '-o', 'no_maxconns_fast');
my @served;
my $waiting;
while (@served < 60) {
    my $client = $server->try_client or last;
    $client->send("mn\r\n");
    if (($client->line(0.5) // '') ne 'MN') { $waiting = $client; last }
    push @served, $client;
}
is(scalar @served, 23, 'no_maxconns_fast: twenty-three clients') unless TestServer::is_old();
ok($waiting, 'the next one is not served');
ok($waiting->silent, 'nor told anything');
$stats = $served[0]->stats;
is($stats->{accepting_conns}, 0, 'the server does not accept now');
is($stats->{listen_disabled_num}, 1, 'it stopped once');
ok(!exists $stats->{rejected_connections}, 'there is no rejected_connections');
(pop @served)->close;
is($waiting->line, 'MN', 'when a client leaves the waiting one is served');
ok(TestServer::wait_until(sub { $served[0]->stats->{time_in_listen_disabled_us} > 0 }), 'the time of waiting is told');
for my $round (1 .. 5) {
    my $next = $server->client;
    $next->send("mn\r\n");
    sleep 0.05;
    (pop @served)->close;
    is($next->line, 'MN', "round $round: one leaves, one comes");
    push @served, $next;
}
$_->close for splice @served, 0, 10;
ok(TestServer::wait_until(sub { $served[0]->stats->{accepting_conns} eq '1' }), 'with places free it accepts again');

# hundreds of connections come and go
$server = TestServer->start('-t', '2');
my $admin = $server->admin;
my $before = $server->stats;
for my $round (1 .. 3) {
    my @many = map { $server->client } 1 .. 200;
    is(scalar(grep { ($_->ask('mn') // '') eq 'MN' } @many), 200, "round $round: two hundred clients are served");
    is($server->stat('curr_connections') - $before->{curr_connections}, 200, 'and counted') if $round == 1;
    $_->close for @many;
    ok($server->wait_stat('curr_connections', $before->{curr_connections}), 'and are gone');
}
my $after = $server->stats;
is($after->{total_connections} - $before->{total_connections}, 600, 'total_connections counts all');
cmp_ok($after->{connection_structures} - $before->{connection_structures}, '<=', 210, 'their objects are used again');

# too low to live
for my $low (1, 2) {
    my $run = TestServer->run('-c', $low, '-t', '4', '-l', '127.0.0.1', '-p', '-1');
    ok(!$run->{running} && $run->{status} != 0, "-c $low -t 4 does not start");
}

done_testing;
