#!/usr/bin/perl
# Goal: unfinished and aborted handshakes stop nobody and leave nothing behind.
# Method: hundreds that stay half open, hundreds that end in each way; new clients meanwhile; connections
# and memory afterwards.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(time);

BEGIN { TestServer::need_feature('tls') }
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $server = TestServer->start({ tls => 1 }, '-t', '2');
my $c = $server->admin;
$c->set('k', 'v');

# half open
my @open;
for my $i (1 .. 200) {
    my $wire = TestWire->connect($server->port, handshake => 0);
    my $hello = $wire->hello;
    $wire->put($i % 4 == 0 ? '' : $i % 4 == 1 ? substr($hello, 0, 1) : $i % 4 == 2 ? substr($hello, 0, 100) : $hello);
    push @open, $wire;
}
my $start = time;
is($server->client->get('k'), 'v', "new client $_ is served among two hundred half-open handshakes") for 1 .. 10;
cmp_ok(time - $start, '<', TestServer::patience(2), 'at once');
is($c->get('k'), 'v', 'an older one, too');
ok($server->wait_stat('curr_connections', sub { $_[0] >= 201 }), 'they count as connections') unless TestServer::is_old();

# some go on after all
for my $wire (@open[ 2, 6, 10 ]) {
    ok($wire->handshake, 'a handshake that waited');
    $wire->say("get k\r\n");
    is($wire->take(21), "VALUE k 0 1\r\nv\r\nEND\r\n", 'is finished and served');
}
$_->close for @open;
ok($server->wait_stat('curr_connections', 1), 'all of them are let go');

# a handshake byte by byte
my $slow = TestWire->connect($server->port, handshake => 0);
$slow->put($_) for split //, $slow->hello;
ok($slow->handshake, 'a handshake byte by byte');
$slow->say("mn\r\n");
is($slow->take(4), "MN\r\n", 'is served');
$slow->close;

# the first command right behind the handshake, in the same write
for my $version ('1.2', '1.3') {
    my $wire = TestWire->connect($server->port, version => $version, handshake => 0);
    $wire->put($wire->hello);
    my $deadline = time + 10;
    while (time < $deadline) {
        $wire->receive(1) or last;
        last if Net::SSLeay::do_handshake($wire->{ssl}) == 1;
        # TLS 1.2 has a second flight of its own.
        $wire->put($wire->sealed);
    }
    $wire->{open} = 1;
    my $finished = $wire->sealed;
    $wire->put($finished . $wire->seal("get k\r\nmn\r\n"));
    is($wire->take(25), "VALUE k 0 1\r\nv\r\nEND\r\nMN\r\n", "TLS $version: commands behind the handshake, in one write");
}

# what the server says last in its handshake: with the first reply, or before it sleeps without one
for my $first ("mn\r\n", "set q 0 0 1 noreply\r\nx\r\n", 'get ', '') {
    my $wire = TestWire->connect($server->port, handshake => 0);
    $wire->put($wire->hello);
    my $deadline = time + 10;
    while (time < $deadline) { $wire->receive(1) or last; last if Net::SSLeay::do_handshake($wire->{ssl}) == 1 }
    $wire->{open} = 1;
    my $finished = $wire->sealed;
    my $before = $wire->{received};
    $wire->put($finished . ($first eq '' ? '' : $wire->seal($first)));
    my $name = $first =~ s/\r\n/\\r\\n/gr;
    ok($wire->receive(TestServer::patience(5)), "'$name' behind the handshake: its end is sent");
    cmp_ok($wire->{received} - $before, '>', 300, 'with the tickets') unless $first eq "mn\r\n";
    is($wire->{text}, "MN\r\n", 'together with the reply') if $first eq "mn\r\n";
    $wire->close;
}

# aborted ones of every kind
sub abort_some {
    for my $i (1 .. $_[0]) {
        my $kind = $i % 6;
        if ($kind == 0) { my $d = $server->client(tls => 0); $d->send("GET / HTTP/1.1\r\n\r\n"); $d->close }
        elsif ($kind == 1) { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put(substr $wire->hello, 0, 10 + $i % 200); $wire->close }
        elsif ($kind == 2) { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put($wire->hello); $wire->close }
        elsif ($kind == 3) { $server->client(tls => 0)->abort }
        elsif ($kind == 4) { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put($wire->hello . 'x' x 100); $wire->receive(0.01); $wire->close }
        else { $server->try_client(tls => { SSL_ca_file => "$certs/foreign-ca.crt", Timeout => 2 }) }
    }
}
# All have come before it is looked whether all have gone: a client that hangs up may still wait to be accepted.
my $came = $server->stat('total_connections');
sub all_gone { my ($count) = @_; return $server->wait_stat('total_connections', $came += $count) && $server->wait_stat('curr_connections', 1) }
abort_some(120);
ok(all_gone(120), 'a hundred aborted handshakes are let go');
my $memory = $server->resident;
my $fds = () = glob "/proc/${\ $server->pid}/fd/*";
abort_some(600);
ok(all_gone(600), 'so are hundreds more');
SKIP: {
    skip 'no /proc, or valgrind', 2 if !$memory || $ENV{VALGRIND_TEST};
    cmp_ok($server->resident - $memory, '<', 3000, 'they leave no memory behind');
    is(scalar(() = glob "/proc/${\ $server->pid}/fd/*"), $fds, 'nor a descriptor');
}
is($server->client->get('k'), 'v', 'the server serves');

done_testing;
