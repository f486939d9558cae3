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
use TestServer;

sub tool { my ($name) = @_; my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH}; return $path }

my $dir = TestServer::scratch();
my $server = TestServer->start({ tls => 0 }, '-t', '2');
my $c = $server->client;

# Runs a tool of libmemcached; its output, and whether it ended with 0.
sub runs {
    my ($name, @args) = @_;
    my @command = (tool($name), '--binary', '--servers=127.0.0.1:' . $server->port, @args);
    my $output = qx(@{[ join ' ', map { "'$_'" } @command ]} 2>'$dir/stderr');
    return ($output, $? == 0);
}

sub file { my ($name, $content) = @_; open my $file, '>:raw', "$dir/$name" or die $!; print $file $content; close $file; return "$dir/$name" }

SKIP: {
    skip "libmemcached's tools are not installed", 1 unless tool('memccp') && tool('memccat') && tool('memcexist') && tool('memcrm');
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
    skip 'memccapable is not installed', 2 unless tool('memccapable');
    my $output = qx('${\ tool('memccapable')}' -h 127.0.0.1 -p ${\ $server->port} 2>&1);
    my @binary = $output =~ /^binary \w+ /mg;
    cmp_ok(scalar @binary, '>', 25, 'memccapable tries binary commands');
    my @failed = $output =~ /^(\w+ .+?) +\[FAIL\]$/mg;
    # It deletes with a time, which no server takes any more.
    is_deeply(\@failed, TestServer::is_old() ? \@failed : [ 'ascii delete', 'ascii delete noreply' ], 'and finds nothing wrong but one thing in text');
}

sub has_library { my ($python, $library) = @_; return system("'$python' -c 'import $library' >/dev/null 2>&1") == 0 }

# A Python that has the library; `$package` names it for pip.
sub python_with {
    my ($library, $package) = @_;
    my $own = TestServer::build_dir() . '/t/venv-binary';
    for my $path ("$own/bin/python3", 'python3', '/usr/bin/python3') { return $path if has_library($path, $library) }
    return undef unless $package && $ENV{CLIENT_TESTS};
    return "$own/bin/python3" if system("{ python3 -m venv '$own' && '$own/bin/pip' install --quiet '$package'; } >'$dir/pip.log' 2>&1") == 0;
    diag(TestServer::slurp("$dir/pip.log"));
    return undef;
}

sub check {
    my ($name, $python, $library, $with, @more) = @_;
    my @command = ($python, "$FindBin::Bin/lib/binary_clients_check.py", $library, $with->port, @more);
    open my $output, '-|', join(' ', map { "'$_'" } @command) . " 2>'$dir/python.stderr'" or die "python: $!";
    my $claims = 0;
    while (my $line = <$output>) {
        chomp $line;
        $line =~ /^(not )?ok - (.*)$/ or next;
        ok(!$1, "$name: $2");
        $claims++;
    }
    ok(close($output) && $claims > 25, "$name: the script came to its end") or diag(TestServer::slurp("$dir/python.stderr"));
}

for my $case ([ pylibmc => 'pylibmc' ], [ bmemcached => 'python-binary-memcached', 'python-binary-memcached' ]) {
    my ($library, $name, $package) = @$case;
    SKIP: {
        my $python = python_with($library, $package);
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
