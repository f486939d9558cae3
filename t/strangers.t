#!/usr/bin/perl
# Goal: ten thousand connections that send rubbish, halves of things, the wrong protocol or nothing, and go, get
# the reply that they deserve or a close, and leave no connection, descriptor or memory behind.
# Method: ten rounds of a thousand at a time, and some before them; what the process holds after those is what it
# holds after the last. In the clear, and on a TLS port with and without a handshake.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use POSIX ();

my $ROUNDS = $ENV{VALGRIND_TEST} ? 2 : 10;
my $descriptors = POSIX::sysconf(POSIX::_SC_OPEN_MAX()) // 256;
my $AT_ONCE = $ENV{VALGRIND_TEST} ? 200 : $descriptors > 1100 ? 1000 : $descriptors - 100;
# So little, in kilobytes, that a hundred bytes left behind by each of them would show.
my $GROWTH = 1000;
# TLS sessions are made by one thread and freed by others: the allocator's holes vary by more.
my $GROWTH_TLS = 4000;

my $BAD = 'CLIENT_ERROR bad command line format';
my $NO_ANSWER = '';

# A kind of stranger: what it sends, what comes back, whether the server closes then; 1 when it speaks TLS.
my @in_the_clear = (
    [ 'nothing',                     '',                                        $NO_ANSWER ],
    [ 'half a command',              'get k',                                   $NO_ANSWER ],
    [ 'half a value',                "set half 0 0 100\r\nabc",                 $NO_ANSWER ],
    [ 'half a large value',          "set half 0 0 900000\r\n" . 'x' x 9000,    $NO_ANSWER ],
    [ 'half of what is too large',   "set half 0 0 2000000\r\n" . 'x' x 9000,   $NO_ANSWER ],
    [ 'half a multiget',             'get ' . 'k ' x 9000,                      $NO_ANSWER ],
    [ 'rubbish in lines',            "\x01\x02\x03\r\n\xff\xfe\xfd\xfc\r\n",    "ERROR\r\n" x 2 ],
    [ 'a line that is too short',    "x\r\n",                                   "$BAD\r\n" ],
    [ 'rubbish without a line',      "\x01" . 'x' x 3000,                       $NO_ANSWER, 'closes' ],
    [ 'blanks without end',          ' ' x 3000,                                $NO_ANSWER, 'closes' ],
    [ 'half a ClientHello',          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'r' x 32, $NO_ANSWER ],
    [ 'an HTTP request',             "GET / HTTP/1.1\r\nHost: x\r\n\r\n",       $NO_ANSWER, 'closes' ],
    [ 'a farewell and more',         "quit\r\nget k\r\n",                       $NO_ANSWER, 'closes' ],
    [ 'commands and half of one',    "mn\r\nget k\r\nge",                       "MN\r\nVALUE k 0 5\r\nvalue\r\nEND\r\n" ],
    [ 'a bad block',                 "set half 0 0 3\r\nabcde",            "CLIENT_ERROR bad data chunk\r\n" ],
    [ 'a value for nobody',          "add k 0 0 3 noreply\r\nabc\r\nset k 0 0\r\n", "$BAD\r\n" ],
);
# On a TLS port before any handshake: an alert at most, no word of the plain protocol.
my $ALERT = qr/\A(?:\x15\x03.*)?\z/s;
sub without_a_handshake {
    my ($hello) = @_;
    return (
        [ 'nothing',                   '',                                  $NO_ANSWER ],
        [ 'a byte of a ClientHello',   "\x16",                              $NO_ANSWER ],
        [ 'half a ClientHello',        substr($hello, 0, 50),               $NO_ANSWER ],
        [ 'a ClientHello and no more', $hello,                              qr/\A\x16\x03\x03/ ],
        [ 'a ClientHello and rubbish', $hello . 'x' x 100,                  qr/\A\x16\x03\x03/, 'closes' ],
        [ 'plain text',                "get k\r\nget k\r\n",                $ALERT, 'closes' ],
        [ 'an HTTP request',           "GET / HTTP/1.1\r\nHost: x\r\n\r\n", $ALERT, 'closes' ],
        [ 'rubbish',                   "\x80\x01\x02" . 'x' x 300,          $ALERT, 'closes' ],
        [ 'a record that is too long', "\x16\x03\x01\xff\xff" . 'x' x 300,  $ALERT, 'closes' ],
    );
}

sub resident { return TestServer::slurp("/proc/$_[0]/smaps_rollup") =~ /^Rss:\s*(\d+)/m ? $1 : 0 }
sub descriptors { my @fds = glob "/proc/$_[0]/fd/*"; return scalar @fds }

