#!/usr/bin/perl
# Goal: the process has the identity, limits, threads and descriptors that operators count on.
# Method: /proc of running servers started with -u, -c, -k, -t.

use strict;
use warnings;
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

plan skip_all => 'no /proc here' unless -e "/proc/$$/status";
plan skip_all => 'valgrind has threads and descriptors of its own' if $ENV{VALGRIND_TEST};

sub status_of { my ($server, $name) = @_; return (TestServer::slurp("/proc/${\ $server->pid}/status") =~ /^$name:[ \t]*(.*)$/m)[0] }
sub names { my ($server) = @_; return sort map { TestServer::slurp($_) =~ s/\n//r } glob "/proc/${\ $server->pid}/task/*/comm" }

# The threads' names, once all have theirs: a thread gives itself its name, and may still bear that of the process
# when the server already answers.
sub threads_of {
    my ($server) = @_;
    my @names;
    TestServer::wait_until(sub { @names = names($server); 1 == grep { !/^mc-/ } @names }) unless TestServer::is_old();
    # Without the thread that the debug server has for its own commands.
    return grep { $_ ne 'mc-debug' } @names ? @names : names($server);
}

# identity
SKIP: {
    skip 'not root', 5 unless $> == 0;
    my $user = (grep { getpwnam $_ } qw(nobody daemon bin))[0] or skip 'no other user', 5;
    my ($uid, $gid) = (getpwnam $user)[2, 3];
    chmod 0755, TestServer::scratch();
    # The port file is written after the change of user.
    my $dir = TestServer::scratch() . '/open';
    mkdir $dir;
    chmod 0777, $dir;
    my $server = TestServer->start({ ready => 0, env => { MEMCACHED_PORT_FILENAME => "$dir/ports" } }, '-u', $user, '-t', '1');
    $server->{port_file} = "$dir/ports";
    SKIP: {
        skip "the server did not start as $user", 4 unless TestServer::wait_until(sub { status_of($server, 'Uid') // '' ? status_of($server, 'Uid') =~ /^$uid\b/ : 0 }, 5);
        is(status_of($server, 'Uid'), join("\t", ($uid) x 4), "-u $user: user");
        is(status_of($server, 'Gid'), join("\t", ($gid) x 4), 'group');
        is(status_of($server, 'Groups') // '', '', 'no other groups');
    }
    $server->kill_now;
    my $root = TestServer->start('-t', '1');
    is(status_of($root, 'Uid'), join("\t", (0) x 4), '-u root stays root');
    is(status_of($root, 'Groups') // '', '', 'without other groups');
}

# limits
my $server = TestServer->start('-c', '300', '-t', '2');
my $of_hosts = TestServer::host_descriptors();
# Handshake threads have descriptors of their own, five each.
my $with_tls = $ENV{SSL_TEST} && !TestServer::is_old() ? 1 : 0;
my $limit = 300 + $of_hosts + 5 * 2 * $with_tls;
like(TestServer::slurp("/proc/${\ $server->pid}/limits"), qr/^Max open files +$limit +$limit/m, '-c is the limit of open files');
is($server->stats->{max_connections}, 300, 'and max_connections');
is($server->stats->{threads}, 2, '-t: threads');

# threads by name
my %named;
$named{$_}++ for threads_of($server);
is($named{'mc-worker'}, 2, 'two workers') unless TestServer::is_old();
is_deeply([ grep { /^mc-tls-/ } sort keys %named ], [ $with_tls ? qw(mc-tls-0 mc-tls-1) : () ], 'as many make handshakes') unless TestServer::is_old();
# Threads of rooms; every server of this release has those without one.
my %room_of = ('mc-log' => 'logger', 'mc-slabmaint' => 'mover');
sub running { return grep { !TestServer::to_come($room_of{$_} // '') } @_ }
is($named{$_}, 1, "one $_") for TestServer::is_old() ? () : running(qw(mc-log mc-assocmaint mc-lrumaint mc-itemcrawler mc-slabmaint));
# Handled signals wake the main thread, which waits for them, and no other.
unless (TestServer::is_old()) {
    threads_of($server);
    my $blocked = sub { return hex((TestServer::slurp($_[0]) =~ /^SigBlk:\s*(\S+)/m)[0]) };
    my $handled = 0;
    $handled |= 1 << ($_ - 1) for POSIX::SIGHUP(), POSIX::SIGINT(), POSIX::SIGTERM(), POSIX::SIGUSR1();
    # Where numbers of processes have come round, the main thread's is not the lowest.
    my $main = "/proc/${\ $server->pid}/task/${\ $server->pid}/status";
    my @others = grep { $_ ne $main } glob "/proc/${\ $server->pid}/task/*/status";
    is($blocked->($main) & $handled, 0, 'the main thread takes signals');
    ok(TestServer::wait_until(sub { !grep { ($blocked->($_) & $handled) != $handled } @others }), 'the others leave them to it');
}
my $lean = TestServer->start('-t', '3', '-o', 'no_modern,no_hashexpand');
is_deeply([ map { /^mc/ ? $_ : 'main' } threads_of($lean) ], [ 'mc-dump', running('mc-log'), ($with_tls ? map { "mc-tls-$_" } 0 .. 2 : ()), ('mc-worker') x 3, 'main' ],
    'no_modern,no_hashexpand: main, workers, the log and what tells clients things') unless TestServer::is_old();
my $idle = TestServer->start('-t', '1', '-o', 'idle_timeout=100');
ok((grep { $_ eq 'mc-idletimeout' } threads_of($idle)), 'idle_timeout has a thread') unless TestServer::is_old();
my $patient = TestServer->start('-t', '1', '-o', 'idle_timeout=-1');
ok((grep { $_ eq 'mc-idletimeout' } threads_of($patient)), 'a negative one, too') unless TestServer::is_old();
is($patient->stats->{idle_kicks}, 0, 'and its count');

# descriptors: what -c leaves for clients depends on them
for my $threads (1, 4) {
    my $other = TestServer->start({ tls => 0 }, '-t', $threads);
    my @open = glob "/proc/${\ $other->pid}/fd/*";
    cmp_ok(scalar(@open), '<=', 6 + 5 * $threads + 1 + $of_hosts, "-t $threads holds few descriptors") unless TestServer::is_old();
    is($other->stats->{reserved_fds}, 5 * $threads, 'reserved_fds');
    my $c = $other->client;
    $c->ask('mn');
    my $before = () = glob "/proc/${\ $other->pid}/fd/*";
    for (1 .. 50) { my $d = $other->client; $d->ask('mn'); $d->close }
    ok(TestServer::wait_until(sub { (() = glob "/proc/${\ $other->pid}/fd/*") == $before }), 'none is left behind by clients');
}

# memory locked
my $locked = TestServer->start('-t', '1', '-k');
if ($locked->stderr_text =~ /warning: -k invalid, mlockall\(\) failed/) { pass('-k is refused by the kernel, and told') }
else { cmp_ok((status_of($locked, 'VmLck') =~ /(\d+)/)[0], '>', 1000, '-k locks memory') }
is($locked->client->ask('mn'), 'MN', '-k: it serves');

# many threads
my $many = TestServer->start('-t', '65');
like($many->stderr_text, qr/^WARNING: Setting a high number of worker ?threads is not recommended\.\n Set this value to the number of cores in your machine or less\.$/m,
    'more than 64 threads are warned about');
is($many->client->ask('mn'), 'MN', 'and serve');

# a limit of open files that cannot be had
SKIP: {
    my $production = TestServer::production_path();
    skip 'needs the production server, and not root', 2 if !$production || $> == 0;
    my $run = TestServer->run({ bare => 1, binary => $production }, '-c', '100000000', '-p', '0');
    is($run->{status}, 71, 'more files than allowed');
    like($run->{stderr}, qr/^failed to set rlimit for open files\. Try starting as root or requesting smaller maxconns value\.$/m, 'is told');
}
is($server->stats->{pointer_size}, 64, 'pointer_size');

done_testing;
