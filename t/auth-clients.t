#!/usr/bin/perl
# Goal: real clients log in: emcache by the password file, pylibmc and python-binary-memcached by SASL; over TLS where they
# can.
# Method: each that is installed. With CLIENT_TESTS=1 in the environment emcache and python-binary-memcached are installed by
# pip, once, into a virtual environment in the build directory.

use strict;
use warnings;
use Sys::Hostname;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestPython;
use TestServer;

my $dir = TestServer::scratch();

sub check { my ($name, $python, @arguments) = @_; return TestPython::check($name, sub { $_[0] == 5 }, $python, 'auth_clients_check.py', @arguments) }

# Plain, and over TLS where the library can; `$start` makes a server.
sub check_both {
    my ($library, $name, $start, $user, $password, $package) = @_;
    SKIP: {
        my $python = TestPython::with($library, $package);
        skip "$name is not installed", 1 unless $python;
        check($name, $python, $library, $start->(0)->port, $user, $password);
        skip 'no TLS here', 1 if $library eq 'pylibmc' || !TestServer::has_feature('tls') || TestServer::is_old();
        require TestCerts;
        my $certs = TestCerts::ensure();
        check("$name over TLS", $python, $library, $start->(1)->port, $user, $password, "$certs/ca.crt");
    }
}

my $users = TestServer::write_file("$dir/users", "ann:a secret\n");
check_both('emcache', 'emcache', sub { TestServer->start({ tls => $_[0] }, '-Y', $users) }, 'ann', 'a secret', 'emcache');

SKIP: {
    skip 'this server is built without SASL', 1 unless TestServer::has_feature('sasl');
    my $maker = TestServer::program('saslpasswd2');
    skip 'saslpasswd2 is not installed (sasl2-bin)', 1 unless $maker;
    my $realm = hostname();
    open my $pipe, '|-', $maker, '-p', '-c', '-f', "$dir/sasldb2", '-u', $realm, 'ann' or die "$maker: $!";
    print $pipe 'secret';
    skip 'saslpasswd2 does not work here', 1 unless close $pipe;
    TestServer::write_file("$dir/memcached.conf", "sasldb_path: $dir/sasldb2\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: plain\n");
    my $start = sub { TestServer->start({ tls => $_[0], env => { SASL_CONF_PATH => $dir } }, '-S') };
    check_both('pylibmc', 'pylibmc', $start, 'ann', 'secret');
    check_both('bmemcached', 'python-binary-memcached', $start, 'ann', 'secret', 'python-binary-memcached');
}

done_testing;
