#!/usr/bin/perl
# Goal: -l has Unix sockets beside ports, each with mode, protocol and tag of its own, and what is wrong with one is told by
# its name.
# Method: lists of all kinds, clients on each place, `stats conns` and the port file; old sockets, files in the way, paths at
# their limit; the same under -Z, -Y and -U.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $IN_USE = TestServer::words('EADDRINUSE');
my $TOO_LONG = TestServer::words('ENAMETOOLONG');
TestServer::need_feature('unix');
TestServer::need_new('it has no Unix sockets in lists');

my $dir = TestServer::scratch();
my $count = 0;
sub fresh { return "$dir/s" . ++$count }

# A client of a Unix socket, and whether it is served.
sub come { my ($path) = @_; return TestClient->connect_unix($path) }
sub serves {
    my ($path, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $c = come($path);
    return is($c ? $c->ask('mn') : $@, 'MN', $name);
}
sub mode_of { my ($path) = @_; return sprintf '%o', (stat $path)[2] & 0777 }

# beside a port, and beside each other
my ($first, $second, $third) = map { fresh() } 1 .. 3;
my $list = "unix:$first,127.0.0.1,tag[x]:unix:$second:666;unix:$third:1600";
my $server = TestServer->start('-t', '2', '-a', '750', '-l', $list);
is_deeply([ map { s/: \d+$//r } $server->port_lines ], ['TCP INET'], 'the port file lists the port alone');
serves($_, 'a Unix socket serves') for $first, $second, $third;
my $c = $server->client;
$c->set('k', 'v');
is(come($first)->get('k'), 'v', 'all places show the same items');
is_deeply([ map { mode_of($_) } $first, $second, $third ], [ '750', '666', '600' ], 'modes are those of the list, or of -a');
my $settings = $server->settings;
is(index($list, $settings->{inter}), 0, 'inter shows the list, as much as has room');
is($settings->{domain_socket}, 'NULL', 'domain_socket is that of -s');
is($settings->{umask}, '750', 'umask that of -a');
my $guest = come($second);
$guest->ask('mn');
my %conns = %{ $server->stats('conns') };
my @listening = map { s/:state//r } grep { /:state$/ && $conns{$_} eq 'conn_listening' } keys %conns;
is_deeply([ sort map { $conns{"$_:addr"} =~ s/:\d+$//r } @listening ], [ 'tcp:127.0.0.1', map { "unix:$_" } sort $first, $second, $third ],
    'stats conns shows every listener');
is(scalar(grep { /listen_addr$/ && $conns{$_} eq "unix:$second" } keys %conns), 1, 'and by which one a client came');
$guest->close;
my $large = 'x' x 1_000_000;
my $local = come($third);
$local->set('large', $large);
ok($local->get('large') eq $large, 'a large value');
is($server->stop, 0, 'the server ends');
ok(-S $_, 'and leaves its socket') for $first, $second, $third;

# old sockets are replaced; other files and other paths are told of by their names
for my $signal (qw(TERM USR1)) {
    my $again = TestServer->start({ tls => 0 }, '-t', '1', '-p', '0', '-l', "unix:$first");
    is_deeply([ $again->port_lines ], [], '-p 0 opens no port');
    serves($first, 'an old socket is replaced');
    is($again->stop($signal), 0, "$signal ends the server");
}
my $odd = "$dir/a:b";
$server = TestServer->start({ tls => 0 }, '-t', '1', '-p', '0', '-l', "unix:$odd:700", '-l', "unix:" . fresh());
serves($odd, 'a colon in the path');
serves("$dir/s$count", 'a second -l');
my $long = "$dir/" . 'x' x (107 - 1 - length $dir);
serves($long, 'a path of 107 bytes') if TestServer->start({ tls => 0 }, '-t', '1', '-p', '0', '-l', "unix:$long");

TestServer::write_file("$dir/regular", 'kept');
for my $row (
    [ "unix:$dir/regular", qr{^failed to listen on UNIX socket: \Q$dir\E/regular: $IN_USE$}m ],
    [ "unix:$dir/no/such/place", qr{^failed to listen on UNIX socket: \Q$dir\E/no/such/place: No such file or directory$}m ],
    [ "unix:${long}x", qr{^failed to listen on UNIX socket: \Q$long\Ex: $TOO_LONG$}m ],
    [ "unix:$first,unix:$first:777", qr{^failed to listen on UNIX socket: \Q$first\E: $IN_USE$}m ],
    [ 'unix:s', qr{^Path of a UNIX socket must begin with /: "s"$}m ],
    [ "unix:$dir/s:rw", qr{^Invalid mask of UNIX socket \Q$dir\E/s: "rw"$}m ],
    [ "unix:$dir/s:", qr{^Invalid mask of UNIX socket \Q$dir\E/s: ""$}m ],
    [ "tag[]:unix:$dir/s", qr{^Listener tags must be between 1 and 8 characters: ""$}m ],
) {
    my ($piece, $line) = @$row;
    for my $list ($piece, "127.0.0.1:-1,$piece") {
        my $run = TestServer->run('-t', '1', '-p', '-1', '-l', $list);
        is($run->{status}, 71, "-l $list ends with 71");
        like($run->{stderr}, $line, 'names the item');
        like($run->{stderr}, qr/^failed to listen on one of interface\(s\) \Q$list\E: /m, 'and the list');
    }
}
is(TestServer::slurp("$dir/regular"), 'kept', 'a regular file stays');
my $run = TestServer->run('-t', '1', '-p', '-1', '-l', "unix:$dir/never", '-s', "$dir/no/such/place");
like($run->{stderr}, qr{^failed to listen on UNIX socket: \Q$dir\E/no/such/place: }m, 'with -s there is nothing else');
ok(!-e "$dir/never", 'the list is not looked at');

# whose it is
SKIP: {
    skip 'only root becomes somebody else', 3 unless $> == 0 && getpwnam 'nobody';
    mkdir "$dir/of-nobody";
    # The port file is its own, too.
    chmod 0777, $dir;
    chown +(getpwnam 'nobody')[2, 3], "$dir/of-nobody";
    my $path = "$dir/of-nobody/socket";
    my $other = TestServer->start({ tls => 0, user => undef }, '-u', 'nobody', '-t', '1', '-p', '0', '-l', "unix:$path:707");
    is((stat $path)[4], (getpwnam 'nobody')[2], 'it belongs to the user of -u');
    is(mode_of($path), '707', 'with the mode asked for');
    serves($path, 'and serves');
}

# protocols and logins
my ($text, $either) = (fresh(), fresh());
$server = TestServer->start({ tls => 0 }, '-t', '1', '-p', '0', '-l', "proto[ascii]:unix:$text,unix:$either");
my $noop = pack 'CCnCCnNNNN', 0x80, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0;
$c = come($either);
$c->send($noop);
is(unpack('C', $c->bytes(24) // ''), 0x81, 'without proto[] both protocols are spoken');
$c = come($text);
$c->send($noop);
isnt(unpack('C', $c->bytes(1, 1) // '') // 0, 0x81, 'proto[ascii] speaks text');
TestServer::write_file("$dir/users", "foo:bar\n");
my $login = fresh();
$server = TestServer->start({ tls => 0 }, '-t', '1', '-l', "127.0.0.1,unix:$login", '-Y', "$dir/users");
$c = come($login);
is($c->ask('get kkkkkkkk'), 'CLIENT_ERROR unauthenticated', 'with -Y a Unix socket demands a login, too');
is(come($login)->log_in('foo', 'bar'), 'STORED', 'and takes one');

# UDP has nothing to do with it
my $beside = fresh();
$server = TestServer->start({ tls => 0 }, '-t', '2', '-U', '-1', '-l', "unix:$beside,127.0.0.1");
is_deeply([ map { s/: \d+$//r } $server->port_lines ], [ 'TCP INET', 'UDP INET' ], 'one UDP socket, for the address');
$server->udp_client->answers("mn\r\n", ["MN\r\n"], 'which serves');
serves($beside, 'and so does the Unix socket');

# too many clients: told in the clear
SKIP: {
    skip 'valgrind has descriptors of its own', 1 if $ENV{VALGRIND_TEST};
    my $few = fresh();
    my $full = TestServer->start({ tls => 0 }, '-t', '1', '-c', '30', '-p', '0', '-l', "unix:$few");
    my @held;
    while (@held < 30) {
        my $client = come($few);
        $client->send("mn\r\n");
        last if ($client->line // '') ne 'MN';
        push @held, $client;
    }
    is(come($few)->rest, "ERROR Too many open connections\r\n", 'a client too many is told');
}

# under -Z
SKIP: {
    skip 'no TLS here', 1 unless TestServer::has_feature('tls') && TestClient::tls_available();
    my ($plain, $marked) = (fresh(), fresh());
    my $secure = TestServer->start({ tls => 1 }, '-t', '1', '-l', "127.0.0.1,unix:$plain,notls:unix:$marked");
    is($secure->outcome(tls => 1), 'served', 'with -Z the port is secured');
    is($secure->outcome(tls => 0), 'refused', 'and nothing else');
    serves($_, 'a Unix socket is not') for $plain, $marked;
    is(come($plain)->ask('refresh_certs'), 'OK', 'refresh_certs comes by it, too');
    for my $class (qw(btls mtls)) {
        my $run = TestServer->run(TestServer::tls_arguments(), '-t', '1', '-p', '-1', '-l', "$class:unix:$dir/s");
        is($run->{status}, 71, "$class before a Unix socket ends with 71");
        like($run->{stderr}, qr{^'$class' is not for UNIX sockets, which are never encrypted: \Q$dir\E/s$}m, 'and is told');
    }
}

done_testing;
