#!/usr/bin/perl
# Goal: handshakes are the workers' work: the thread that accepts spends next to nothing on a burst of them.
# Method: the process is stopped while eighty clients connect and send their ClientHello; CPU time of the main thread
# and of all threads, as the kernel counts it, around the burst.

use strict;
use warnings;
use Test::More;
use FindBin;
use List::Util qw(sum0);
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
use TestCerts;
use TestWire;

plan skip_all => 'no schedstat here' unless -e "/proc/$$/schedstat";
plan skip_all => 'under valgrind all threads are one' if $ENV{VALGRIND_TEST};

my $BURST = 80;
my $certs = TestCerts::ensure();
my $server = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o', "ssl_chain_cert=$certs/rsa.crt,ssl_key=$certs/rsa.key",
    '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
$server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);

# Nanoseconds of CPU: of the main thread, of all.
sub cpu { my $ran = $server->thread_times; return ($ran->{ $server->pid }, sum0(values %$ran)) }

sub burst {
    $server->signal('STOP');
    my @wires = map { my $wire = TestWire->connect(($server->ports)[0], handshake => 0); $wire->put($wire->hello); $wire } 1 .. $BURST;
    my @before = cpu();
    $server->signal('CONT');
    my $done = grep { $_->handshake } @wires;
    my @after = cpu();
    $_->close for @wires;
    $server->wait_stat('curr_connections', 2);
    return ($done, map { $after[$_] - $before[$_] } 0, 1);
}

burst();    # what is done once is done now
my ($done, $main, $all) = burst();
is($done, $BURST, 'all handshakes of the burst are finished');
my $share = $all ? 100 * $main / $all : 100;
my $each = $main / 1000 / $BURST;
note(sprintf 'the main thread took %.1f %% of %.1f ms, %.0f us a connection', $share, $all / 1e6, $each);
cmp_ok($share, '<', 10, 'per cent of their CPU time were the main thread\'s');

done_testing;
