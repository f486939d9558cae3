#!/usr/bin/perl
# Goal: the measurements of TLS under load end well and tell what they are said to.
# Method: `memcached-bench storm` and `stall`, as short as they can be, hold the server against itself under two names; their
# tables, their single figures and the plot are looked at. The figures themselves mean little on a busy machine.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }

my $bench = TestServer::build_dir() . '/memcached-bench';
plan skip_all => "there is no $bench: `make memcached-bench` builds it" unless -x $bench;
plan skip_all => 'valgrind is too slow for it' if $ENV{VALGRIND_TEST};

my $dir = TestServer::scratch();
my $server = TestServer::server_path();
my $number = qr/[\d.,]+/;

sub report {
    my ($command) = @_;
    my $report = `'$bench' $command --smoke --server '$server' --against '$server' --variant ours= --raw '$dir/raw' 2>'$dir/progress'`;
    is($?, 0, "$command ends well") or diag(TestServer::slurp("$dir/progress"));
    return $report;
}

sub figures {
    my ($name) = @_;
    return map { /,\Q$name\E,([\d.]+)$/ ? $1 : () } split /\n/, TestServer::slurp("$dir/raw");
}

sub has_plot {
    my ($title) = @_;
    is(system("'$bench' plot --raw '$dir/raw' --out '$dir/plot.svg'"), 0, 'the figures can be drawn');
    like(TestServer::slurp("$dir/plot.svg"), qr/\Q$title\E/, "with the title: $title");
}

my $storm = report('storm --keys rsa-2048');
for my $load (1, 3, 10) {
    for my $name ('ours', 'theirs') {
        my $cells = qr/\(?$number\)? \| $number \| \*\*\d+ %\*\* \| $number \| $number \|/;
        like($storm, qr/^\| $load × the peak \| $name \| $cells/m, "$name at $load times the peak");
    }
}
my @rates = figures('rate');
is(@rates, 8, 'a peak and three loads for each of the two');
cmp_ok($rates[$_], '>', 0, 'clients of the closed loops get in') for 0, 4;
# Of those who are too many a server may turn away some.
is_deeply([ (figures('error_rate'))[0, 3] ], [ ('0.0000') x 2 ], 'no client was refused at the peak');
has_plot('Clients that get in');

my $stall = report('stall --keys p-256');
like($stall, qr/^\| P-256 \| ours \| $number \| \*\*$number\*\* \| $number \| \*\*$number\*\* \| $number \| $number \|/m,
    'ours is told with ratios');
like($stall, qr/^\| P-256 \| theirs \| $number \|  \| $number \|  \| $number \| $number \|  \|$/m, 'theirs without');
cmp_ok($_, '>', 0, 'handshakes beside them') for figures('rate');
has_plot('Wait of established clients');

done_testing;
