#!/usr/bin/perl
# Goal: what doc/fleet.md promises those who have several servers: clients of different libraries, and nutcracker, put a key on
# the same server; while a server is lost, comes back, all are restarted or change their certificates, clients see misses and
# nothing else.
# Method: three servers with TLS and plain ports; pymemcache with uhashring's ring over TLS, pylibmc and nutcracker, as far as they
# are installed, all asking and storing while it happens (t/lib/fleet_client.py). With CLIENT_TESTS=1 in the environment
# pymemcache and uhashring are installed by pip, once, into a virtual environment in the build directory.

use strict;
use warnings;
use File::Copy qw(copy);
use IPC::Open2 qw(open2);
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestPython;
use TestServer;

TestServer::need_feature('tls');
TestServer::need_new('before 1.6.45 TLS hangs on pipelined uploads');
use TestCerts;

my $with_pymemcache = TestPython::with('pymemcache, uhashring', 'pymemcache', 'uhashring');
my $with_pylibmc = TestPython::with('pylibmc');
my $nutcracker = TestServer::program('nutcracker');
my $missing = join ', ', $with_pymemcache ? () : 'pymemcache with uhashring (CLIENT_TESTS=1 lets pip fetch them)', $with_pylibmc ? () : 'pylibmc';
plan skip_all => "not installed: $missing" if $missing;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
my $KEYS = 200;

# ---------------------------------------------------------------------------------------------------
# Servers

# Ports from below those that the kernel gives to clients, since a port must be free when its server comes back.
sub free_port {
    for (1 .. 1_000) {
        my $port = 20_000 + int rand 12_000;
        return $port if IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1);
    }
    die 'no port';
}

my @fleet = map { { number => $_, tls => free_port(), plain => free_port() } } 1 .. 3;

sub install { my ($member, $pair) = @_; copy("$certs/$pair.$_", "$dir/$member->{number}.$_") or die "$pair: $!" for qw(crt key) }

sub serve {
    my ($member) = @_;
    my $own = "$dir/$member->{number}";
    $member->{server} = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', "ssl_chain_cert=$own.crt,ssl_key=$own.key",
        '-l', "127.0.0.1:$member->{tls},notls:127.0.0.1:$member->{plain}");
    $member->{server}{admin} = $member->{server}->client(port => $member->{plain}, tls => 0);
}

sub items { my ($member) = @_; return $member->{server}->stat('curr_items') }

for my $member (@fleet) { install($member, 'server'); serve($member) }

# ---------------------------------------------------------------------------------------------------
# Clients

