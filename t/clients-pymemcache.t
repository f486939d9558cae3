#!/usr/bin/perl
# Goal: the Python client pymemcache works against the server, plain and by its tls_context.
# Method: t/lib/pymemcache_check.py, with the python3 that has the library. With CLIENT_TESTS=1 in the
# environment the library is installed by pip, once, into a virtual environment in the build directory.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $python = find_python();
plan skip_all => 'pymemcache is not installed (CLIENT_TESTS=1 lets pip fetch it)' unless $python || $ENV{CLIENT_TESTS};
$python //= make_environment();
plan skip_all => 'pip cannot install pymemcache: is there a package registry?' unless $python;

sub has_library { my ($path) = @_; return system("'$path' -c 'import pymemcache' >/dev/null 2>&1") == 0 }

sub environment { return TestServer::build_dir() . '/t/venv' }

sub find_python {
    for my $path (environment() . '/bin/python3', 'python3') { return $path if has_library($path) }
    return undef;
}

sub make_environment {
    my $dir = environment();
    my $log = TestServer::scratch() . '/pip.log';
    if (system("{ python3 -m venv '$dir' && '$dir/bin/pip' install --quiet pymemcache; } >'$log' 2>&1") != 0) {
        diag(TestServer::slurp($log));
        return undef;
    }
    return "$dir/bin/python3";
}

sub check {
    my ($name, $server, @more) = @_;
    my $script = "$FindBin::Bin/lib/pymemcache_check.py";
    my $errors = TestServer::scratch() . '/python.stderr';
    open my $output, '-|', join(' ', map { "'$_'" } $python, $script, $server->port, @more) . " 2>'$errors'" or die "python: $!";
    my $claims = 0;
    while (my $line = <$output>) {
        chomp $line;
        $line =~ /^(not )?ok - (.*)$/ or next;
        ok(!$1, "$name: $2");
        $claims++;
    }
    ok(close($output) && $claims > 25, "$name: the script came to its end") or diag(TestServer::slurp($errors));
}

check('plain', TestServer->start({ tls => 0 }));
SKIP: {
    skip 'this server is built without TLS', 1 unless TestServer::has_feature('tls');
    skip 'before 1.6.45 TLS hangs on pipelined uploads', 1 if TestServer::is_old();
    require TestCerts;
    my $certs = TestCerts::ensure();
    check('TLS', TestServer->start({ tls => 1 }), "$certs/ca.crt");
    check('TLS 1.3 only', TestServer->start({ tls => 1 }, '-o', 'ssl_min_version=3'), "$certs/ca.crt");
}

done_testing;
