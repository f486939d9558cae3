#!/usr/bin/perl
# Goal: the steps of a start come in their order, so that of two things that are wrong the same one is always told.
# Method: command lines with two mistakes each; the order of lines at -vv; a start held at its certificates by a pipe.

use strict;
use warnings;
use Fcntl qw(O_WRONLY O_NONBLOCK);
use POSIX qw(mkfifo);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $FULL = TestServer::words('EMFILE');
TestServer::need_new('another order');
plan skip_all => 'valgrind has threads and descriptors of its own' if $ENV{VALGRIND_TEST};

my $dir = TestServer::scratch();
my $tls = TestServer::has_feature('tls');
my @bad_chain = ('-Z', '-o', 'ssl_chain_cert=/nonexistent/chain.pem');
my $chain_line = qr{^Error loading the certificate chain: /nonexistent/chain\.pem : };

# Ends with this status and this one line on stderr.
sub refuses {
    my ($options, $args, $status, $line, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run($options, @$args);
    my $fits = !$run->{running} && $run->{status} == $status && $run->{stderr} =~ $line && $run->{stderr} =~ tr/\n// == 1;
    ok($fits, $name) or diag($run->{running} ? 'it runs' : "status $run->{status}", "\nstderr: $run->{stderr}");
}

# A program that is the server under another user, without root's rights and with nothing to lock or to dump.
sub underdog {
    my ($binary) = @_;
    my $path = "$dir/underdog." . ($binary =~ s{.*/}{}r);
    return $path if -e $path;
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
    my $become = $> == 0 ? "perl -e '\$( = $gid; \$) = \"$gid $gid\"; (\$<, \$>) = ($uid, $uid); exec \@ARGV or exit 126'" : '';
    chmod 0755, $dir;
    open my $file, '>', $path or die "$path: $!";
    print $file "#!/bin/sh\nulimit -c 0\nulimit -l 0\nexec $become '$binary' \"\$\@\"\n";
    close $file;
    chmod 0755, $path;
    my $run = TestServer->run({ bare => 1, binary => $path }, '-V');
    return $run->{status} == 0 ? $path : undef;
}

# the command line before its judgement, and both before certificates
refuses({}, [ '-I', '100', '-c', '0' ], 1, qr/^Maximum connections must be greater than 0$/, 'options, then what they mean together');
SKIP: {
    skip 'this server is built without TLS', 5 unless $tls;
    refuses({}, [ @bad_chain, '-c', '0' ], 1, qr/^Maximum connections must be/, 'options, then certificates');
    refuses({}, [ @bad_chain, '-I', '100' ], 64, qr/^Item max size cannot be less/, 'their judgement, then certificates');
    refuses({}, [ @bad_chain, '-p', '0' ], 64, qr/^ERROR: You cannot enable SSL without a TCP port\.$/, 'the last of it, then certificates');
    refuses({ user => undef }, [ @bad_chain, '-u', 'no-such-user' ], 64, $chain_line, 'certificates, then the user');
    refuses({}, [ @bad_chain, '-d' ], 64, $chain_line, 'certificates, then the background');
}

# core files, open files, the user
my $production = TestServer::production_path();
SKIP: {
    skip 'there is no production server here', 2 unless $production;
    my $too_many = qr/^failed to set rlimit for open files\. Try starting as root or requesting smaller maxconns value\.$/;
    my %options = (binary => $production, user => undef);
    refuses(\%options, [ '-c', '2000000000', '-u', 'no-such-user' ], 71, $too_many, 'open files, then the user');
    skip 'this server is built without TLS', 1 unless $tls;
    refuses(\%options, [ @bad_chain, '-c', '2000000000' ], 64, $chain_line, 'certificates, then open files');
}
SKIP: {
    my $path = $production && underdog($production) or skip 'no production server, or nobody may not run it', 2;
    refuses({ bare => 1, binary => $path }, [ '-r', '-c', '2000000000' ], 71, qr/^failed to ensure corefile creation$/, 'core files, then open files');
    refuses({ bare => 1, binary => $path }, [ '-c', '2000000000', '-u', 'no-such-user' ], 71, qr/^failed to set rlimit/, 'who is not root may not raise limits');
}
SKIP: {
    skip 'not root', 2 unless $> == 0;
    refuses({ user => undef }, [ '-d', '-u', 'no-such-user' ], 67, qr/^can't find the user no-such-user to switch to$/, 'the user, then the background');
    refuses({ user => undef }, [ '-d', '-v' ], 64, qr/^must add '-u root' to start as root$/, 'no user, then the background');
}

# memory, classes, listeners, pid file: by their lines
SKIP: {
    my $path = underdog(TestServer::server_path()) or skip 'nobody may not run the server', 1;
    my $open = "$dir/open";
    mkdir $open;
    chmod 0777, $open;
    my $ports = "$open/ports";
    my $server = TestServer->start({ binary => $path, tls => 0, ready => 0, env => { MEMCACHED_PORT_FILENAME => $ports } },
        '-vv', '-k', '-t', '1', '-P', '/nonexistent/dir/pid');
    ok($server->wait_stderr(qr/^Could not open the pid file/m), 'the last step is reached');
    my @steps = map { /^(warning: -k|slab class   1|<\d+ server listening|Could not open the pid file)/ ? $1 =~ s/\d+ //r : () }
        split /\n/, $server->stderr_text;
    is_deeply(\@steps, [ 'warning: -k', 'slab class   1', '<server listening', 'Could not open the pid file' ],
        'memory is locked, classes made, sockets opened, the pid written');
    is($server->stop, 0, 'the server ends');
}

# descriptors: each thing that is missing one says so
my @some = ({ tls => 0 }, '-l', '127.0.0.1', '-p', '-1');
# Where a base is the first to be missing some, libevent says so itself.
my @short = map { TestServer->run(@some, '-t', '4', '-c', $_) } 1 .. 12;
is(scalar(grep { $_->{status} == 1 } @short), 12, '-t 4 does not start with so few');
is(scalar(grep { $_->{stderr} =~ /^(?:Can't create notify event|Can't start a thread|\[err\] .*): $FULL$/m } @short), 12, 'and says what it wants');
my $run = TestServer->run(@some, '-t', '4', '-c', 23);
is($run->{status}, 71, '-t 4 -c 23 does not start');
like($run->{stderr}, qr/^server_socket: $FULL$/m, 'and says what it wants');

# room for clients is looked at when the sockets are open, and before the pid is written
my $ports = "$dir/ports";
$run = TestServer->run({ tls => 0, env => { MEMCACHED_PORT_FILENAME => $ports } }, '-l', '127.0.0.1', '-p', '-1', '-t', '10', '-c', '52',
    '-P', "$dir/pid");
is($run->{status}, 1, '-c without room for anybody');
is($run->{stderr}, "Maxconns setting is too low, use -c to increase.\n", 'is told');
like(TestServer::slurp($ports), qr/^TCP INET: \d+\n\z/, 'the port file was written before');
ok(!-e "$dir/pid", 'the pid file was not');
is(TestServer->start({ tls => 0 }, '-t', '10', '-c', '53')->stop, 0, 'one more, and it starts');

# signals are kept from before the certificates on; limits and user come after these
SKIP: {
    skip 'this server is built without TLS', 6 unless $tls;
    skip 'no /proc here', 6 unless -e "/proc/$$/limits";
    require TestCerts;
    my $certs = TestCerts::ensure();
    mkfifo("$dir/chain", 0600) or die "mkfifo: $!";
    my $server = TestServer->start({ tls => 1, ready => 0 }, '-v', '-c', '345', '-Z', '-o', "ssl_chain_cert=$dir/chain,ssl_key=$certs/server.key");
    my $pipe;
    ok(TestServer::wait_until(sub { sysopen $pipe, "$dir/chain", O_WRONLY | O_NONBLOCK }), 'the start reads certificates');
    my $proc = '/proc/' . $server->pid;
    my ($caught) = TestServer::slurp("$proc/status") =~ /^SigCgt:\s+([0-9a-f]+)$/m;
    my $handled = 0;
    $handled |= 1 << $_ - 1 for POSIX::SIGHUP(), POSIX::SIGINT(), POSIX::SIGUSR1(), POSIX::SIGTERM();
    is(hex($caught) & $handled, $handled, 'signals are handled by then');
    unlike(TestServer::slurp("$proc/limits"), qr/^Max open files +345 /m, 'open files are not limited yet');
    $server->signal('TERM');
    ok(!-e $server->{port_file}, 'no socket is open yet');
    print $pipe TestServer::slurp("$certs/server.crt");
    close $pipe;
    is($server->wait_exit, 0, 'a signal that came then ends the server once it runs');
    is($server->stderr_text, "Exiting normally\n", 'in order');
    ok(-e $server->{port_file}, 'after it has opened its socket');
}

done_testing;
