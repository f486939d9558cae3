#!/usr/bin/perl
# Goal: with -o drop_privileges every thread has a filter of system calls, which lets all that the server does pass and ends
# it at anything else.
# Method: what the kernel tells of each thread; every room's work under the filter, with files that have to be read again; the
# debug server's command that does what no worker does. `make test_drop_privileges` runs all other tests so, too.

use strict;
use warnings;
use Test::More;
use FindBin;
use IO::Socket::UNIX;
use lib "$FindBin::Bin/lib";
use TestServer;

plan skip_all => 'valgrind makes system calls of its own' if $ENV{VALGRIND_TEST};

if (!TestServer::has_feature('seccomp')) {
    my $run = TestServer->run('-o', 'drop_privileges,no_drop_privileges', '-V');
    is($run->{status}, 0, 'a build without filters takes the words');
    unlike(TestServer::help_text(), qr/privileges/, 'and does not speak of them');
    done_testing;
    exit;
}
TestServer::need_new('filters of every thread');
# From here on servers are started so.
$ENV{DROP_PRIVILEGES} = 1;

# Name => mode of its filter (2: it has one), for each thread.
sub filters {
    my ($server) = @_;
    my %filters;
    for my $status (map { TestServer::slurp($_) } glob "/proc/${\ $server->pid}/task/*/status") {
        my ($name, $mode) = $status =~ /^Name:\s*(\S+).*^Seccomp:\s*(\d)/ms or next;
        push @{ $filters{$name} }, $mode;
    }
    return %filters;
}

# Whether every thread has a filter; threads may be about to get theirs.
sub all_filtered {
    my ($server) = @_;
    return TestServer::wait_until(sub { my %f = filters($server); !grep { $_ != 2 } map { @$_ } values %f });
}

# every thread, and nobody without the option
my $metrics = TestServer::scratch() . '/metrics';
my $server = TestServer->start('-t', '2', '-o', "idle_timeout=100,metrics=unix:$metrics");
ok(all_filtered($server), 'every thread has a filter') or diag explain { filters($server) };
is($server->settings->{drop_privileges}, 'yes', 'stats settings tell');
my $c = $server->client;
$c->set("k$_", 'v' x 900_000) for 1 .. 100;
is($c->ask('lru_crawler disable'), 'OK', 'the crawler is ended');
is($c->ask('lru_crawler enable'), 'OK', 'and brought back');
ok(all_filtered($server), 'with a filter, too');
is($c->ask('lru_crawler crawl all'), 'OK', 'and it works');
$server->stats($_) for undef, qw(items slabs sizes conns settings);
my $scrape = IO::Socket::UNIX->new(Peer => $metrics) or die "metrics: $!";
print $scrape "GET /metrics HTTP/1.0\r\n\r\n";
like(join('', <$scrape>), qr/^memcached_up 1$/m, 'metrics are told');
is($server->stop('USR1'), 0, 'it stops in order');
is($server->stderr_text =~ s/^Gracefully stopping\n//r, '', 'and has nothing to say');
{
    local $ENV{DROP_PRIVILEGES};
    my $free = TestServer->start('-t', '1');
    is_deeply([ map { @$_ } values %{ { filters($free) } } ], [ (0) x (() = glob "/proc/${\ $free->pid}/task/*") ], 'no filter by itself');
    is($free->settings->{drop_privileges}, 'no', 'stats settings tell');
    if (TestServer::has_feature('debug')) {
        is($free->client->ask('misbehave'), 'ERROR', 'misbehave works there');
    }
}

# what is not allowed
for my $relaxed (TestServer::has_feature('debug') ? ([], [ '-o', 'relaxed_privileges' ]) : ()) {
    my $guarded = TestServer->start('-t', '1', @$relaxed);
    my $client = $guarded->client;
    $client->send("misbehave\r\n");
    is($client->rest, '', "@$relaxed misbehave: the connection closes");
    is($guarded->wait_exit, 1, 'since the server ends with 1');
    like($guarded->stderr_text, qr/^Seccomp policy failure\. Caught syscall \d{3}\. This is either an exploit attempt, or your system is not supported yet\.$/m,
        'and says why');
}

# waiting by other calls than epoll's
my $polls = TestServer->start({ env => { EVENT_NOEPOLL => 1 } }, '-t', '1');
is($polls->client->ask('mn'), 'MN', 'a server that waits by poll(2)');

# the file of users is read again
my $users = TestServer::write_file(TestServer::scratch() . '/users', "a:b\n");
my $login = TestServer->start('-t', '1', '-Y', $users);
is($login->client->ask("set x 0 0 3\r\na b"), 'STORED', '-Y: a login');
TestServer::write_file($users, "a:c\n");
kill 'HUP', $login->pid;
ok(TestServer::wait_until(sub { $login->client->ask("set x 0 0 3\r\na c") eq 'STORED' }), 'and one after a change of the file');
is($login->client->ask("set x 0 0 3\r\na b"), 'CLIENT_ERROR authentication failure', 'not with the old password');

# a daemon takes its pid file away
my $file = TestServer::scratch() . '/pid';
my $run = TestServer->run('-d', '-P', $file, '-t', '1', '-s', TestServer::scratch() . '/daemon.sock');
is($run->{status}, 0, 'a daemon starts');
ok(TestServer::wait_until(sub { -s $file }), 'with a pid file');
my ($pid) = TestServer::slurp($file) =~ /(\d+)/;
TestServer::watch_over("watch $pid");
ok(TestServer::wait_until(sub { TestServer::slurp("/proc/$pid/status") =~ /^Seccomp:\s*2/m }), 'and a filter');
kill 'TERM', $pid;
ok(TestServer::wait_until(sub { !-e $file }), 'and takes the file away at its end');
TestServer::wait_until(sub { !kill 0, $pid });
TestServer::watch_over("forget $pid");

# with SASL nobody could tell what a mechanism calls
if (TestServer::has_feature('sasl')) {
    my $refused = TestServer->run('-S', '-o', 'drop_privileges');
    is($refused->{status}, 64, '-S with drop_privileges is refused');
    is($refused->{stderr}, "ERROR: You cannot drop privileges while using SASL.\n", 'and says why');
}

done_testing;
