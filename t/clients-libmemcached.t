#!/usr/bin/perl
# Goal: the command line tools of libmemcached work against the server.
# Method: each tool that is installed: copy files in and out, look, touch, remove, count, load. They
# speak plain text over TCP, so the server does, too. Two of them can store over UDP (they ask for no answer, and none
# of them reads over it).

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

plan skip_all => "libmemcached's tools are not installed" unless TestServer::program('memccp') && TestServer::program('memccat');

my $server = TestServer->start({ tls => 0 }, '-t', '2');
my $where = '--servers=127.0.0.1:' . $server->port;
my $dir = TestServer::scratch();
my $c = $server->client;

# Runs a tool; its output, and whether it ended with 0.
sub runs {
    my ($name, @args) = @_;
    my $output = qx(@{[ join ' ', map { "'$_'" } TestServer::program($name), $where, @args ]} 2>'$dir/stderr');
    return ($output, $? == 0);
}

sub file { my ($name, $content) = @_; open my $file, '>:raw', "$dir/$name" or die $!; print $file $content; close $file; return "$dir/$name" }

my %content = (small => "hello\n", empty => '', binary => join('', map { chr } 0 .. 255), large => join(',', 1 .. 120_000));
for my $name (sort keys %content) {
    my $path = file($name, $content{$name});
    my (undef, $good) = runs('memccp', $path);
    ok($good, "memccp of a file: $name");
    is($c->get($name) // '(absent)', $content{$name}, 'stores it under its name') if $name ne 'large';
    my ($output) = runs('memccat', $name);
    ok(index($output, $content{$name}) == 0, "memccat: $name");
}
{
    my (undef, $good) = runs('memccp', '--set', "$dir/small", "$dir/binary");
    ok($good, 'memccp of two files');
    (undef, $good) = runs('memccp', '--replace', "$dir/small");
    ok($good, 'memccp --replace');
    (undef, $good) = runs('memccp', '--add', "$dir/small");
    ok(!$good, 'memccp --add of what is there');
    (undef, $good) = runs('memccp', '--flags=5', '--expire=1000', "$dir/small");
    ok($good, 'memccp with flags and expiry');
    like($c->ask('mg small f t'), qr/^HD f5 t${\ TestServer::left(1000)}$/, 'they arrive');
    (undef, $good) = runs('memccat', 'no-such-key');
    ok(!$good, 'memccat of nothing');
}
SKIP: {
    skip 'no memcstat', 4 unless TestServer::program('memcstat');
    my ($output, $good) = runs('memcstat');
    ok($good, 'memcstat');
    my $stats = $server->stats;
    like($output, qr/\bcurr_items: $stats->{curr_items}\b/, 'shows what stats show');
    for my $group (qw(settings items slabs)) {
        ($output, $good) = runs('memcstat', "--args=$group");
        ok($good, "memcstat of $group");
    }
    like($output, qr/active_slabs/, 'shows the list');
}
SKIP: {
    skip 'no memcexist, memctouch, memcrm', 6 unless TestServer::program('memcexist') && TestServer::program('memctouch') && TestServer::program('memcrm');
    my (undef, $good) = runs('memcexist', 'small');
    ok($good, 'memcexist of a key');
    (undef, $good) = runs('memctouch', '--expire=500', 'small');
    ok($good, 'memctouch');
    like($c->ask('mg small t'), qr/^HD t${\ TestServer::left(500)}$/, 'sets the expiry');
    (undef, $good) = runs('memcrm', 'small');
    ok($good, 'memcrm');
    is($c->get('small'), undef, 'removes it');
    (undef, $good) = runs('memcexist', 'small');
    ok(!$good, 'memcexist of nothing');
}
SKIP: {
    skip 'no memcping', 1 unless TestServer::program('memcping');
    my (undef, $good) = runs('memcping');
    ok($good, 'memcping');
}
SKIP: {
    skip 'no memcslap', 4 unless TestServer::program('memcslap');
    for my $test (qw(set get mget)) {
        my ($output, $good) = runs('memcslap', "--test=$test", '--concurrency=4', '--execute-number=500', '--initial-load=500');
        ok($good, "memcslap --test=$test") or diag(TestServer::slurp("$dir/stderr"));
    }
    for my $option (qw(--noreply --non-blocking)) {
        my (undef, $good) = runs('memcslap', '--test=set', '--concurrency=2', '--execute-number=500', $option);
        ok($good, "memcslap $option");
    }
    cmp_ok($server->stat('cmd_set'), '>', 1000, 'the load arrived');
}
SKIP: {
    skip 'no memcflush', 1 unless TestServer::program('memcflush');
    my (undef, $good) = runs('memcflush');
    ok($good, 'memcflush');
    is($c->get('binary'), undef, 'flushes');
}
ok($server->wait_stat('curr_connections', 2), 'no connection is left behind');

my $udp = TestServer->start({ tls => 0 }, '-t', '2', '-l', '127.0.0.1', '-U', '-1', '-p', '0');
$where = '--servers=127.0.0.1:' . $udp->udp_port;
for my $name (qw(small binary)) {
    my (undef, $good) = runs('memccp', '--udp', "$dir/$name");
    ok($good, "memccp --udp of a file: $name");
    my $client = $udp->udp_client;
    my $hit = sub { $client->ask("get $name\r\n") =~ /\AVALUE $name 0 \d+\r\n\Q$content{$name}\E\r\nEND\r\n\z/ };
    ok(TestServer::wait_until($hit), 'stores it');
}
SKIP: {
    skip 'no memcslap', 2 unless TestServer::program('memcslap');
    my (undef, $good) = runs('memcslap', '--udp', '--test=set', '--concurrency=2', '--execute-number=500');
    ok($good, 'memcslap --udp --test=set') or diag(TestServer::slurp("$dir/stderr"));
    # A part of it: most is cut in the wrong place, and with so much under way the question may be lost, too.
    my $client = $udp->udp_client;
    my $stored = sub {
        $client->send(1, "stats\r\n");
        return ($client->message(1, 0.5) // '') =~ /^STAT cmd_set (\d+)/m && $1 > 2;
    };
    ok(TestServer::wait_until($stored), 'the load arrived');
}

done_testing;
