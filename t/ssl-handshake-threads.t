#!/usr/bin/perl
# Goal: handshakes have threads of their own, which serve the newest clients first and none that have gone, let the oldest
# make room, and stand back behind the workers; clients beyond the limit of connections learn why they are closed.
# Method: clients that come while the server is stopped, hang up, or say nothing; what they and stats ssl tell.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use IO::Select;
use Time::HiRes qw(time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has no handshake threads');
plan skip_all => 'it is about what workers do not do' if $ENV{TLS_ON_WORKERS};
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my @tls = ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");

# A server with a port without TLS, by which its stats are asked.
sub serve {
    my $server = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-l', '127.0.0.1:-1,notls:127.0.0.1:-1', @_);
    $server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);
    return $server;
}
sub silent { my ($server) = @_; return TestWire->connect($server->port, handshake => 0) }
sub hello { my ($server) = @_; my $wire = silent($server); $wire->put($wire->hello); return $wire }
# One that has its part of the server's flight and does not answer.
sub halfway { my ($server) = @_; my $wire = hello($server); $wire->receive(TestServer::patience(5)) or die 'no flight'; return $wire }
sub is_served { my ($server, $what) = @_; my $wire = TestWire->connect($server->port); ok($wire && $wire->say("mn\r\n") && $wire->take(4) eq "MN\r\n", $what); return $wire }
sub pending { my ($server, $count, $what) = @_; ok($server->wait_stat('ssl_handshakes_pending', $count, 5, 'ssl'), $what) }
sub has_ended { my ($wire) = @_; return IO::Select->new($wire->socket)->can_read(0) && !$wire->receive(0) }

# ---------------------------------------------------------------------------------------------------
# Threads

{
    my $default = TestServer->start({ tls => 1 }, '-t', '2', @tls);
    is($default->stat('ssl_handshake_threads', 'ssl'), 2, 'by default there are as many as workers');
    my $more = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-o', 'ssl_handshake_threads=3');
    is($more->stat('ssl_handshake_threads', 'ssl'), 3, 'or as many as are asked for');
    is_served($more, 'each of them') for 1 .. 3;
    SKIP: {
        skip 'threads are not told apart here', 2 unless -e "/proc/${\ $more->pid}/task" && $^O eq 'linux';
        my (%nice, @names);
        for my $stat (glob "/proc/${\ $more->pid}/task/*/stat") {
            my ($name, $rest) = TestServer::slurp($stat) =~ /\((mc-[^)]+)\) (.*)/ or next;
            push @names, $name;
            $nice{$name} = (split ' ', $rest)[16];
        }
        is_deeply([ grep { /^mc-tls-/ } sort @names ], [qw(mc-tls-0 mc-tls-1 mc-tls-2)], 'they have names');
        cmp_ok($nice{'mc-tls-1'}, '>', $nice{'mc-worker'}, 'and stand back behind the workers');
    }
    is($more->stop('USR1'), 0, 'they end with a graceful stop');
    my $none = TestServer->start({ tls => 1 }, '-t', '1', @tls, '-o', 'ssl_handshake_threads=0');
    is($none->stat('ssl_handshake_threads', 'ssl'), 0, 'or none');
    is_served($none, 'workers make handshakes then');
    is($none->settings->{ssl_handshake_threads}, 0, 'which stats settings tells');
}

# ---------------------------------------------------------------------------------------------------
# Those who have gone

my $server = serve();
my $established = is_served($server, 'a client');
{
    my $before = $server->stats('ssl');
    $server->signal('STOP');
    my @gone = map { hello($server) } 1 .. 20;
    $_->close for @gone;
    my $patient = hello($server);
    $server->signal('CONT');
    ok($patient->handshake, 'a client that is there gets in');
    pending($server, 0, 'those who have gone are forgotten');
    my $after = $server->stats('ssl');
    is($after->{ssl_handshakes_gone} - $before->{ssl_handshakes_gone}, 20, 'and counted');
    is($after->{ssl_handshake_errors} - $before->{ssl_handshake_errors}, 20, 'as failures, too');
    is($after->{ssl_handshakes_done} - $before->{ssl_handshakes_done}, 1, 'nothing was signed for them');
    my $silent = silent($server);
    pending($server, 1, 'one that says nothing');
    $silent->close;
    pending($server, 0, 'and leaves');
    is($server->stat('ssl_handshakes_gone', 'ssl') - $after->{ssl_handshakes_gone}, 0, 'would have had nothing signed');
    is($server->stat('ssl_handshake_errors', 'ssl') - $after->{ssl_handshake_errors}, 1, 'and has failed');
    my $resets = hello($server);
    $server->signal('STOP');
    my @reset = map { my $wire = hello($server); setsockopt($wire->socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0); $wire } 1 .. 5;
    $_->close for @reset;
    $server->signal('CONT');
    ok($resets->handshake, 'connections that are broken off do not harm');
    pending($server, 0, 'and are forgotten');
}

# ---------------------------------------------------------------------------------------------------
# The newest first

