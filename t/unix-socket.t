#!/usr/bin/perl
# Goal: a server on a Unix socket serves there and nowhere else, with the mode asked for.
# Method: modes of the file, old files in the way, addresses in `stats conns`.

use strict;
use warnings;
use IO::Socket::UNIX;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_feature('unix');
my $dir = TestServer::scratch();

my $server = TestServer->start({ unix => 1 }, '-t', '1');
my $c = $server->client;
$c->answers([ 'set k 0 0 1', 'v', 'get k' ], [ 'STORED', 'VALUE k 0 1', 'v', 'END' ], 'it serves');
is((stat $server->path)[2] & 0777, 0700, 'the mode is 700');
my $settings = $server->settings;
is($settings->{domain_socket}, $server->path, 'domain_socket shows the path');
is($settings->{umask}, '700', 'umask shows the mode');
is($settings->{tcpport}, 11211, 'tcpport shows the default');
my $large = 'x' x 1_000_000;
$c->set('large', $large);
ok($c->get('large') eq $large, 'a large value');
my %conns = %{ $server->stats('conns') };
my ($listener) = grep { $conns{$_} eq 'conn_listening' } keys %conns;
$listener =~ s/:state//;
is($conns{"$listener:addr"}, 'unix:' . $server->path, 'stats conns shows the socket') unless TestServer::is_old();
is(scalar(grep { /listen_addr$/ && $conns{$_} eq 'unix:' . $server->path } keys %conns), 2, 'and its clients, which came by it');

for my $row ([ '777', 0777 ], [ '660', 0660 ], [ '0600', 0600 ], [ '1777', 0777 ], [ 'x', 0 ]) {
    my ($mask, $mode) = @$row;
    next if TestServer::is_old() && $mask =~ /1777|x/;
    my $path = "$dir/mode.$mask";
    my $other = TestServer->start({ ready => 0 }, '-t', '1', '-a', $mask, '-s', $path);
    ok(TestServer::wait_until(sub { -S $path }), "-a $mask");
    is((stat $path)[2] & 0777, $mode, 'sets the mode');
    if ($mask eq '1777') {
        $other->wait_ready;
        is($other->settings->{umask}, '1777', 'the settings show what was asked for');
    }
    $other->kill_now;
}

# files in the way
my $path = "$dir/stale";
{ my $dead = IO::Socket::UNIX->new(Local => $path, Listen => 1); }
ok(-S $path, 'a socket that nobody listens on');
my $second = TestServer->start('-t', '1', '-s', $path);
is($second->client->ask('mn'), 'MN', 'is replaced');
is($second->stop, 0, 'the server stops');
ok(-S $path, 'and leaves its socket');

open my $file, '>', "$dir/regular" or die $!;
close $file;
for my $blocked ("$dir/regular", "$dir/no/such/dir/socket") {
    my $run = TestServer->run('-t', '1', '-s', $blocked);
    is($run->{status}, 71, "$blocked ends with 71");
    like($run->{stderr}, qr/failed to listen on UNIX socket: \Q$blocked\E: /, 'and is named');
}
ok(-f "$dir/regular", 'a regular file stays');
unless (TestServer::is_old()) {
    my $run = TestServer->run('-t', '1', '-s', '/tmp/' . 'x' x 108);
    is($run->{status}, 71, 'a path that is too long ends with 71');
}

# TCP options are ignored beside it
my $alone = TestServer->start({ env => { MEMCACHED_PORT_FILENAME => "$dir/ports" } }, '-t', '1', '-s', "$dir/alone", '-p', '-1', '-l', '127.0.0.1');
is($alone->client->ask('mn'), 'MN', 'beside -p and -l the socket serves');
ok(!-e "$dir/ports", 'the port file is not touched');
ok($alone->wait_stat('curr_connections', 1), 'there is one listener');

done_testing;