# Opens as many as may be at once, lets each have its say and hear its answer, and ends them all: the half of them
# with a reset. Returns the kinds that were not answered as they should.
sub round {
    my ($server, $n, @kinds) = @_;
    my (@strangers, %wrong);
    for my $i (0 .. $n - 1) {
        my $kind = $kinds[ $i % @kinds ];
        my $client = $server->client(tls => $kind->[4] // 0);
        $client->send($kind->[1]);
        push @strangers, [ $client, $kind ];
    }
    for my $stranger (@strangers) {
        my ($client, $kind) = @$stranger;
        my ($name, undef, $answer, $closes) = @$kind;
        my $got;
        if ($closes) { $got = $client->rest // 'no end' }
        elsif (ref $answer) { $client->fill(10); $got = $client->pending }
        else { $got = $client->bytes(length $answer) // 'no answer' }
        $wrong{$name} = TestClient::visible($got) unless ref $answer ? $got =~ $answer : $got eq $answer;
    }
    for my $i (0 .. $#strangers) {
        my ($client, $kind) = @{ $strangers[$i] };
        $wrong{ $kind->[0] } = 'more: ' . TestClient::visible($client->pending) if !ref $kind->[2] && $client->pending ne '';
        int($i / @kinds) % 2 ? $client->abort : $client->close;
    }
    return \%wrong;
}

sub pass_by {
    my ($name, $server, $rounds, $at_once, @kinds) = @_;
    my $pid = $server->pid;
    for my $round (1 .. 3) {
        is_deeply(round($server, $at_once, @kinds), {}, "$name: every one hears what it should");
        ok($server->wait_stat('curr_connections', 1, 20), 'and is gone');
    }
    my ($memory, $fds, $before) = (resident($pid), descriptors($pid), $server->stats);
    for my $round (1 .. $rounds) {
        is_deeply(round($server, $at_once, @kinds), {}, "round $round") or last;
    }
    ok($server->wait_stat('curr_connections', 1, 20), "$name: after thousands no connection is left");
    my $after = $server->stats;
    is($after->{curr_items}, $before->{curr_items}, 'nor an item');
    is($after->{$_}, $before->{$_}, "nor any $_") for qw(response_obj_count read_buf_oom response_obj_oom);
    is($after->{read_buf_bytes} - $after->{read_buf_bytes_free}, $before->{read_buf_bytes} - $before->{read_buf_bytes_free}, 'nor a buffer');
    SKIP: {
        skip 'no /proc, or valgrind', 2 if !$memory || $ENV{VALGRIND_TEST};
        is(descriptors($pid), $fds, 'nor a descriptor');
        # What a crowd has left behind goes back to the kernel at the next tick.
        my $limit = $memory + ($server->{tls} ? $GROWTH_TLS : $GROWTH);
        TestServer::wait_until(sub { resident($pid) < $limit });
        cmp_ok(resident($pid), '<', $limit, 'nor any memory');
    }
    is($server->client->ask('get k'), 'VALUE k 0 5', 'the server serves');
}

unless ($ENV{SSL_TEST}) {
    my $server = TestServer->start('-t', '2', '-c', '4000');
    $server->admin->set('k', 'value');
    pass_by('in the clear', $server, $ROUNDS, $AT_ONCE, @in_the_clear);
}

SKIP: {
    skip 'this server is built without TLS', 1 unless TestServer::has_feature('tls');
    skip 'IO::Socket::SSL is not installed', 1 unless TestClient::tls_available();
    require TestWire;
    my $server = TestServer->start({ tls => 1 }, '-t', '2', '-c', '4000');
    $server->admin->set('k', 'value');
    my $hello = TestWire->connect($server->port, handshake => 0)->hello;
    my $errors = $server->stat('ssl_handshake_errors');
    pass_by('on a TLS port', $server, $ROUNDS, $AT_ONCE, without_a_handshake($hello));
    my $failed = $server->stat('ssl_handshake_errors');
    cmp_ok($failed - $errors, '>=', ($ROUNDS + 3) * $AT_ONCE, 'each is counted as a handshake that failed');
    # A handshake costs as much as ten strangers without.
    pass_by('inside TLS', $server, 2, $AT_ONCE / 5, map { [ @$_[ 0 .. 2 ], $_->[3] // 0, 1 ] } @in_the_clear);
    is($server->stat('ssl_handshake_errors'), $failed, 'and none of these is');
}

done_testing;
