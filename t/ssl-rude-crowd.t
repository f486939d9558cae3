#!/usr/bin/perl
# Goal: clients that behave badly within the TLS handshake, by the thousand, harm nobody but themselves: those who are
# established lose no reply, honest new ones get in all the time, and in the end nothing is left of the crowd.
# Method: processes that open clients of every bad kind as fast as they can, while others ask, or come and go; statistics,
# descriptors and memory between two rounds of it.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use IO::Select;
use POSIX ();
use Socket qw(:all);
use Time::HiRes qw(time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it counts failed handshakes otherwise');
use TestWire;

my $on_workers = $ENV{TLS_ON_WORKERS};
my $share = $ENV{VALGRIND_TEST} ? 0.1 : 1;
# Clients of a crowd, how many of them are there at a time, and crowds.
my ($each, $at_once, $crowds) = (int(700 * $share), 100, 2);
# The longest anybody may wait: a stall, and not a busy machine.
my $stall = TestServer::patience(20);
# KiB that a round may leave: less than a tenth of what its sessions take.
my $noise = 6 * 1024;

# What a client sends within its last message, for each version: a part of a record.
my %LAST = ('1.2' => pack('H*', '1603030046100000424104'), '1.3' => pack('H*', '140303000101' . '1703030045' . 'ab' x 30));
my $RUBBISH = join '', map { chr($_ * 151 % 256) } 1 .. 400;
my @KINDS = qw(silent half hello flight last rubbish plain back half hello flight last);

# ---------------------------------------------------------------------------------------------------
# The crowd

sub comes {
    my ($port) = @_;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    connect($socket, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) or die "connect: $!";
    return $socket;
}

# Hangs up; every other one breaks the connection off.
sub goes {
    my ($socket, $number) = @_;
    setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0) if $number % 2;
    close $socket;
}

# Opens clients, and ends each when so many others have come. The server may end any of them before that.
sub crowd {
    my ($port, $hello, $may_fail) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my @here;
    for my $number (1 .. $each) {
        my $kind = $KINDS[ $number % @KINDS ];
        my $version = $number % 3 ? '1.3' : '1.2';
        if ($number % 17 == 0) {
            # One that makes its handshake and is gone.
            my $wire = TestWire->connect($port, version => $version);
            $wire || $may_fail or die "an orderly handshake failed\n";
            goes($wire->socket, $number) if $wire;
            next;
        }
        my $socket = comes($port);
        my $bytes = $hello->{$version};
        if ($kind eq 'back') {
            for (1 .. 4) { syswrite $socket, $bytes; goes($socket, $number); $socket = comes($port) }
        }
        my %says = (silent => '', half => substr($bytes, 0, 1 + $number * 37 % (length($bytes) - 1)), rubbish => $RUBBISH, plain => "get a\r\n");
        syswrite $socket, $says{$kind} // $bytes;
        push @here, [ $number, $kind, $version, $socket ];
        hang_up(@{ shift @here }) if @here > $at_once;
    }
    hang_up(@$_) for @here;
}

sub hang_up {
    my ($number, $kind, $version, $socket) = @_;
    if ($kind eq 'flight' || $kind eq 'last') {
        IO::Select->new($socket)->can_read($stall) or die "no answer to a hello\n";
        sysread $socket, my $flight, 65_536;
        syswrite $socket, $LAST{$version} if $kind eq 'last';
    }
    goes($socket, $number);
}

# ---------------------------------------------------------------------------------------------------
# Others

# One client after another, each asking once, until the handle is closed; how many, and the longest it took.
sub newcomers {
    my ($port, $until, $may_fail) = @_;
    my ($count, $longest) = (0, 0);
    while (!IO::Select->new($until)->can_read(0)) {
        my $since = time;
        my $wire = TestWire->connect($port, version => $count % 2 ? '1.2' : '1.3');
        next if !$wire && $may_fail;
        die "no handshake\n" unless $wire;
        $wire->say("mn\r\n") && $wire->take(4, $stall) eq "MN\r\n" or die "no reply\n";
        $wire->notify;
        $wire->close;
        $count++;
        $longest = time - $since if time - $since > $longest;
    }
    return "$count $longest";
}

