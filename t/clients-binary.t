#!/usr/bin/perl
# Goal: clients that speak the binary protocol work against the server: libmemcached's tools and its test of servers, and
# the Python libraries pylibmc and python-binary-memcached, the latter over TLS, too.
# Method: each that is installed. With CLIENT_TESTS=1 in the environment python-binary-memcached is installed by pip, once,
# into a virtual environment in the build directory.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestPython;
use TestServer;

my $dir = TestServer::scratch();
my $server = TestServer->start({ tls => 0 }, '-t', '2');
my $c = $server->client;

# Runs a tool of libmemcached; its output, and whether it ended with 0.
sub runs {
    my ($name, @args) = @_;
    my @command = (TestServer::program($name), '--binary', '--servers=127.0.0.1:' . $server->port, @args);
    my $output = qx(@{[ join ' ', map { "'$_'" } @command ]} 2>'$dir/stderr');
    return ($output, $? == 0);
}

sub file { my ($name, $content) = @_; open my $file, '>:raw', "$dir/$name" or die $!; print $file $content; close $file; return "$dir/$name" }

SKIP: {
    skip "libmemcached's tools are not installed", 1 unless TestServer::program('memccp') && TestServer::program('memccat') && TestServer::program('memcexist') && TestServer::program('memcrm');
    my %content = (small => "hello\n", empty => '', binary => join('', map { chr } 0 .. 255), large => join(',', 1 .. 120_000));
    for my $name (sort keys %content) {
        my $path = file($name, $content{$name});
        my (undef, $good) = runs('memccp', $path);
        ok($good, "memccp of a file: $name");
        is($c->get($name) // '(absent)', $content{$name}, 'text reads it');
        my ($output) = runs('memccat', $name);
        ok(index($output, $content{$name}) == 0, "memccat: $name");
    }
    my (undef, $good) = runs('memccp', '--flags=5', '--expire=1000', "$dir/small");
    ok($good, 'memccp with flags and expiry');
    like($c->ask('mg small f t'), qr/^HD f5 t${\ TestServer::left(1000)}$/, 'they arrive');
    (undef, $good) = runs('memccp', '--add', "$dir/small");
    ok(!$good, 'memccp --add of what is there');
    (undef, $good) = runs('memcexist', 'small');
    ok($good, 'memcexist of a key');
    (undef, $good) = runs('memctouch', '--expire=500', 'small');
    ok($good, 'memctouch');
    like($c->ask('mg small t'), qr/^HD t${\ TestServer::left(500)}$/, 'sets the expiry');
    (undef, $good) = runs('memcrm', 'small');
    ok($good, 'memcrm');
    is($c->get('small'), undef, 'removes it');
    for my $group ('', qw(settings items slabs)) {
        my ($output, $well) = runs('memcstat', $group eq '' ? () : "--args=$group");
        ok($well && $output =~ /\d/, "memcstat $group");
    }
    for my $test (qw(set get mget)) {
        my (undef, $well) = runs('memcslap', "--test=$test", '--concurrency=4', '--execute-number=500', '--initial-load=500');
        ok($well, "memcslap --test=$test") or diag(TestServer::slurp("$dir/stderr"));
    }
    (undef, $good) = runs('memcflush');
    ok($good, 'memcflush');
    is($c->get('binary'), undef, 'flushes');
}
SKIP: {
    skip 'memccapable is not installed', 2 unless TestServer::program('memccapable');
    my $output = qx('${\ TestServer::program('memccapable')}' -h 127.0.0.1 -p ${\ $server->port} 2>&1);
    my @binary = $output =~ /^binary \w+ /mg;
    cmp_ok(scalar @binary, '>', 25, 'memccapable tries binary commands');
    my @failed = $output =~ /^(\w+ .+?) +\[FAIL\]$/mg;
    # It deletes with a time, which no server takes any more.
    is_deeply(\@failed, TestServer::is_old() ? \@failed : [ 'ascii delete', 'ascii delete noreply' ], 'and finds nothing wrong but one thing in text');
}

sub check {
    my ($name, $python, $library, $with, @more) = @_;
    TestPython::check($name, sub { $_[0] > 25 }, $python, 'binary_clients_check.py', $library, $with->port, @more);
}

for my $case ([ pylibmc => 'pylibmc' ], [ bmemcached => 'python-binary-memcached', 'python-binary-memcached' ]) {
    my ($library, $name, $package) = @$case;
    SKIP: {
        my $python = TestPython::with($library, $package);
        skip "$name is not installed", 1 unless $python;
        check($name, $python, $library, $server);
        next if $library ne 'bmemcached' || !TestServer::has_feature('tls') || TestServer::is_old();
        require TestCerts;
        my $certs = TestCerts::ensure();
        check("$name over TLS", $python, $library, TestServer->start({ tls => 1 }), "$certs/ca.crt");
    }
}
ok($server->wait_stat('curr_connections', 2), 'no connection is left behind');

done_testing;
