#!/usr/bin/perl
# Goal: a server that gets no more memory ends the conns that want it, counts them, keeps what it holds, and serves
# as before when they have gone.
# Method: the address space of a running server is limited to a little more than it has, then clients come who take
# memory: half lines, long lines, answers that nobody reads, and conns by the hundred.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $MEBIBYTE = 1 << 20;
plan skip_all => 'needs prlimit(1)' if system('prlimit --version >/dev/null 2>&1') != 0;
# What it has in reserve for itself it would take from the server's.
plan skip_all => 'valgrind takes memory of its own' if $ENV{VALGRIND_TEST};

# One arena, so that no thread has address space in reserve.
local $ENV{MALLOC_ARENA_MAX} = 1;

sub limited {
    my ($spare, @options) = @_;
    my $server = TestServer->start('-t', '2', '-m', '16', '-c', '2048', @options);
    my $c = $server->client;
    $c->set("k$_", chr(97 + $_ % 26) x 1000) for 0 .. 999;
    # each class that is stored into later has its page
    $c->set('new', 'x' x 100_000);
    $c->set('large', 'x' x 500_000);
    my ($size) = TestServer::slurp("/proc/$server->{pid}/status") =~ /^VmSize:\s*(\d+)/m;
    my $limit = $size * 1024 + $spare * $MEBIBYTE;
    is(system('prlimit', '--pid', $server->pid, "--as=$limit"), 0, "$spare MiB are left");
    return $server;
}

# A client whom the server may have closed in the middle of its words.
sub say_to { my ($client, $words) = @_; local $SIG{PIPE} = 'IGNORE'; eval { $client->send($words) }; return $client }

sub crowd {
    my ($server, $most, $words) = @_;
    return [ map { my $c = $server->try_client; $c ? say_to($c, $words) : () } 1 .. $most ];
}

sub counted {
    my ($server, @names) = @_;
    # Who asks may be refused as well.
    my $stats = eval { my $c = $server->try_client; $c->stats } || {};
    return scalar grep { $stats->{$_} } @names;
}

# What the server does for a client when there is memory.
sub serves {
    my ($server) = @_;
    return eval {
        my $c = $server->try_client or return 0;
        my $values = $c->ask('get ' . join ' ', map { "k$_" } 0 .. 9);
        $c->close;
        my $d = $server->try_client or return 0;
        $d->set('new', 'y' x 100_000);
        my $value = $d->get('new') // '';
        $d->close;
        $value eq 'y' x 100_000;
    };
}

sub recovers {
    my ($server, $what) = @_;
    ok(!$server->has_ended, "the server lives: $what");
    ok(TestServer::wait_until(sub { serves($server) }), 'and serves when they have gone');
    unlike($server->stderr_text, qr/memory allocation|panicked/, 'without a word of failure');
}

my @oom = qw(read_buf_oom response_obj_oom malloc_fails ssl_handshake_errors ssl_proto_errors);

# half lines, short and long
{
    my $server = limited(8);
    for my $words ('get k', 'get ' . 'k1 ' x 100_000) {
        my $crowd = crowd($server, 700, $words);
        my $some = length $words > 10 ? 'long' : 'short';
        push @$crowd, @{ crowd($server, 100, 'get k') };
        ok(!$server->has_ended, "the server lives among $some halves of lines");
        $_->close for @$crowd;
        recovers($server, "$some halves of lines");
    }
    ok(counted($server, @oom), 'who was refused is counted');
    is($server->client->get('k25'), 'z' x 1000, 'nothing was lost');
    $server->stop;
}

# answers that nobody reads
{
    my $server = limited(8);
    # the kernel takes the first few of each
    my $line = 'get ' . join(' ', map { "k$_" } 0 .. 999) . "\r\n";
    my $crowd = crowd($server, 100, $line x 10);
    push @$crowd, @{ crowd($server, 60, 'get' . ' large' x 500 . "\r\n") };
    push @$crowd, @{ crowd($server, 60, "stats conns\r\n" x 100) };
    # either the crowd finds nothing, or has left nothing to whoever comes next
    TestServer::wait_until(sub { counted($server, @oom) || !serves($server) });
    $_->close for @$crowd;
    recovers($server, 'answers');
    ok(counted($server, @oom), 'who was refused is counted');
    $server->stop;
}

# clients who say nothing
{
    my $server = limited(1);
    my $crowd = crowd($server, 1500, '');
    $_->close for @$crowd;
    recovers($server, 'clients');
    $server->stop;
}

done_testing();
