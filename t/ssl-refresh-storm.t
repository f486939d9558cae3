#!/usr/bin/perl
# Goal: hundreds of refreshes, by command, by SIGHUP and by themselves at the same time, lose no handshake of those
# that go on meanwhile and leave no memory behind.
# Method: processes that make full and resumed handshakes as fast as they can and check each, beside others that
# change the files and refresh; memory after as many refreshes as warmed the server up, and twice more.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use POSIX ();
use Time::HiRes qw(sleep time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it loads certificates in pieces');
use TestCerts;
use TestWire;

my $ROUNDS = $ENV{VALGRIND_TEST} ? 30 : 150;
my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my @RENEWED = qw(server renewed);

# Two certificates of one key, so that a refresh finds a good pair whichever it reads; the way from the one to the
# other is one rename.
TestCerts::openssl('req', '-new', '-key', "$certs/server.key", '-subj', '/CN=renewed.localhost', '-out', "$dir/renewed.csr");
TestCerts::openssl('x509', '-req', '-in', "$dir/renewed.csr", '-CA', "$certs/ca.crt", '-CAkey', "$certs/ca.key", '-set_serial', '99', '-days', '2', '-out', "$dir/renewed.crt");
TestCerts::write_file("$dir/server.crt", TestCerts::read_file("$certs/server.crt"));
sub install { my ($name) = @_; symlink "$name.crt", "$dir/next" or die "symlink: $!"; rename "$dir/next", "$dir/now.crt" or die "rename: $!" }
install('server');
my $server = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o',
    "ssl_chain_cert=$dir/now.crt,ssl_key=$certs/server.key,ssl_ca_cert=$certs/ca.crt,ssl_session_cache,ssl_refresh_interval=1",
    '-l', '127.0.0.1:-1,notls:127.0.0.1:-1,mtls:127.0.0.1:-1');
my ($port, $open, $mutual) = $server->ports;
my $admin = $server->{admin} = $server->client(port => $open, tls => 0);
my @own = (cert => "$certs/client.crt", key => "$certs/client.key");

# Handshakes until the file $dir/stop is there; exits with 0 if all of them were served. Says how many there were.
sub shake_hands {
    my ($number) = @_;
    my ($done, $lost, $last) = (0, 0);
    until (-e "$dir/stop") {
        my $version = ($done + $number) % 2 ? '1.3' : '1.2';
        my @as = $number % 2 ? ($mutual, @own) : ($port);
        my @resume = $last && $done % 3 == 0 ? (session => $last->session) : ();
        my $wire = TestWire->connect(@as, version => $version, $last && @resume && $last->{as} eq $version ? @resume : ());
        if ($wire && $wire->say("mn\r\n") && $wire->take(4) eq "MN\r\n") { $done++; $wire->{as} = $version; $last = $wire }
        else { $lost++ }
        last if $lost > 3;
    }
    TestCerts::write_file("$dir/shaken.$number", "$done $lost");
    POSIX::_exit($lost ? 1 : 0);
}

# Refreshes by command until the file $dir/stop is there; every reply must be OK.
sub refresh {
    my ($number) = @_;
    my $client = $server->client(port => $open, tls => 0);
    my ($done, $wrong) = (0, 0);
    until (-e "$dir/stop") { ($client->ask('refresh_certs') // '') eq 'OK' ? $done++ : $wrong++; sleep 0.005 }
    TestCerts::write_file("$dir/refreshed.$number", "$done $wrong");
    POSIX::_exit($wrong ? 1 : 0);
}

sub refreshes { return $server->stat('ssl_refreshes', 'ssl') }

# One storm of at least so many refreshes; memory behind it.
sub storm {
    my ($name, $most) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    unlink "$dir/stop";
    my $before = $server->stats('ssl');
    my %kids;
    for my $kind ([ 'handshakes', \&shake_hands, 4 ], [ 'refreshes', \&refresh, 2 ]) {
        my ($what, $action, $count) = @$kind;
        for my $number (1 .. $count) {
            my $pid = fork // die "fork: $!";
            if (!$pid) { $action->($number) }
            $kids{$pid} = $what;
        }
    }
    my $deadline = time + TestServer::patience(60);
    my $turn = 0;
    while (refreshes() - $before->{ssl_refreshes} < $most && time < $deadline) {
        install($RENEWED[ ++$turn % 2 ]);
        $server->signal('HUP');
        sleep 0.02;
    }
    TestCerts::write_file("$dir/stop", '');
    my %ended;
    while (%kids) {
        my $pid = waitpid -1, 0;
        last if $pid <= 0;
        my $what = delete $kids{$pid} or next;
        push @{ $ended{$what} }, $? >> 8;
    }
    is_deeply($ended{handshakes}, [ (0) x 4 ], "$name: no handshake is lost");
    is_deeply($ended{refreshes}, [ 0, 0 ], 'no refresh fails');
    my ($shaken) = map { my $sum = 0; $sum += (split ' ')[0] for @$_; $sum } [ map { TestServer::slurp($_) } glob "$dir/shaken.*" ];
    my $after = $server->stats('ssl');
    cmp_ok($after->{ssl_refreshes} - $before->{ssl_refreshes}, '>=', $most, 'hundreds of refreshes');
    is($after->{ssl_refresh_failures}, 0, 'none of any kind fails');
    cmp_ok($shaken, '>', $ROUNDS / 3, "beside $shaken handshakes");
    is($after->{ssl_handshake_errors}, 0, 'none of which fails');
    is($after->{ssl_handshakes_done} - $before->{ssl_handshakes_done}, $shaken, 'and all are counted');
    ok($server->wait_stat('curr_connections', sub { $_[0] <= 3 }), 'connections are let go');
    return $server->resident;
}

my $warm = storm('to warm up', $ROUNDS);
my $later = storm('once more', 2 * $ROUNDS);
SKIP: {
    skip 'no /proc, or valgrind', 1 if !$warm || $ENV{VALGRIND_TEST};
    cmp_ok($later - $warm, '<', 2500, 'twice as many refreshes leave no memory behind (KiB)');
}
is($server->client(tls => 1)->ask('mn'), 'MN', 'the server serves');

done_testing;
