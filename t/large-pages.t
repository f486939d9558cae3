#!/usr/bin/perl
# Goal: with -L all memory is taken at start, every class has a page, and the limit is hard.
# Method: what the server says where the kernel has huge pages and where it has none; slab counts and the mapping of
# one that runs; limits on memory that forbid it.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

sub first_line_of { my ($file) = @_; open my $in, '<', $file or return; return scalar <$in> }

my ($thp) = grep { defined } map { first_line_of("/sys/kernel/mm/${_}transparent_hugepage/enabled") } '', 'redhat_';
if (!defined $thp || $thp =~ /\[never\]/) {
    my $run = TestServer->run('-L', '-p', '0');
    my $why = defined $thp ? 'disabled' : 'not detected';
    my $text = "Transparent huge pages support $why.\nWill use default page size.\n"
        . "Cannot enable large pages on this system\n(There is no support as of this version)\n";
    is($run->{status}, 1, 'without huge pages -L ends with 1');
    is($run->{stderr}, $text, 'and says why');
    done_testing;
    exit;
}

# Without valgrind: a start that fails so late leaves what it has made to the end of the process.
my $run = TestServer->run({ bare => 1 }, $> == 0 ? ('-u', 'root') : (), '-p', '0', '-L', '-m', '38');
is($run->{status}, 1, 'less than a page for every class ends with 1');
like($run->{stderr}, qr/^Error while preallocating slab memory!\nIf using -L or other prealloc options, max memory must be at least 39 megabytes\.$/m,
    'and says how much it takes');

my $server = TestServer->start('-t', '1', '-L', '-m', '41', '-vv', '-M');
like($server->stderr_text, qr/^huge page size: \d+$/m, '-vv tells the size of huge pages');
my $slabs = $server->stats('slabs');
is($slabs->{active_slabs}, 39, 'every class has a page');
is($slabs->{total_malloced}, 39 << 20, 'that is 39 MB');
my $c = $server->client;
my $value = 'x' x 10_000;
my $stored = 0;
$stored++ while $c->talk([ "set k$stored 0 0 10000", $value ]) =~ /^STORED/;
is($stored, 3 * 94, 'three pages of a class are what is left');
is($server->stat('total_malloced', 'slabs'), 41 << 20, 'the limit is reached and no more');
$c->set('small', 'x');
is($c->get('small'), 'x', 'other classes have their first page');
$c->answers("cache_memlimit $_", ['MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust'], "cache_memlimit $_ is refused") for 8, 128;
is($server->stat('limit_maxbytes'), 41 << 20, 'the limit stays');

# The stretch carries the advice: "hg" in the flags of its mapping.
SKIP: {
    open my $maps, '<', "/proc/$server->{pid}/smaps" or skip 'no smaps here', 1;
    my ($size, $advised) = (0, 0);
    while (<$maps>) {
        $size = $1 if /^Size:\s+(\d+) kB/;
        $advised = 1 if /^VmFlags:.* hg\b/ && $size >= 41 << 10;
    }
    ok($advised, 'the kernel was asked for huge pages');
}

# Locked memory is taken as a whole, too.
my $locked = TestServer->start('-t', '1', '-L', '-k', '-m', '41');
is($locked->stat('active_slabs', 'slabs'), 39, 'with -k: every class has a page');
$locked->client->set('k', $value);
is($locked->client->get('k'), $value, 'and it serves');
SKIP: {
    skip 'memory may not be locked here', 1 if $locked->stderr_text =~ /mlockall/;
    my ($kilobytes) = TestServer::slurp("/proc/$locked->{pid}/status") =~ /^VmLck:\s+(\d+)/m;
    cmp_ok($kilobytes // 0, '>=', 41 << 10, 'all of it is locked');
}

# Where that much cannot be had in one piece, memory comes a page at a time, as without the option.
SKIP: {
    skip 'valgrind needs address space of its own', 3 if $ENV{VALGRIND_TEST};
    my $warning = "Warning: Failed to allocate requested memory in one large chunk.\nWill allocate in smaller chunks\n";
    my $script = TestServer::scratch() . '/limited';
    open my $file, '>', $script or die "$script: $!";
    print $file "#!/bin/sh\nulimit -v 1000000\nexec '" . TestServer::server_path() . "' \"\$@\"\n";
    close $file;
    chmod 0755, $script;
    my $small = TestServer->start({ binary => $script }, '-t', '1', '-L', '-m', '4000');
    like($small->stderr_text, qr/\Q$warning\E/, 'under ulimit -v: a warning');
    is($small->stat('total_malloced', 'slabs'), 0, 'nothing is taken at start');
    is($small->client->ask('cache_memlimit 100'), 'OK', 'and the limit can be changed');
}

done_testing;
