#!/usr/bin/perl
# Goal: a server that is told to end while its workers are in the middle of TLS records ends with status 0, always.
# Method: processes that hammer it; signals at moments of their own, again and again with a fresh server.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }

my $HAMMERS = 6;
my $rounds = $ENV{VALGRIND_TEST} ? 2 : 16;

# A process that asks until the server has gone; it tells when it is served.
sub hammer {
    my ($server, $ready) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my $value = 'x' x 3000;
    my $batch = "set k 0 0 3000\r\n$value\r\n" . "get k\r\n" x 20 . "mn\r\n";
    my $told = 0;
    while (my $client = $server->try_client) {
        syswrite $ready, '+' unless $told++;
        for (1 .. 3) { $client->send($batch) && ($client->through("MN\r\n") // '') ne '' or last }
        $client->close;
    }
    POSIX::_exit(0);
}

my %ended;
for my $round (1 .. $rounds) {
    my $signal = (qw(TERM TERM INT USR1))[ $round % 4 ];
    my $server = TestServer->start({ tls => 1 }, '-t', '4');
    pipe my $served, my $ready or die "pipe: $!";
    my @pids = map { hammer($server, $ready) } 1 .. $HAMMERS;
    close $ready;
    sysread $served, my $word, 1 for @pids;
    sleep 0.003 * ($round % 7);
    my $status = $server->stop($signal);
    $ended{ $status eq '0' ? 'well' : "round $round, $signal: $status, " . $server->stderr_text }++;
    waitpid $_, 0 for @pids;
}
is(delete $ended{well}, $rounds, 'every end is status 0');
diag($_) for sort keys %ended;

done_testing;