SKIP: {
    skip 'a signature takes as long as all else', 2 if $ENV{VALGRIND_TEST};
    TestCerts::openssl('req', '-x509', '-newkey', 'rsa:4096', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', "$dir/dear.key", '-out', "$dir/dear.crt");
    my $dear = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', "ssl_chain_cert=$dir/dear.crt,ssl_key=$dir/dear.key", '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
    $dear->{admin} = $dear->client(port => ($dear->ports)[1], tls => 0);
    $dear->signal('STOP');
    my @clients = map { hello($dear) } 1 .. 30;
    my %number = map { fileno($clients[$_]->socket) => $_ } 0 .. $#clients;
    $dear->signal('CONT');
    my $all = IO::Select->new(map { $_->socket } @clients);
    my @order;
    while ($all->count) {
        my @ready = $all->can_read(10) or last;
        $all->remove(@ready);
        push @order, map { $number{ fileno $_ } } @ready;
    }
    is(scalar(@order), 30, 'all are answered');
    # Some may be served before the last have been accepted, and one look may find several.
    my $downward = grep { $order[$_] < $order[ $_ - 1 ] } 1 .. $#order;
    cmp_ok($downward, '>=', 20, 'the newest first') or diag "@order";
}

# ---------------------------------------------------------------------------------------------------
# Who makes room

for my $row ([ 'clients that say nothing', \&silent ], [ 'clients that stop in the middle', \&halfway ]) {
    my ($what, $comes) = @$row;
    my $small = serve('-o', 'ssl_handshake_backlog=4');
    my @first = map { my $wire = $comes->($small); pending($small, $_, "$what: $_"); $wire } 1 .. 4;
    my @later = map { $comes->($small) } 1 .. 3;
    ok($small->wait_stat('ssl_handshakes_shed', 3, 5, 'ssl'), 'make room for others');
    pending($small, 4, 'at the limit');
    my @ended = map { TestServer::wait_until(sub { has_ended($first[$_]) }, $_ < 3 ? 5 : 0.1) ? 1 : 0 } 0 .. 3;
    is_deeply(\@ended, [ 1, 1, 1, 0 ], 'the oldest do');
    is(scalar(grep { has_ended($_) } @later), 0, 'and not the others');
    is_served($small, 'a client that goes on is served');
    my $stats = $small->stats('ssl');
    is($stats->{ssl_handshakes_started}, $stats->{ssl_handshakes_done} + $stats->{ssl_handshake_errors} + $stats->{ssl_handshakes_pending}, 'all are accounted for');
}
{
    my $small = serve('-o', 'ssl_handshake_backlog=8');
    my @paid = map { halfway($small) } 1 .. 4;
    my @silent = map { silent($small) } 1 .. 20;
    ok($small->wait_stat('ssl_handshakes_shed', 16, 5, 'ssl'), 'a crowd that says nothing');
    is(scalar(grep { $_->handshake } @paid), 4, 'takes no place of clients for whom was signed');
    pending($small, 4, 'nor more than its own');
    my $boundless = serve('-o', 'ssl_handshake_backlog=0');
    my @many = map { silent($boundless) } 1 .. 40;
    pending($boundless, 40, 'without a limit');
    is($boundless->stat('ssl_handshakes_shed', 'ssl'), 0, 'nobody has to go');
    is($boundless->stop('USR1'), 0, 'a graceful stop gives them up');
    is(scalar(grep { TestServer::wait_until(sub { has_ended($_) }, 5) } @many), 40, 'and closes them');
}

# ---------------------------------------------------------------------------------------------------
# Silence

SKIP: {
    skip 'the clock cannot be moved', 4 unless TestServer::has_feature('debug');
    my $idle = serve('-o', 'idle_timeout=30');
    my $sleeper = silent($idle);
    pending($idle, 1, 'a client that says nothing');
    $idle->advance_clock(20);
    $idle->admin->ask('mn');
    $idle->advance_clock(20);
    ok(TestServer::wait_until(sub { has_ended($sleeper) }, 10), 'is closed after idle_timeout');
    cmp_ok($idle->stat('idle_kicks'), '>=', 1, 'and counted');
    pending($idle, 0, 'its handshake is over');
    $idle->thaw_clock;
}

# ---------------------------------------------------------------------------------------------------
# One too many

SKIP: {
    skip 'valgrind has descriptors of its own', 8 if $ENV{VALGRIND_TEST};
    my $full = serve('-c', '30');
    my @clients;
    while (@clients < 30) {
        my $client = $full->try_client(port => ($full->ports)[1], tls => 0) or last;
        $client->send("mn\r\n");
        last if ($client->line(2) // '') ne 'MN';
        push @clients, $client;
    }
    cmp_ok(scalar(@clients), '<', 30, 'a server that is full');
    my $rejected = $full->stat('rejected_connections');
    for my $version ('1.2', '1.3') {
        my $told = TestWire->connect($full->port, version => $version);
        ok($told, "TLS $version: a client too many gets its handshake");
        $told->say("get a\r\n");
        is($told->rest, "ERROR Too many open connections\r\n", 'and is told why it is closed');
    }
    my $mute = silent($full);
    my $since = time;
    ok(TestServer::wait_until(sub { has_ended($mute) }, 5), 'one that says nothing is closed soon');
    cmp_ok(time - $since, '<', TestServer::patience(3), 'without more words');
    is($full->stat('rejected_connections') - $rejected, 3, 'all are counted as rejected');
    is($full->stat('ssl_handshakes_done', 'ssl'), 0, 'and are nobody in the books of handshakes');
    (pop @clients)->close;
    ok(TestServer::wait_until(sub { my $wire = TestWire->connect($full->port); $wire && $wire->say("mn\r\n") && $wire->take(4) eq "MN\r\n" }), 'when one has left the next is served');
}

is($established && $established->say("mn\r\n") && $established->take(4), "MN\r\n", 'the first client is served to the end');
done_testing;
