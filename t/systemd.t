#!/usr/bin/perl
# Goal: a service manager hears that the server is ready, reloads, is alive and stops.
# Method: this test is the manager. It reads the notes, on paths and in the abstract space, or leaves them lie; threads hang
# on pipes.

use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use POSIX qw(mkfifo);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC time);
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('it speaks to no manager');

my $dir = TestServer::scratch();
my $count = 0;
my $tls = TestServer::has_feature('tls') && TestClient::tls_available();

# ---------------------------------------------------------------------------------------------------
# Notes

# A socket for notes, and what NOTIFY_SOCKET is then.
sub manager {
    my $path = "$dir/notes." . ++$count;
    return (IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) // die("$path: $!"), $path);
}

# The next note, as a hash; undef when none comes.
sub heard {
    my ($manager, $seconds) = @_;
    IO::Select->new($manager)->can_read(TestServer::patience($seconds // 10)) or return undef;
    $manager->recv(my $text, 4096);
    return { map { split /=/, $_, 2 } split /\n/, $text };
}

sub monotonic { return int(clock_gettime(CLOCK_MONOTONIC) * 1_000_000) }

my %SERVING = (READY => 1, STATUS => 'Serving clients');
my @names = ('a path');
push @names, 'an abstract name' if $^O eq 'linux';
for my $name (@names) {
    my ($manager, $address) = manager();
    if ($name ne 'a path') {
        $address = "\@memcached-test-$$";
        $manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "\0memcached-test-$$") // die "$address: $!";
    }
    my $server = TestServer->start({ ready => 0, env => { NOTIFY_SOCKET => $address } }, '-t', '2', '-P', "$dir/pid.$count");
    is_deeply(heard($manager), \%SERVING, "$name: the server is ready");
    ok(-e $server->{port_file}, 'it listens by then');
    is(TestServer::slurp("$dir/pid.$count"), $server->pid . "\n", 'and has written its pid');
    $server->wait_ready;
    is($server->client->ask('mn'), 'MN', 'and serves');
    my $before = monotonic();
    $server->signal('HUP');
    my $note = heard($manager);
    my $moment = delete $note->{MONOTONIC_USEC};
    is_deeply($note, { RELOADING => 1, STATUS => 'Reloading' }, 'HUP: it reloads');
    cmp_ok($moment, '>=', $before, 'after it was told to');
    cmp_ok($moment, '<=', monotonic(), 'and before now');
    is_deeply(heard($manager), \%SERVING, 'and is ready again');
    is($server->stop($name eq 'a path' ? 'TERM' : 'USR1'), 0, 'it ends');
    is_deeply(heard($manager), { STOPPING => 1, STATUS => 'Stopping' }, 'and says so');
    is(heard($manager, 0.1), undef, 'nothing else is said');
}

# a reload that fails
TestServer::write_file("$dir/users", "foo:bar\n");
{
    my ($manager, $path) = manager();
    my $server = TestServer->start({ tls => 0, env => { NOTIFY_SOCKET => $path } }, '-t', '1', '-Y', "$dir/users");
    is_deeply(heard($manager), \%SERVING, '-Y: ready');
    my $failed = { %SERVING, STATUS => 'Serving clients; the last reload failed' };
    for my $row ([ "no colon\n", $failed ], [ "foo:baz\n", \%SERVING ]) {
        TestServer::write_file("$dir/users", $row->[0]);
        $server->signal('HUP');
        is(heard($manager)->{RELOADING}, 1, 'HUP: it reloads');
        is_deeply(heard($manager), $row->[1], 'and tells what came of it');
    }
}

# the background: the process that was started says which one it leaves behind
{
    my ($manager, $path) = manager();
    my $ports = "$dir/ports.daemon";
    my $run = TestServer->run({ env => { NOTIFY_SOCKET => $path, MEMCACHED_PORT_FILENAME => $ports } },
        '-d', '-t', '1', '-l', '127.0.0.1', '-p', '-1');
    is($run->{status}, 0, '-d: the first process ends');
    my $note = heard($manager);
    my ($pid) = values %$note;
    is_deeply($note, { MAINPID => $pid }, 'and says which goes on');
    TestServer::watch_over("watch $pid");
    is_deeply(heard($manager), { %SERVING, MAINPID => $pid }, 'which is ready');
    kill 'TERM', $pid;
    is(heard($manager)->{STOPPING}, 1, 'and stops');
    ok(TestServer::wait_until(sub { !kill(0, $pid) || TestServer::slurp("/proc/$pid/stat") =~ /\) Z / }), 'it ends');
    TestServer::watch_over("forget $pid");
}

