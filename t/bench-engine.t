#!/usr/bin/perl
# Goal: the measurements of the engine end well and tell what they are said to.
# Method: `memcached-bench hits`, `growth` and `idle`, as short as they can be, hold the server against itself; their tables
# and single figures are looked at. The figures themselves mean little on a busy machine, but for hits: they are counted.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $bench = TestServer::build_dir() . '/memcached-bench';
plan skip_all => "there is no $bench: `make memcached-bench` builds it" unless -x $bench;
plan skip_all => 'valgrind is too slow for it' if $ENV{VALGRIND_TEST};

my $dir = TestServer::scratch();
my $server = TestServer::server_path();
my $number = qr/[\d.,]+/;

sub report {
    my ($command) = @_;
    my $report = `'$bench' $command --smoke --plain-only --unpinned --server '$server' --against '$server' --raw '$dir/raw' 2>'$dir/progress'`;
    is($?, 0, "$command ends well") or diag(TestServer::slurp("$dir/progress"));
    return $report;
}

# of ours and theirs in turn
sub figures {
    my ($name) = @_;
    return map { /,\Q$name\E,([\d.]+)$/ ? $1 : () } split /\n/, TestServer::slurp("$dir/raw");
}

my $hits = report('hits');
for my $phase ('small', 'larger', 'mixed', 'small again', 'all') {
    like($hits, qr/^\| $phase \| $number \| $number \| \*\*[+-]$number\*\* \| $number \| $number \| \*\*$number\*\* \|/m, $phase);
}
my @percents = figures('hit_percent');
is(@percents, 10, 'four phases and their sum for each of the two');
cmp_ok($percents[0], '>', 20, 'popular keys are found in the first phase already');
cmp_ok(abs $percents[$_] - $percents[ $_ + 1 ], '<', 3, 'a server hits as often as itself') for 0, 2, 4, 6, 8;
is((grep { $_ > 0 } figures('refused')), 0, 'no value was refused');

my $growth = report('growth --items 50000');
for my $side ('ours', 'theirs') {
    like($growth, qr{^\| $side \| $number / $number / \*\*$number\*\* / $number \| \*\*$number\*\* \| $number \| $number \| $number \| $number \| 16 to 1\d \|}m,
        "growth of $side");
}
my ($p999, $worst) = ((figures('p999_ms'))[0], (figures('worst_ms'))[0]);
cmp_ok($worst, '>=', $p999, 'nobody waits longer than the last');
cmp_ok($_, '>', 0, 'all workers are silent between two answers') for figures('silence_ms');

my $idle = report('idle');
like($idle, qr/^\| all \| \*\*$number\*\* \| $number \|/m, 'what all threads used');
like($idle, qr/^\| $_ \| $number \| $number \|/m, "thread $_") for 'main', 'mc-worker', 'mc-lrumaint';

done_testing;