# The block of the page that holds these words.
my $page = TestServer::slurp("$FindBin::Bin/../doc/fleet.md");
sub block { my ($words) = @_; return (grep { index($_, $words) >= 0 } $page =~ /^```\w+\n(.*?)^```$/msg)[0] // die "doc/fleet.md has no $words" }

TestServer::write_file("$dir/fleet_ring.py", block('class Ketama'));
$ENV{PYTHONPATH} = $dir;
my @clients;

sub client {
    my ($name, $python, @arguments) = @_;
    my $pid = open2(my $out, my $in, $python, "$FindBin::Bin/lib/fleet_client.py", @arguments);
    my $client = { name => $name, pid => $pid, out => $out, in => $in };
    push @clients, $client;
    return $client;
}

sub order {
    my ($client, $words) = @_;
    print { $client->{in} } "$words\n";
    local $SIG{ALRM} = sub { die "$client->{name} does not answer to $words\n" };
    alarm TestServer::patience(60);
    my $line = readline $client->{out};
    alarm 0;
    die "$client->{name} has ended at $words\n" unless defined $line;
    chomp $line;
    return $line;
}

# What a client has found, by what the five numbers are.
sub found { my %found; @found{qw(hits misses wrong gone failed)} = split ' ', order(@_); return \%found }

# Its end: the script ends with its orders.
sub dismiss { for my $client (@_) { close $client->{in}; waitpid $client->{pid}, 0 } }

my @plain = map { "127.0.0.1:$_->{plain}" } @fleet;
my @over_tls = map { "127.0.0.1:$_->{tls}=127.0.0.1:$_->{plain}" } @fleet;
my $tls = client('pymemcache over TLS', $with_pymemcache, 'ketama', "$certs/ca.crt", @over_tls);
my $library = client('pylibmc', $with_pylibmc, 'libmemcached', '-', map { "$_=$_" } @plain);
my @asking = ($tls, $library);

my $proxy_pid;
END { my $status = $?; kill 'TERM', $proxy_pid and waitpid $proxy_pid, 0 if $proxy_pid; $? = $status }
if ($nutcracker) {
    my $setup = block('distribution: ketama') =~ s{^  listen: \K.*}{$dir/fleet.sock}mr =~ s{^  server_retry_timeout: \K.*}{1000}mr
        =~ s{^  timeout: \K.*}{5000}mr =~ s{^    - .*\n}{}mgr;
    TestServer::write_file("$dir/nutcracker.yml", $setup . join '', map { "    - $_:1\n" } @plain);
    my @command = ($nutcracker, '-c', "$dir/nutcracker.yml", '-o', "$dir/nutcracker.log", '-a', '127.0.0.1', '-s', free_port());
    $proxy_pid = fork // die "fork: $!";
    if (!$proxy_pid) { exec { $command[0] } @command or POSIX::_exit(127) }
    ok(TestServer::wait_until(sub { TestClient::can_connect_unix("$dir/fleet.sock") }), 'nutcracker runs')
        or diag(TestServer::slurp("$dir/nutcracker.log"));
    push @asking, client('nutcracker', $with_pymemcache, 'proxy', '-', "$dir/fleet.sock=nutcracker");
}
else { note('nutcracker is not installed') }

# ---------------------------------------------------------------------------------------------------
# The same key on the same server

for my $writer (@asking) {
    my $prefix = $writer->{name} =~ s/ .*//r . '-';
    is(order($writer, "fill $prefix 600"), 'filled 600', "$writer->{name} stores keys");
    is(order($_, "read $prefix 600"), '600 0 0 0 0', "and $_->{name} finds each of them") for @asking;
}
my $all = 600 * @asking;
for my $member (@fleet) {
    my $share = items($member) / $all;
    ok($share > 0.15 && $share < 0.55, sprintf 'server %d has %.0f %%', $member->{number}, 100 * $share);
}
my $default = client('pymemcache as it comes', $with_pymemcache, 'default', "$certs/ca.crt", @over_tls);
my $astray = found($default, 'read pylibmc- 600');
ok($astray->{hits} > 50 && $astray->{misses} > 200, "without the ring pymemcache looks elsewhere: $astray->{misses} of 600 are missed");
dismiss(pop @clients);

# On port 11211 libmemcached's ring has no ports in its names.
SKIP: {
    my @addresses = map { "127.0.83.$_" } 1 .. 3;
    my @free = grep { IO::Socket::INET->new(Listen => 1, LocalAddr => $_, LocalPort => 11_211, ReuseAddr => 1) } @addresses;
    skip 'port 11211 is in use', 3 if @free < @addresses;
    my @servers = map { TestServer->start({ tls => 0 }, '-t', '1', '-l', "$_:11211") } @addresses;
    my $usual = client('pylibmc', $with_pylibmc, 'libmemcached', '-', map { "$_:11211=$_" } @addresses);
    my $ring = client('pymemcache', $with_pymemcache, 'ketama', '-', map { "$_:11211=$_" } @addresses);
    my $other = client('pymemcache with ports', $with_pymemcache, 'ketama', '-', map { "$_:11211=$_:11211" } @addresses);
    is(order($usual, 'fill k 600'), 'filled 600', 'servers on port 11211');
    is(order($ring, 'read k 600'), '600 0 0 0 0', 'are named without it');
    cmp_ok(found($other, 'read k 600')->{misses}, '>', 100, 'and not with it');
    dismiss(splice @clients, -3);
    $_->stop for @servers;
}

# ---------------------------------------------------------------------------------------------------
# While something happens

# All ask and store until `$happen` has returned and each has asked so many times more; what each has found.
sub meanwhile {
    my ($prefix, $happen) = @_;
    is(order($_, "start $prefix $KEYS"), 'started', "$_->{name} begins") for @asking;
    $happen->();
    return map { found($_, 'stop') } @asking;
}

# Each asks on, until it has found something so many times.
sub ask_on {
    my ($count) = @_;
    for my $client (@asking) {
        my $sum = 0;
        TestServer::wait_until(sub {
            my $found = found($client, 'counts');
            $client->{so_far}{$_} += $found->{$_} for keys %$found;
            $sum += $_ for values %$found;
            return $sum >= $count;
        }, 30) or fail("$client->{name} asks on");
    }
}

# Nothing but these has been found since.
sub nothing_but {
    my ($what, @last) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $at (0 .. $#asking) {
        my $client = $asking[$at];
        my $found = delete $client->{so_far} // {};
        $found->{$_} += $last[$at]{$_} for keys %{ $last[$at] };
        my @else = grep { $found->{$_} && "hits $what" !~ /\b$_\b/ } sort keys %$found;
        is("@else", '', "$client->{name}: nothing but $what") or diag(join ' ', map { "$_=$found->{$_}" } sort keys %$found);
        cmp_ok($found->{hits}, '>', 0, 'and hits');
    }
}

# One is lost, with what it had, and comes back with nothing.
my $lost = $fleet[1];
my @last = meanwhile('lost-', sub {
    ask_on(3 * $KEYS);
    $lost->{server}->kill_now;
    ask_on(3 * $KEYS);
    serve($lost);
    ok(TestServer::wait_until(sub { items($lost) > $KEYS / 10 }, 30), 'the server that came back is used again');
    ask_on($KEYS);
});
nothing_but('misses gone', @last);

# All agree again, and nobody is away.
is(order($tls, 'fill again- 600'), 'filled 600', 'everybody is back');
for my $client (@asking) {
    # Who keeps from a server for a while takes it up again when it next asks, not before.
    my $read;
    TestServer::wait_until(sub { ($read = order($client, 'read again- 600')) eq '600 0 0 0 0' }, 30);
    is($read, '600 0 0 0 0', "and so knows $client->{name}");
}

# New certificates, one server after the other; what is open goes on, who comes sees the new one.
sub name_of { my ($member) = @_; return $member->{server}->client(port => $member->{tls})->socket->peer_certificate('commonName') }
is(order($tls, "fill renewed- $KEYS"), "filled $KEYS", 'keys for all');
@last = meanwhile('renewed-', sub {
    for my $member (@fleet) {
        my $digest = $member->{server}->stat('ssl_cert_sha256', 'ssl');
        is(name_of($member), 'localhost', "server $member->{number} has its old certificate");
        install($member, 'server2');
        if ($member->{number} == 1) { is($member->{server}->admin->ask('refresh_certs'), 'OK', 'is told') }
        else { $member->{server}->signal('HUP') }
        ok($member->{server}->wait_stat('ssl_cert_sha256', sub { $_[0] ne $digest }, 10, 'ssl'), 'it has loaded the new one');
        is(name_of($member), 'second.localhost', 'and shows it');
        ask_on(100);
    }
});
nothing_but('hits', @last);

# A restart of all, one after the other, each when the one before is filled again.
@last = meanwhile('restart-', sub {
    ask_on($KEYS);
    for my $member (@fleet) {
        is($member->{server}->stop('USR1'), 0, "server $member->{number} ends");
        serve($member);
        ok(TestServer::wait_until(sub { items($member) > $KEYS / 10 }, 30), 'and fills again');
    }
});
nothing_but('misses gone', @last);

dismiss(@clients);
done_testing;
