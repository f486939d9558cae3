#!/usr/bin/perl
# Goal: the exit status tells an init system what has happened: 0 an orderly end, 1 a failure, 64 a wrong command line, 67 an
# unknown user, 71 the system refuses something, and the signal where one has killed the server.
# Method: one server, or command line that must end by itself, for each way out; what is said on it.

use strict;
use warnings;
use POSIX ();
use Socket qw(:all);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $IN_USE = TestServer::words('EADDRINUSE');
TestServer::need_new('other texts');
my $dir = TestServer::scratch();

# Ends with this status and these words, among others.
sub ends {
    my ($status, $words, $options, @args) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run($options, @args);
    my $how = $run->{running} ? 'it runs' : $run->{signal} ? "signal $run->{signal}" : $run->{status};
    is($how, $status, "@args: $status");
    like($run->{stderr}, $words, 'and a word about it');
}

# 0
for my $option (qw(-h -V -i)) { is(TestServer->run({ bare => 1 }, $option)->{status}, 0, "$option: 0") }
for my $end (qw(TERM INT USR1), 'shutdown', 'shutdown graceful') {
    my $server = TestServer->start('-t', '1', '-A', '-v');
    if ($end =~ /^shutdown/) { $server->client->send("$end\r\n") } else { $server->signal($end) }
    is($server->wait_exit, 0, "$end: 0");
    like($server->stderr_text, $end =~ /USR1|graceful/ ? qr/^Gracefully stopping$/m : qr/^Exiting normally$/m, 'and says so at -v');
}

# 1: options one by one, memory, what cannot be put into the background
ends(1, qr/^Illegal argument "\?"$/m, {}, '--nosuch');
ends(1, qr/^Illegal suboption "nosuch"$/m, {}, '-o', 'nosuch');
ends(1, qr/^Factor must be greater than 1$/m, {}, '-f', '1');
ends(1, qr/^Maxconns setting is too low, use -c to increase\.$/m, { tls => 0 }, '-l', '127.0.0.1', '-p', '-1', '-t', '10', '-c', '52')
    unless $ENV{VALGRIND_TEST};

# 64: options together
ends(64, qr/^Item max size cannot be less than 1024 bytes\.$/m, {}, '-I', '100');
ends(64, qr/^ERROR: Invalid port number 70000\.$/m, {}, '-p', '70000');
ends(64, qr/^Error loading the certificate chain: /m, {}, '-Z', '-o', "ssl_chain_cert=$dir/none,ssl_key=$dir/none") if TestServer::has_feature('tls');
ends(64, qr/^must add '-u root' to start as root$/m, { user => undef }, '-p', '0') if $> == 0;

# 67, and 71 where the rights to become somebody are missing
ends(67, qr/^can't find the user no-such-user to switch to$/m, { user => undef }, '-u', 'no-such-user', '-p', '0') if $> == 0;
SKIP: {
    my $setpriv = TestServer::program('setpriv');
    skip 'needs root, setpriv and nobody', 2 unless $> == 0 && $setpriv && getpwnam 'nobody';
    my $fenced = TestServer::write_file("$dir/fenced", "#!/bin/sh\nexec $setpriv --bounding-set -setgid,-setuid --inh-caps -all '${\ TestServer::server_path()}' \"\$\@\"\n");
    chmod 0755, $fenced;
    skip 'setpriv may not take capabilities away', 2 if TestServer->run({ bare => 1, binary => $fenced }, '-V')->{status};
    ends(71, qr/^failed to drop supplementary groups: Operation not permitted\nfailed to assume identity of user nobody$/m, { bare => 1, binary => $fenced }, '-u', 'nobody', '-p', '0');
}

# 71: sockets
socket(my $taken, AF_INET, SOCK_STREAM, 0) or die "socket: $!";
bind($taken, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) && listen($taken, 1) or die "listen: $!";
my ($port) = unpack_sockaddr_in(getsockname $taken);
ends(71, qr/^failed to listen on one of interface\(s\) 127\.0\.0\.1: $IN_USE$/m, {}, '-l', '127.0.0.1', '-p', $port);
if (TestServer::has_feature('unix')) {
    TestServer::write_file("$dir/file", '');
    ends(71, qr/^failed to listen on UNIX socket: \Q$dir\E\/file: $IN_USE$/m, {}, '-s', "$dir/file");
}

# signals that nobody handles
for my $signal (qw(QUIT ALRM USR2)) {
    my $server = TestServer->start('-t', '1');
    is($server->stop($signal), 'signal ' . POSIX->can("SIG$signal")->(), "SIG$signal kills");
}
my $server = TestServer->start('-t', '1');
for my $signal (qw(HUP PIPE HUP)) {
    $server->signal($signal);
    is($server->client->ask('mn'), 'MN', "SIG$signal does not end the server");
}

done_testing;