# a manager that reads late holds nothing up, and misses nothing of weight
{
    my ($manager, $path) = manager();
    my $other = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $path) // die $!;
    $other->blocking(0);
    my $filled = 0;
    $filled++ while $filled < 100_000 && $other->send('x');
    my $server = TestServer->start({ env => { NOTIFY_SOCKET => $path } }, '-t', '1');
    is($server->client->ask('mn'), 'MN', 'a server whose manager does not read serves');
    $server->signal('HUP');
    is($server->client->ask('mn'), 'MN', 'after HUP, too');
    $manager->recv(my $one, 10) for 1 .. $filled;
    is_deeply(heard($manager), \%SERVING, 'it is ready when there is room again');
    is(heard($manager)->{RELOADING}, 1, 'has reloaded');
    is_deeply(heard($manager), \%SERVING, 'and is ready');
    undef $manager;
    unlink $path;
    $server->signal('HUP');
    is($server->client->ask('mn'), 'MN', 'without its manager the server goes on');
    is($server->stop, 0, 'and ends');
    is($server->stderr_text, '', 'and nothing is said of it');
}

for my $row ([ "$dir/nobody", 'No such file or directory' ], [ 'vsock:2:1', 'Address family not supported by protocol' ]) {
    my $server = TestServer->start({ env => { NOTIFY_SOCKET => $row->[0] } }, '-t', '1');
    is($server->stderr_text, "NOTIFY_SOCKET: $row->[1]\n", 'a manager that cannot be told is named');
    is($server->client->ask('mn'), 'MN', 'and the server serves');
}
SKIP: {
    skip 'only root becomes somebody else', 2 unless $> == 0 && getpwnam 'nobody';
    my ($manager, $path) = manager();
    chmod 0777, $dir;
    chmod 0600, $path;
    my $server = TestServer->start({ user => undef, env => { NOTIFY_SOCKET => $path } }, '-u', 'nobody', '-t', '1');
    is_deeply(heard($manager), \%SERVING, 'a socket for root alone hears of a server that is root no more');
    $server->stop;
    is(heard($manager)->{STOPPING}, 1, 'to the end');
}

# ---------------------------------------------------------------------------------------------------
# Signs of life

# Whether the manager hears of life in the next seconds.
sub alive {
    my ($manager, $seconds) = @_;
    my $deadline = time + TestServer::patience($seconds // 10);
    while ((my $left = $deadline - time) > 0) {
        my $note = heard($manager, $left) // return 0;
        return 1 if $note->{WATCHDOG};
    }
    return 0;
}

# Hears what has been said so far, until nothing comes for a while.
sub silent { my ($manager) = @_; return TestServer::wait_until(sub { !alive($manager, 1) }) }

{
    my ($manager, $path) = manager();
    my %env = (NOTIFY_SOCKET => $path, WATCHDOG_USEC => 200_000);
    my $server = TestServer->start({ tls => 0, env => \%env }, '-t', '4');
    ok(alive($manager), 'a server tells that it is alive') for 1 .. 5;
    is($server->stop, 0, 'until it ends');
    for my $other ({ %env, WATCHDOG_PID => 1 }, { %env, WATCHDOG_USEC => 0 }, { %env, WATCHDOG_USEC => 'x' }) {
        my $unwatched = TestServer->start({ tls => 0, env => $other }, '-t', '1');
        ok(silent($manager), 'a server that is not watched says nothing of that');
        $unwatched->kill_now;
    }
}
SKIP: {
    skip 'no TLS here', 4 unless $tls;
    require TestCerts;
    my $certs = TestCerts::ensure();
    my ($manager, $path) = manager();
    TestServer::write_file("$dir/chain", TestServer::slurp("$certs/server.crt"));
    my $server = TestServer->start({ tls => 1, env => { NOTIFY_SOCKET => $path, WATCHDOG_USEC => 200_000 } }, '-t', '2', '-Z',
        '-o', "ssl_chain_cert=$dir/chain,ssl_key=$certs/server.key", '-l', 'notls:127.0.0.1:-1');
    ok(alive($manager), 'a server tells that it is alive');
    my $c = $server->client(tls => 0);
    # The main loop, and then one worker, reads certificates from where nobody writes any.
    for my $who ('its main loop', 'one of its workers') {
        unlink "$dir/chain";
        mkfifo("$dir/chain", 0600) or die $!;
        $who =~ /loop/ ? $server->signal('HUP') : $c->send("refresh_certs\r\n");
        ok(silent($manager), "not while $who hangs");
        TestServer::write_file("$dir/chain", TestServer::slurp("$certs/server.crt"));
        is($c->line, 'OK', 'which goes on') if $who =~ /worker/;
        ok(alive($manager), 'and the server is alive again');
    }
}

done_testing;
