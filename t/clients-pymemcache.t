#!/usr/bin/perl
# Goal: the Python client pymemcache works against the server, plain and by its tls_context.
# Method: t/lib/pymemcache_check.py, with the python3 that has the library. With CLIENT_TESTS=1 in the
# environment the library is installed by pip, once, into a virtual environment in the build directory.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestPython;
use TestServer;

my $python = TestPython::with('pymemcache', 'pymemcache');
my $missing = $ENV{CLIENT_TESTS} ? 'pip cannot install pymemcache: is there a package registry?' : 'pymemcache is not installed (CLIENT_TESTS=1 lets pip fetch it)';
plan skip_all => $missing unless $python;

sub check { my ($name, $server, @more) = @_; return TestPython::check($name, sub { $_[0] > 25 }, $python, 'pymemcache_check.py', $server->port, @more) }

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
