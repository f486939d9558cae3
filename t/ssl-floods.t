#!/usr/bin/perl
# Goal: TLS records that carry nothing, or a byte each, hold up no other client of the same worker, and a client that sends
# nothing else is let go.
# Method: `memcached-bench floods` pours megabytes of each kind into one connection while another asks again and again.
# The issue's limit is 50 ms on a machine that does nothing else; the test bears what a busy one adds, which is still
# far below the seconds that a flood takes where one read goes on as long as it lasts. The median tells whether a read
# gives way earlier than at the next data: without that the other client mostly waits for hundreds of key updates, with it
# for a few dozen.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it bears floods');

my $bench = TestServer::build_dir() . '/memcached-bench';
plan skip_all => "there is no $bench: `make memcached-bench` builds it" unless -x $bench;
plan skip_all => 'valgrind is too slow for it' if $ENV{VALGRIND_TEST};

my $WORST = 500;
# Commands of a flood that has 900 key updates before each.
my $COMMANDS = 200;
my %fate = (
    'key updates'                         => [ 'ended',  1 ],
    'key updates that want answers'       => [ 'ended',  1 ],
    'key updates among commands'          => [ 'served', 0 ],
    'answered key updates among commands' => [ 'served', 0 ],
    'renegotiations'                      => [ 'ended',  1 ],
    'lines byte by byte, TLS 1.2'         => [ 'served', 0 ],
    'lines byte by byte, TLS 1.3'         => [ 'served', 0 ],
    'a hello in crumbs'                   => [ 'ended',  0 ],
);

my $progress = TestServer::scratch() . '/progress';
my $server = TestServer::server_path();
my $report = `'$bench' floods --server '$server' --smoke --unpinned 2>'$progress'`;
is($?, 0, 'every flood was poured') or diag(TestServer::slurp($progress));
for my $line (split /\n/, $report) {
    my ($name, $worst, $median, $end, $took, $floods) =
        $line =~ /^(.*?): worst wait ([\d.]+) ms.*, median ([\d.]+) ms.*; (\w+) of .* in ([\d.]+) s, record floods (\d+)$/
        or fail("a line of the report: $line"), next;
    my $want = delete $fate{$name} // [];
    cmp_ok($worst, '<', $WORST, "$name: the other client's worst wait in ms");
    is_deeply([ $end, $floods ], $want, "$name: $line");
    next unless $name =~ /among commands/;
    cmp_ok($median, '<', $took * 1000 / $COMMANDS / 10, "$name: its median wait in ms, beside the time between two commands");
}
is_deeply([ keys %fate ], [], 'no flood is missing');

done_testing;
