#!/usr/bin/perl
# Goal: each signal does what it should, and every orderly end is status 0.
# Method: a server for each; clients connected, idle and busy, see the end of their stream.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

# Servers end in up to a second: all of them at the same time.
my @signalled = map { { signal => $_, server => TestServer->start('-v') } } qw(TERM INT USR1);
for my $case (@signalled) {
    $case->{clients} = [ map { $case->{server}->client } 1 .. 5 ];
    my $busy = $case->{clients}[0];
    $busy->set('k', 'v');
    $busy->send("set k 0 0 100\r\nhalf a block");
    $case->{server}->signal($case->{signal});
}
for my $case (@signalled) {
    my ($server, $signal) = @$case{qw(server signal)};
    is($server->wait_exit, 0, "$signal ends the server with 0");
    is($_->rest, '', 'a client sees the end') for @{ $case->{clients} }[ 0, 1 ];
    like($server->stderr_text, $signal eq 'USR1' ? qr/^Gracefully stopping$/m : qr/^Exiting normally$/m, 'a word about it at -v');
}
for my $signal (qw(TERM USR1)) {
    my $server = TestServer->start;
    $server->stop($signal);
    my $said = $signal eq 'USR1' ? "Gracefully stopping\n" : '';
    is($server->stderr_text, $said, "what is said at $signal without -v") unless TestServer::is_old();
}

# Two that come together: the kernel runs the handler of SIGHUP last, and it must not cover the other.
for my $signal (qw(TERM INT USR1)) {
    my $both = TestServer->start;
    $both->signal($_) for 'STOP', 'HUP', $signal, 'CONT';
    is($both->wait_exit, 0, "$signal beside HUP ends the server");
}

my $server = TestServer->start;
my $c = $server->client;
$c->set('k', 'v');
for my $signal (qw(HUP PIPE HUP)) {
    $server->signal($signal);
    is($c->get('k'), 'v', "$signal: the server goes on");
}
$server->advance_clock(2) if TestServer::has_feature('debug');
is($server->client->get('k'), 'v', 'for new clients, too');
is($server->stderr_text, '', 'nothing is said about HUP');

# an orderly stop with every choice of background threads
my @choices = map {
    my $other = TestServer->start('-t', '1', '-o', $_, '-v');
    $other->client->set('k', 'x' x 1000);
    $other->signal('USR1');
    { options => $_, server => $other };
} (
    'no_hashexpand', 'no_lru_crawler', 'no_lru_maintainer', 'no_slab_reassign', 'no_modern', 'idle_timeout=60',
    'no_modern,no_hashexpand');
# Each step is told, those of a room only where the room's thread can run.
sub steps {
    my ($options) = @_;
    my $off = sub { my ($word) = @_; $options =~ /\b(?:$word|no_modern)\b/ };
    return ('Gracefully stopping', 'stopped assoc', 'asking workers to stop', 'asking background threads to stop',
        'stopped lru crawler',
        $off->('no_lru_maintainer') ? () : 'stopped maintainer',
        TestServer::to_come('mover') || $off->('no_slab_reassign') ? () : 'stopped slab mover',
        TestServer::to_come('logger') ? () : 'stopped logger thread',
        'stopped idle timeout thread', 'closing connections', 'reaping worker threads', 'all background threads stopped');
}
for my $choice (@choices) {
    is($choice->{server}->wait_exit, 0, "USR1 with -o $choice->{options}");
    next if TestServer::is_old();
    is_deeply([ split /\n/, $choice->{server}->stderr_text ], [ steps($choice->{options}) ], 'in order, and nothing else');
}

# under load
for my $signal (qw(TERM USR1)) {
    my $other = TestServer->start;
    my @clients = map { $other->client } 1 .. 20;
    $_->send("set k 0 0 10\r\n0123456789\r\nget k\r\n" x 500) for @clients;
    is($other->stop($signal), 0, "$signal under load");
}

# other signals have their usual effect
my $killed = TestServer->start;
$killed->client->ask('mn');
is($killed->stop('ALRM'), 'signal 14', 'ALRM kills');

done_testing;
