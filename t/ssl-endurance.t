#!/usr/bin/perl
# Goal: nothing that clients do over TLS wears the server out: connections, descriptors, memory and counters are as
# they must be after it, and every value is right.
# Method: one round of `memcached-bench endure`, which runs for hours where it is asked to: aborted and half-open
# handshakes by the hundred, crowds that stop anywhere in theirs, handshakes that fail between the halves of another
# connection's records, pipelines in records of random size, values around a record's length and of megabytes, slow
# readers with three sizes of the write buffer, certificates refreshed under handshakes. The files ssl-handshakes.t,
# ssl-rude-crowd.t, ssl-records.t and ssl-stalled.t look at single cases more closely.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it counts failed handshakes otherwise');

my $bench = TestServer::build_dir() . '/memcached-bench';
plan skip_all => "there is no $bench: `make memcached-bench` builds it" unless -x $bench;
plan skip_all => 'valgrind is too slow for it' if $ENV{VALGRIND_TEST};

my $progress = TestServer::scratch() . '/progress';
my $seed = $ENV{ENDURE_SEED} // int rand 1_000_000;
my $server = TestServer::server_path();
my $way = $ENV{TLS_ON_WORKERS} ? "--server-args '-o ssl_handshake_threads=0'" : '';
my $report = `'$bench' endure --server '$server' $way --seconds 1 --seed $seed 2>'$progress'`;
my $status = $?;

my @trials = ('aborted handshakes', 'half-open handshakes', 'crowds', 'error queue', 'pipelines', 'values',
    ('slow readers') x 3, 'refreshes', 'all');
for my $line (split /\n/, $report) {
    my $trial = shift @trials // 'nothing more';
    like($line, qr/^\Q$trial\E: /, $line);
}
is_deeply(\@trials, [], 'every trial was run');
is($status, 0, "and none failed (seed $seed)") or diag(TestServer::slurp($progress));

done_testing;