# Asks all once; false when one is not answered as it must be.
my $asked = 0;
sub ask {
    my @clients = @_;
    $asked++;
    for my $i (0 .. $#clients) { $clients[$i]->say("set k$i 0 0 6 \r\n", sprintf("%06d\r\n", $asked), "get k$i\r\nmn\r\n") or return 0 }
    for my $i (0 .. $#clients) {
        my $answer = sprintf "STORED\r\nVALUE k%d 0 6\r\n%06d\r\nEND\r\nMN\r\n", $i, $asked;
        return 0 if $clients[$i]->take(length $answer, $stall) ne $answer;
    }
    return 1;
}

# A process of its own, and what it has to say at its end: 'died: ...' when it could not do what it had to.
sub apart {
    my ($act) = @_;
    pipe(my $reader, my $writer) or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        close $reader;
        my $says = eval { $act->() } // "died: $@";
        syswrite $writer, $says;
        POSIX::_exit(0);
    }
    close $writer;
    return { pid => $pid, reader => $reader };
}

sub said { my ($child) = @_; local $/; my $text = readline $child->{reader}; waitpid $child->{pid}, 0; return $text // '' }

# ---------------------------------------------------------------------------------------------------

sub descriptors { my ($server) = @_; return scalar(my @all = glob "/proc/${\ $server->pid}/fd/*") }

# One crowd, and the others beside it.
sub round {
    my ($server, $name, $hello, $may_fail, @clients) = @_;
    my $port = $server->port;
    pipe(my $until, my $stop) or die "pipe: $!";
    my $newcomers = apart(sub { close $stop; newcomers($port, $until, $may_fail) });
    my @crowds = map { apart(sub { close $stop; crowd($port, $hello, $may_fail); 'done' }) } 1 .. $crowds;
    my $running = IO::Select->new(map { $_->{reader} } @crowds);
    my ($rounds, $longest, $lost) = (0, 0, 0);
    my @ends;
    while (@ends < @crowds) {
        my $since = time;
        ask(@clients) or $lost = 1, last;
        $rounds++;
        $longest = time - $since if time - $since > $longest;
        for my $ready ($running->can_read(0)) {
            $running->remove($ready);
            push @ends, $ready;
        }
    }
    ok(!$lost, "$name: the established are answered all the while") or diag "after $rounds rounds";
    cmp_ok($longest, '<', $stall, 'and do not wait for long');
    is_deeply([ map { said($_) } @crowds ], [ ('done') x $crowds ], "what the crowd must be answered it is");
    close $stop;
    my $came = said($newcomers);
    my ($count, $slowest) = $came =~ /^(\d+) ([\d.]+)/;
    ok($count, 'new clients get in') or diag $came;
    cmp_ok($slowest // 999, '<', $stall, 'and do not wait for long');
    note "$name: $rounds rounds of the established, at most ${\ sprintf '%.3f', $longest} s; $came new clients";
}

# `$backlog` is one that is too small for all of the crowd: then an honest client may have to make room before it has said
# a word, and comes again.
sub endures {
    my ($name, $backlog) = @_;
    my @arguments = $backlog ? ('-o', "ssl_handshake_backlog=$backlog") : ();
    my $server = TestServer->start({ tls => 1 }, '-t', '2', @arguments, '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
    $server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);
    my %hello = map { $_ => TestWire->connect($server->port, version => $_, handshake => 0)->hello } '1.2', '1.3';
    my @clients = map { TestWire->connect($server->port, version => $_ % 2 ? '1.2' : '1.3') } 1 .. 4;
    ok(ask(@clients), "$name: established clients");
    $server->wait_stat('ssl_handshakes_pending', 0, 10, 'ssl');
    my ($conns, $fds, @resident) = ($server->stat('curr_connections'), descriptors($server));
    for my $number (1, 2) {
        round($server, "$name, round $number", \%hello, $backlog, @clients);
        ok($server->wait_stat('ssl_handshakes_pending', 0, 20, 'ssl'), 'no handshake is left');
        ok($server->wait_stat('curr_connections', $conns, 20), 'no connection is left');
        ok(TestServer::wait_until(sub { descriptors($server) == $fds }, 20), 'no descriptor is left') or diag descriptors($server) . ", not $fds";
        my $stats = $server->stats('ssl');
        is($stats->{ssl_handshakes_started}, $stats->{ssl_handshakes_done} + $stats->{ssl_handshake_errors}, 'all are accounted for');
        note join ', ', map { "$_ $stats->{$_}" } grep { /^ssl_handshake/ } sort keys %$stats;
        is($server->stat('malloc_fails'), 0, 'nobody was lost on the way');
        push @resident, $server->resident;
    }
    SKIP: {
        skip 'valgrind keeps what is freed', 1 if $ENV{VALGRIND_TEST};
        cmp_ok($resident[1] - $resident[0], '<', $noise, 'the second crowd needs no more memory than the first') or diag "@resident KiB";
    }
    return $server->stats('ssl');
}

endures('as it is');
if (!$on_workers) {
    my $small = endures('with a small backlog', 40);
    cmp_ok($small->{ssl_handshakes_shed}, '>', 0, 'where many had to make room');
}

done_testing;
