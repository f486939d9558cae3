#!/usr/bin/perl
# Goal: -d leaves the terminal, -P tells where to; both clean up.
# Method: the parent's status, the pid file, the process behind it (/proc), its end by signals.

use strict;
use warnings;
use Cwd;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $dir = TestServer::scratch();
my $count = 0;

# Starts a daemon; its pid, and how to reach it.
sub daemonize {
    my (@args) = @_;
    my $id = ++$count;
    my $ports = "$dir/daemon.ports.$id";
    my $run = TestServer->run({ env => { MEMCACHED_PORT_FILENAME => $ports } },
        '-d', '-P', "$dir/pid.$id", '-t', '1', '-l', '127.0.0.1', '-p', '-1', @args);
    is($run->{status}, 0, 'the parent ends with 0');
    ok(TestServer::wait_until(sub { -s "$dir/pid.$id" && -e $ports }), 'the pid file appears');
    my ($pid) = TestServer::slurp("$dir/pid.$id") =~ /^(\d+)\n\z/ or die 'no pid';
    TestServer::watch_over("watch $pid");
    my ($port) = TestServer::slurp($ports) =~ /: (\d+)/;
    return { pid => $pid, port => $port, file => "$dir/pid.$id", client => TestClient->connect_tcp(host => '127.0.0.1', port => $port) };
}

# True once the daemon has ended; its new parent may take a while to notice.
sub gone {
    my ($daemon) = @_;
    my $gone = TestServer::wait_until(sub {
        !kill(0, $daemon->{pid}) || TestServer::slurp("/proc/$daemon->{pid}/stat") =~ /\) Z /;
    });
    TestServer::watch_over("forget $daemon->{pid}");
    return $gone;
}

# Servers end in up to a second: all of them at the same time.
my %daemons = map { $_ => daemonize() } qw(TERM INT USR1);
for my $signal (sort keys %daemons) {
    my $daemon = $daemons{$signal};
    is($daemon->{client}->ask('mn'), 'MN', 'it serves');
    is($daemon->{client}->stats->{pid}, $daemon->{pid}, 'stats know the pid of the file');
    is((stat $daemon->{file})[2] & 0777 & 0111, 0, 'the file is no program');
    if (-d "/proc/$daemon->{pid}") {
        is(readlink("/proc/$daemon->{pid}/cwd"), '/', 'its directory is the root');
        is(readlink("/proc/$daemon->{pid}/fd/$_"), '/dev/null', "descriptor $_ is closed to the terminal") for 0 .. 2;
        my @stat = split ' ', TestServer::slurp("/proc/$daemon->{pid}/stat") =~ s/.*\) //r;
        isnt($stat[3], getpgrp_session(), 'it has a session of its own');
    }
    kill $signal, $daemon->{pid};
}
for my $signal (sort keys %daemons) {
    ok(gone($daemons{$signal}), "$signal ends it");
    ok(!-e $daemons{$signal}{file}, 'and the pid file is gone');
}

# The session of this test.
sub getpgrp_session { return (split ' ', TestServer::slurp("/proc/$$/stat") =~ s/.*\) //r)[3] }

# with -r it stays where it is, with -v it keeps its output
my $daemon = daemonize('-r', '-v');
SKIP: {
    skip 'no /proc', 1 unless -d "/proc/$daemon->{pid}";
    is(readlink("/proc/$daemon->{pid}/cwd"), getcwd(), '-r: the directory stays');
    isnt(readlink("/proc/$daemon->{pid}/fd/2"), '/dev/null', '-v: stderr stays');
    like(TestServer::slurp("/proc/$daemon->{pid}/limits"), qr/^Max core file size +(unlimited|[1-9]\d*)/m, '-r: core files are allowed');
}
kill 'TERM', $daemon->{pid};
ok(gone($daemon), 'it ends');

# -P without -d: written, and left
my $server = TestServer->start('-P', "$dir/plain");
ok(TestServer::wait_until(sub { TestServer::slurp("$dir/plain") eq $server->pid . "\n" }), '-P without -d writes the pid');
ok(!-e "$dir/plain.tmp", 'no other file is left');
is($server->stop, 0, 'the server ends');
is(TestServer::slurp("$dir/plain"), $server->pid . "\n", 'and leaves the file');

# a file of a process that lives
open my $file, '>', "$dir/busy" or die $!;
print $file "$$\n";
close $file;
$server = TestServer->start('-P', "$dir/busy");
ok($server->wait_stderr(qr/^WARNING: The pid file contained the following \(running\) pid: ${\ $$}\n/m), 'the pid of a living process is warned about');
ok(TestServer::wait_until(sub { TestServer::slurp("$dir/busy") eq $server->pid . "\n" }), 'and replaced');

# a file that cannot be written
$server = TestServer->start('-P', '/nonexistent/dir/pid');
ok($server->wait_stderr(qr{^Could not open the pid file /nonexistent/dir/pid\.tmp for writing: }m), 'a file that cannot be written is told');
is($server->client->ask('mn'), 'MN', 'and the server serves');

# a full disk
SKIP: {
    skip 'no /dev/full here', 3 unless -e '/dev/full';
    symlink '/dev/full', "$dir/full.tmp" or die "symlink: $!";
    $server = TestServer->start('-P', "$dir/full");
    ok($server->wait_stderr(qr{^Could not open the pid file \Q$dir\E/full\.tmp for writing: No space left on device$}m), 'a full disk is told');
    is($server->client->ask('mn'), 'MN', 'and the server serves');
    ok(!-e "$dir/full" && !-l "$dir/full.tmp", 'and leaves no file');
}

# a daemon that cannot listen (nobody has an address of that network): the parent has left by then
my @nowhere = ('-d', '-P', "$dir/never", '-t', '1', '-l', '192.0.2.1', '-p', '11211');
my $run = TestServer->run({ tls => 0 }, @nowhere);
is($run->{status}, 0, 'the parent of a daemon that cannot listen ends with 0');
is($run->{stderr}, '', 'and says nothing');
$run = TestServer->run({ tls => 0 }, @nowhere, '-v');
is($run->{status}, 0, '-v: its parent ends with 0, too');
ok(TestServer::wait_until(sub { TestServer::slurp($run->{stderr_file}) =~ /^failed to listen on one of interface\(s\) 192\.0\.2\.1: /m }),
    'and the daemon says why it ends');
ok(!-e "$dir/never", 'without a pid file');

# mistakes of the command line are told before
$run = TestServer->run('-d', '-c', '0');
is($run->{status}, 1, 'a mistake of the command line ends the parent');
like($run->{stderr}, qr/^Maximum connections must be greater than 0/, 'with its text');

done_testing;
