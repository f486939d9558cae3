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
use TestServer;

my $dir = TestServer::scratch();

sub has_library { my ($python, $library) = @_; return system("'$python' -c 'import $library' >/dev/null 2>&1") == 0 }

# A Python that has the library; `$package` names it for pip.
sub python_with {
    my ($library, $package) = @_;
    my $own = TestServer::build_dir() . '/t/venv-auth';
    for my $path ("$own/bin/python3", 'python3', '/usr/bin/python3') { return $path if has_library($path, $library) }
    return undef unless $package && $ENV{CLIENT_TESTS};
    return "$own/bin/python3" if system("{ python3 -m venv '$own' && '$own/bin/pip' install --quiet '$package'; } >'$dir/pip.log' 2>&1") == 0;
    diag(TestServer::slurp("$dir/pip.log"));
    return undef;
}

sub check {
    my ($name, $python, $library, @arguments) = @_;
    my @command = ($python, "$FindBin::Bin/lib/auth_clients_check.py", $library, @arguments);
    open my $output, '-|', join(' ', map { "'$_'" } @command) . " 2>'$dir/python.stderr'" or die "python: $!";
    my $claims = 0;
    while (my $line = <$output>) {
        chomp $line;
        $line =~ /^(not )?ok - (.*)$/ or next;
        ok(!$1, "$name: $2");
        $claims++;
    }
    ok(close($output) && $claims == 5, "$name: the script came to its end") or diag(TestServer::slurp("$dir/python.stderr"));
}

# Plain, and over TLS where the library can; `$start` makes a server.
sub check_both {
    my ($library, $name, $start, $user, $password, $package) = @_;
    SKIP: {
        my $python = python_with($library, $package);
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
    my ($maker) = grep { -x } map { "$_/saslpasswd2" } split(/:/, $ENV{PATH}), '/usr/sbin';
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
