#!/usr/bin/perl
# Goal: a service manager hears that the server is ready, reloads, is alive and stops; sockets that it hands over are
# served as their names say.
# Method: this test is the manager. It reads the notes, on paths and in the abstract space, or leaves them lie; it hands over
# sockets of all kinds, with names that fit and that do not, and tries each as a client. systemd's own activation, where it is.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(mkfifo);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC time);
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $IN_USE = TestServer::words('EADDRINUSE');
my $NO_SOCKET = TestServer::words('ENOTSOCK');
TestServer::need_new('it speaks to no manager');

my $dir = TestServer::scratch();
my $count = 0;
my $tls = TestServer::has_feature('tls') && TestClient::tls_available();
my $unix = TestServer::has_feature('unix');

# ---------------------------------------------------------------------------------------------------
# Notes

# A socket for notes, and what NOTIFY_SOCKET is then.
sub manager {
    my $path = "$dir/notes." . ++$count;
    return (IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) // die("$path: $!"), $path);
}

# The next note, as a hash; undef when none comes in so many seconds.
sub heard_within {
    my ($manager, $seconds) = @_;
    IO::Select->new($manager)->can_read($seconds) or return undef;
    $manager->recv(my $text, 4096);
    return { map { split /=/, $_, 2 } split /\n/, $text };
}
sub heard { my ($manager, $seconds) = @_; return heard_within($manager, TestServer::patience($seconds // 10)) }

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
        my $note = heard_within($manager, $left) // return 0;
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

# ---------------------------------------------------------------------------------------------------
# Sockets that are handed over

sub tcp { return IO::Socket::INET->new(Listen => 5, LocalAddr => $_[0] // '127.0.0.1') // die "listen: $!" }
sub udp { return IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') // die "bind: $!" }
sub path { my $path = "$dir/socket." . ++$count; return (IO::Socket::UNIX->new(Local => $path, Listen => 5) // die("$path: $!"), $path) }
sub serves {
    my ($server, $port, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($server->outcome(port => $port, tls => 0, %options), 'served', $name);
}
# Addresses of its listeners.
sub listeners {
    my ($client) = @_;
    my %conns = %{ $client->stats('conns') };
    return sort map { $conns{ s/:state$/:addr/r } } grep { /:state$/ && $conns{$_} eq 'conn_listening' } keys %conns;
}

my %plain = (tls => 0);
for my $args ([], [ '-p', '11999' ], [ '-p', '0' ]) {
    my $socket = tcp();
    my $server = TestServer->start({ %plain, sockets => [ [$socket] ] }, '-t', '1', @$args);
    is_deeply([ $server->port_lines ], [ 'TCP INET: ' . $socket->sockport ], "a socket in place of those of '@$args'");
    serves($server, $server->port, 'serves');
    is_deeply([ listeners($server->admin) ], [ 'tcp:127.0.0.1:' . $socket->sockport ], 'alone');
    if (-e "/proc/$$/fdinfo/0") {
        my ($flags) = map { oct } TestServer::slurp("/proc/${\ $server->pid}/fdinfo/3") =~ /^flags:\s*(\d+)/m;
        is($flags & 02004000, 02004000, 'nothing waits for it, and no other program gets it');
    }
    is($server->stop, 0, 'the server ends');
    my $next = TestServer->start({ %plain, sockets => [ [$socket] ] }, '-t', '1');
    serves($next, $socket->sockport, 'the next has the same socket');
    $next->stop('USR1');
}

# of several kinds, with names
{
    my ($local, $path) = path();
    my @sockets = ([ tcp(), 'a' ], [ $local, 'unix' ], [ udp(), 'datagram' ], [ tcp(), 'memcached.socket' ], [ tcp(), 'plain' ]);
    my $server = TestServer->start({ %plain, sockets => \@sockets }, '-t', '3', '-U', '11999');
    my @ports = map { $_->[0]->sockport } @sockets[ 0, 3, 4 ];
    is_deeply([ $server->port_lines ], [ (map { "TCP INET: $_" } @ports), 'UDP INET: ' . $sockets[2][0]->sockport ], 'the port file lists ports');
    serves($server, $_, "port $_") for @ports;
    is(TestClient->connect_unix($path)->ask('mn'), 'MN', 'the Unix socket');
    $server->udp_client->answers("mn\r\n", ["MN\r\n"], 'UDP');
    is(scalar(grep { /^unix:/ } listeners($server->admin)), 1, 'stats conns shows the path');
    is($server->stop, 0, 'the server ends');
    ok(-S $path, 'the Unix socket stays');
}

# beside what is named
{
    my ($socket, $other) = (tcp(), "$dir/beside");
    my $where = '127.0.0.1:-1' . ($unix ? ",unix:$other" : '');
    my $server = TestServer->start({ %plain, sockets => [ [$socket] ] }, '-t', '1', '-l', $where);
    my @ports = $server->ports;
    is(scalar @ports, 2, 'addresses of -l are opened besides');
    is($ports[0], $socket->sockport, 'behind what was handed over');
    serves($server, $_, "port $_") for @ports;
    is(TestClient->connect_unix($other)->ask('mn'), 'MN', 'and so is a Unix socket') if $unix;
    $server->stop;
    my ($local, $path) = path();
    my $same = '127.0.0.1' . ($unix ? ",unix:$path" : '');
    $server = TestServer->start({ %plain, sockets => [ [$socket], [$local] ] }, '-t', '1', '-p', $socket->sockport, '-l', $same);
    is(scalar($server->ports), 1, 'an address that is there already is not opened again');
    serves($server, $socket->sockport, 'and serves');
    is(TestClient->connect_unix($path)->ask('mn'), 'MN', 'nor is a path');
    $server->stop;
    my $run = TestServer->run({ sockets => [ [$socket] ] }, '-t', '1', '-l', 'proto[ascii]:127.0.0.1:' . $socket->sockport);
    is($run->{status}, 71, 'one that is to be served in another way ends the start');
    like($run->{stderr}, qr/^failed to listen on one of interface\(s\) .*: $IN_USE$/m, 'with the reason');
    SKIP: {
        skip 'no Unix sockets', 3 unless $unix;
        $server = TestServer->start({ ready => 0, %plain, sockets => [ [$socket] ] }, '-t', '1', '-s', "$dir/never");
        ok($server->wait_stderr(qr{^WARNING: -s \Q$dir\E/never gives way to the sockets of the service manager$}m), '-s gives way');
        is(TestClient->connect_tcp(host => '127.0.0.1', port => $socket->sockport)->ask('mn'), 'MN', 'to what was handed over');
        ok(!-e "$dir/never", 'and is not opened');
    }
}

# a name that no file has
SKIP: {
    skip 'abstract names are Linux\'s', 2 unless $^O eq 'linux' && $unix;
    my $socket = IO::Socket::UNIX->new(Local => "\0memcached-test-$$", Listen => 5) // die "abstract: $!";
    my $server = TestServer->start({ ready => 0, %plain, sockets => [ [$socket] ] }, '-t', '1');
    my $c = TestClient->connect_unix("\0memcached-test-$$");
    is($c->ask('mn'), 'MN', 'a socket in the abstract space serves');
    is_deeply([ listeners($c) ], [ "unix:\@memcached-test-$$" ], 'and is shown as ss and systemd write it');
}

# another user, and the background
SKIP: {
    skip 'only root becomes somebody else', 1 unless $> == 0 && getpwnam 'nobody';
    chmod 0777, $dir;
    my ($local, $path) = path();
    my $socket = tcp();
    my $server = TestServer->start({ %plain, user => undef, sockets => [ [$socket], [$local] ] }, '-u', 'nobody', '-t', '1');
    serves($server, $socket->sockport, '-u: a socket that root has opened');
    is(TestClient->connect_unix($path)->ask('mn'), 'MN', 'and one at a path');
}
{
    my ($socket, $pid_file) = (tcp(), "$dir/pid.background");
    my $run = TestServer->run({ sockets => [ [$socket] ] }, '-d', '-t', '1', '-P', $pid_file);
    is($run->{status}, 0, '-d: the first process ends');
    my $pid = TestServer::wait_until(sub { TestServer::slurp($pid_file) =~ /^(\d+)$/ && $1 });
    TestServer::watch_over("watch $pid");
    my $c = TestClient->connect_tcp(host => '127.0.0.1', port => $socket->sockport);
    is($c->ask('mn'), 'MN', 'and the other serves');
    is_deeply([ listeners($c) ], [ 'tcp:127.0.0.1:' . $socket->sockport ], 'what was handed over');
    kill 'TERM', $pid;
    is($c->rest, '', 'until it ends');
    TestServer::watch_over("forget $pid");
}

# what is meant for another process, or for none
for my $env ({ LISTEN_PID => $$ }, { LISTEN_PID => 'x' }, { LISTEN_FDS => 0 }) {
    my $server = TestServer->start({ %plain, sockets => [ [ tcp() ] ], env => $env }, '-t', '1', '-l', '127.0.0.1', '-p', '-1');
    is(scalar($server->ports), 1, join('=', %$env) . ': not for this process');
    serves($server, $server->port, 'which opens its own');
    $server->kill_now;
}

# what does not fit: which, and why
my $file = TestServer::write_file("$dir/file", '');
open my $plain_file, '<', $file or die $!;
my $listening = tcp();
my $conn = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listening->sockport) // die $!;
my @unfit = (
    [ [ [ tcp(), 'tls' ] ], 'Inherited descriptor 3 (tls): a socket of this name is valid only when SSL is enabled' ],
    [ [ [ tcp(), 'mtls' ] ], 'Inherited descriptor 3 (mtls): a socket of this name is valid only when SSL is enabled' ],
    [ [ [ tcp(), 'unix' ] ], 'Inherited descriptor 3 (unix): it is no UNIX socket' ],
    [ [ [ tcp(), 'a' ], [ (path())[0], 'tls' ] ], 'Inherited descriptor 4 (tls): UNIX and UDP sockets are never encrypted' ],
    [ [ [ tcp(), 'a' ], [ udp(), 'b' ] ], 'Inherited descriptor 4 (b): it is a UDP socket, and UDP is off (-U)' ],
    [ [ [ udp(), 'tls' ] ], 'Inherited descriptor 3 (tls): UNIX and UDP sockets are never encrypted', '-U', '11999' ],
    [ [ [ udp(), 'unix' ] ], 'Inherited descriptor 3 (unix): it is no UNIX socket', '-U', '11999' ],
    [ [ [ $conn, 'connection' ] ], 'Inherited descriptor 3 (connection): it does not listen' ],
    [ [ [ (manager())[0], 'x' ] ], 'Inherited descriptor 3 (x): it is no TCP, UDP or UNIX socket' ],
    [ [ [ $plain_file, 'x' ], [ tcp(), 'unix' ] ],
        "Inherited descriptor 3 (x): $NO_SOCKET\nInherited descriptor 4 (unix): it is no UNIX socket" ],
    [ [ [ tcp(), 'a' ] ], "UDP is asked for (-U), and none of the service manager's sockets is UDP's", '-U', '11999' ],
);
for my $row (@unfit) {
    my ($sockets, $line, @args) = @$row;
    my $run = TestServer->run({ sockets => $sockets }, '-t', '1', @args);
    is($run->{status}, 71, 'a socket that does not fit ends the start with 71');
    is($run->{stderr}, "$line\n", $line);
}
for my $row (
    [ { LISTEN_FDS => 'x' }, 'LISTEN_FDS is no number: "x"' ],
    # What is open in its place under valgrind is valgrind's.
    $ENV{VALGRIND_TEST} ? () : [ { LISTEN_FDS => 3 }, 'LISTEN_FDS is 3, and 4 is not open' ],
    [ { LISTEN_FDS => 1, LISTEN_FDNAMES => 'a:b' }, 'LISTEN_FDS is 1, and LISTEN_FDNAMES has 2 names' ],
) {
    my ($env, $line) = @$row;
    my $run = TestServer->run({ sockets => [ [ tcp() ] ], env => $env }, '-t', '1');
    is($run->{status}, 71, 'a list that contradicts itself ends the start with 71');
    is($run->{stderr}, "$line\n", $line);
}

# under -Z
SKIP: {
    skip 'no TLS here', 1 unless $tls;
    my ($local, $path) = path();
    my @classes = qw(plain tls memcached.socket btls mtls notls);
    my @sockets = ((map { [ tcp(), $_ ] } @classes), [ $local, 'unix' ]);
    my $server = TestServer->start({ tls => 1, sockets => \@sockets }, '-t', '2');
    for my $i (0 .. $#classes) {
        my $port = $sockets[$i][0]->sockport;
        my $bare = $classes[$i] =~ /^(?:plain|notls)$/;
        my $refuses = $classes[$i] eq 'mtls';
        is($server->outcome(port => $port, tls => 1), 'served', "-Z: $classes[$i] is encrypted") unless $bare || $refuses;
        is($server->outcome(port => $port, tls => 1), 'refused', "-Z: $classes[$i] demands a certificate") if $refuses;
        $bare
            ? is($server->outcome(port => $port, tls => 0), 'served', "-Z: $classes[$i] is plain")
            : isnt($server->outcome(port => $port, tls => 0), 'served', 'and nothing else');
    }
    is(TestClient->connect_unix($path)->ask('mn'), 'MN', 'the Unix socket is plain');
    my $unnamed = tcp();
    my $secure = TestServer->start({ tls => 1, sockets => [ [$unnamed] ] }, '-t', '1');
    is($secure->outcome(tls => 1), 'served', 'a socket without a name is encrypted');
    isnt($secure->outcome(tls => 0), 'served', 'and nothing else');
}

# systemd itself
SKIP: {
    my $activate = TestServer::program('systemd-socket-activate');
    skip 'systemd-socket-activate is not installed', 3 unless $activate;
    my $path = "$dir/activated";
    my $start = TestServer::write_file("$dir/activate", "#!/bin/sh\nexec '$activate' -l '$path' --fdname=unix '${\ TestServer::server_path()}' \"\$@\"\n");
    chmod 0755, $start;
    my $server = TestServer->start({ ready => 0, binary => $start, %plain }, '-t', '1', '-l', '');
    ok(TestServer::wait_until(sub { -S $path || $server->has_ended }), 'systemd opens a socket');
    my $c = TestClient->connect_unix($path);
    is($c->ask('mn'), 'MN', 'and the client that comes to it is served');
    is_deeply([ listeners($c) ], ["unix:$path"], 'by it alone');
    is($server->stop, 0, 'the server ends');
}

done_testing;
