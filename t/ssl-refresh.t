#!/usr/bin/perl
# Goal: certificates are loaded again by command, by SIGHUP and by themselves, as a whole or not at all; new
# connections see the new ones, those that were accepted before keep theirs, and every trigger hears the truth.
# Method: pairs put in the place of others, well and badly; what clients see before and after; counts of stats ssl.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use IO::Select;
use Time::HiRes qw(time);

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it loads certificates in pieces');
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();

# Files are replaced as a careful program does it, under their names at once.
sub put {
    my ($from, $to, $kind) = @_;
    TestCerts::write_file("$dir/new", TestCerts::read_file("$certs/$from.$kind"));
    rename "$dir/new", "$dir/$to.$kind" or die "rename: $!";
}
sub install { my ($from) = @_; put($from, 'pair', $_) for qw(crt key) }
my %NAME = (server => 'localhost', server2 => 'second.localhost', rsa => 'rsa.localhost', chain => 'chain.localhost');

sub serve {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o', "ssl_chain_cert=$dir/pair.crt,ssl_key=$dir/pair.key",
        '-l', '127.0.0.1:-1,notls:127.0.0.1:-1', @_);
    $server->{admin} = $server->client(port => ($server->ports)[1], tls => 0);
    return $server;
}

# The name in the certificate that a new client sees.
sub shown { my ($server) = @_; my $c = $server->client(tls => 1); return $c->ask('mn') eq 'MN' ? $c->socket->peer_certificate('commonName') : 'not served' }
sub log_of { my ($server) = @_; my $s = $server->stats('ssl'); return [ @$s{qw(ssl_refreshes ssl_refresh_failures)} ] }
sub thread_there { my ($server) = @_; return scalar grep { TestServer::slurp($_) eq "mc-tlsrefresh\n" } glob "/proc/${\ $server->pid}/task/*/comm" }
my $proc = -e "/proc/$$/task";

# ---------------------------------------------------------------------------------------------------
# By command

install('server');
my $server = serve();
my $plain = $server->admin;
my $old = $server->client(tls => 1);
my $half = TestWire->connect(($server->ports)[0], handshake => 0);
my $hello = $half->hello;
ok($server->wait_stat('ssl_handshakes_pending', 1, 5, 'ssl'), 'a connection whose handshake has not begun');
my $flight = TestWire->connect(($server->ports)[0], handshake => 0);
$flight->put($flight->hello);
$flight->receive(5);
is(shown($server), $NAME{server}, 'the first pair');
for my $pair (qw(server2 rsa chain server)) {
    install($pair);
    is($plain->ask('refresh_certs'), 'OK', "$pair: refresh_certs");
    is(shown($server), $NAME{$pair}, 'new clients see it');
    is($old->ask('mn'), 'MN', 'an old connection goes on');
}
install('rsa');
is($old->ask('refresh_certs'), 'OK', 'any client may send it');
$half->put($hello);
ok($half->handshake, 'a connection that was accepted before');
is(Net::SSLeay::X509_NAME_oneline(Net::SSLeay::X509_get_subject_name(Net::SSLeay::get_peer_certificate($half->{ssl}))) =~ m{CN=([^/]+)} ? $1 : '', $NAME{server},
    'sees the pair of that time');
ok($flight->handshake, 'a handshake that was under way is finished');
is_deeply(log_of($server), [ 5, 0 ], 'all are counted');

$plain->answers('refresh_certs now please', ['OK'], 'further words are ignored');
$plain->answers('refresh_certs noreply', [], 'noreply');
is_deeply(log_of($server), [ 7, 0 ], 'they refresh as well');
$plain->answers('REFRESH_CERTS', ['ERROR'], 'in capitals it is no command');

# ---------------------------------------------------------------------------------------------------
# All or nothing

# What is wrong with the files, and how the reply begins.
my $reason = 'error:[0-9A-F]{8}:[^:]*:[^:]*:.+';
sub refuses {
    my ($what, $error, $bad) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    install('server2');
    is($plain->ask('refresh_certs'), 'OK', "$what: from a good pair");
    my $before = log_of($server);
    my $since = $server->stats('ssl')->{ssl_last_refresh};
    $bad->();
    my $reply = $plain->ask('refresh_certs');
    like($reply, qr/^$error$reason$/, 'the reply says what is wrong');
    is(shown($server), $NAME{server2}, 'the good pair is served on');
    is($old->ask('mn'), 'MN', 'and old connections');
    is_deeply(log_of($server), [ $before->[0], $before->[1] + 1 ], 'counted as a failure');
    my $stats = $server->stats('ssl');
    is($stats->{ssl_refresh_last_error}, $reply, 'and remembered');
    is($stats->{ssl_last_refresh}, $since, 'the time of the last load stays');
    # At a start the same is said.
    my $run = TestServer->run('-Z', '-p', '1', '-l', '127.0.0.1', '-o', "ssl_chain_cert=$dir/pair.crt,ssl_key=$dir/pair.key");
    is($run->{status}, 64, 'a server does not start with it');
    my ($head) = $reply =~ /^(.*?)error:/;
    like($run->{stderr}, qr/\Q$head\E/, 'and says the same');
}
refuses('a chain without its key', "Error loading the key: \Q$dir\E/pair\\.key : ", sub { put('server', 'pair', 'crt') });
refuses('a key of another kind', '(?:Error validating the certificate: |Error loading the key: \S+ : )', sub { put('rsa', 'pair', 'crt') });
refuses('no chain', "Error loading the certificate chain: \Q$dir\E/pair\\.crt : ", sub { unlink "$dir/pair.crt" });
refuses('an empty chain', "Error loading the certificate chain: \Q$dir\E/pair\\.crt : ", sub { TestCerts::write_file("$dir/pair.crt", '') });
refuses('a chain cut off', "Error loading the certificate chain: \Q$dir\E/pair\\.crt : ",
    sub { TestCerts::write_file("$dir/pair.crt", substr TestCerts::read_file("$certs/server.crt"), 0, 300) });
refuses('no key', "Error loading the key: \Q$dir\E/pair\\.key : ", sub { unlink "$dir/pair.key" });
# A terminal is not asked: the reply is there at once.
refuses('a key behind a pass phrase', "Error loading the key: \Q$dir\E/pair\\.key : ", sub { install('rsa'); put('rsa-locked', 'pair', 'key') });

# A pair that ran out is served, with a warning, each time it is loaded.
install('expired');
is($plain->ask('refresh_certs'), 'OK', 'a pair that ran out is loaded');
like($server->stderr_text, qr/^WARNING: server certificate \Q$dir\E\/pair\.crt is not valid now \(notBefore=.* notAfter=.*\)$/m, 'with a warning');
cmp_ok($server->stats('ssl')->{ssl_cert_seconds_left}, '<', 0, 'for operators to see');

# ---------------------------------------------------------------------------------------------------
# By SIGHUP

install('server');
my $before = log_of($server);
my $said = $server->stderr_text;
$server->signal('HUP');
ok($server->wait_stat('ssl_refreshes', $before->[0] + 1, 5, 'ssl'), 'SIGHUP refreshes');
is(shown($server), $NAME{server}, 'new clients see it');
is($server->stderr_text, $said, 'silently');
put('server2', 'pair', 'crt');
$server->signal('HUP');
ok($server->wait_stat('ssl_refresh_failures', $before->[1] + 1, 5, 'ssl'), 'and fails');
my $error = $server->stats('ssl')->{ssl_refresh_last_error};
ok($server->wait_stderr(qr/^Could not reload TLS certificates on SIGHUP: \Q$error\E$/m), 'which is told');
is(shown($server), $NAME{server}, 'the good pair is served on');

# ---------------------------------------------------------------------------------------------------
# Several at once: each hears what became of its own

put('server2', 'pair', 'key');
{
    my @clients = map { $server->client(port => ($server->ports)[1], tls => 0) } 1 .. 12;
    my $counted = log_of($server);
    my (%said, $rounds);
    # The files change between good and bad all the while; a reply must be that of a whole attempt.
    for my $round (1 .. 25) {
        put($round % 2 ? 'server' : 'server2', 'pair', 'key');
        $_->send("refresh_certs\r\n") for @clients;
        $server->signal('HUP') if $round % 5 == 0;
        put($round % 2 ? 'server2' : 'server', 'pair', 'key') if $round % 3 == 0;
        for my $client (@clients) { my $line = $client->line // 'nothing'; $said{$line}++; $rounds++ }
    }
    my $moved = log_of($server);
    my $failed = 0;
    $failed += $said{$_} for grep { $_ ne 'OK' } keys %said;
    my @odd = grep { !/^OK$|^Error loading the key: \Q$dir\E\/pair\.key : / } keys %said;
    is_deeply(\@odd, [], 'every reply is a success or names the key');
    cmp_ok($moved->[0] - $counted->[0] + $moved->[1] - $counted->[1], '>=', $rounds, 'each attempt is counted');
    cmp_ok($moved->[1] - $counted->[1], '>=', $failed, 'failures at least as often as they were replied');
    cmp_ok($moved->[0] - $counted->[0], '>=', $said{OK} // 0, 'and successes');
}

# ---------------------------------------------------------------------------------------------------
# By itself

ok(!thread_there($server), 'without ssl_refresh_interval there is no thread') if $proc;
is($server->stop('USR1'), 0, 'the server stops');
{
    install('server');
    my $none = serve('-o', 'ssl_refresh_interval=0');
    ok(!thread_there($none), 'nor with 0') if $proc;

    my $patient = serve('-o', 'ssl_refresh_interval=86400');
    # A thread tells its name itself, once it runs.
    ok(TestServer::wait_until(sub { thread_there($patient) }), 'with an interval there is one') if $proc;
    my $start = time;
    is($patient->stop('USR1'), 0, 'it does not keep a graceful stop');
    cmp_ok(time - $start, '<', TestServer::patience(5), 'waiting');
}

# Names are links into a directory that is swapped, as some systems do it.
mkdir "$dir/$_" for qw(one two);
for my $at ([ one => 'server' ], [ two => 'rsa' ]) { for my $kind (qw(crt key)) { TestCerts::write_file("$dir/$at->[0]/pair.$kind", TestCerts::read_file("$certs/$at->[1].$kind")) } }
sub swap { my ($to) = @_; unlink "$dir/next"; symlink $to, "$dir/next" or die; rename "$dir/next", "$dir/now" or die }
swap('one');
TestCerts::write_file("$dir/ca.crt", TestCerts::read_file("$certs/ca.crt"));
my $watching = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o', "ssl_chain_cert=$dir/now/pair.crt,ssl_key=$dir/now/pair.key,ssl_ca_cert=$dir/ca.crt",
    '-o', 'ssl_refresh_interval=1', '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
$watching->{admin} = $watching->client(port => ($watching->ports)[1], tls => 0);
my $kept = $watching->client(tls => 1);
sub sees { my ($refreshes, $name, $what) = @_; ok($watching->wait_stat('ssl_refreshes', $refreshes, 5, 'ssl'), $what); is(shown($watching), $NAME{$name}, "$name is shown") }

sees(0, 'server', 'nothing is loaded again at first');
swap('two');
sees(1, 'rsa', 'the directory is another');
swap('one');
sees(2, 'server', 'and the first once more');
TestCerts::write_file("$dir/ca.crt", TestCerts::read_file("$certs/foreign-ca.crt"));
sees(3, 'server', 'the authorities have changed');
utime 1, 1, "$dir/ca.crt";
sees(4, 'server', 'a file has another time');
is($watching->admin->ask('refresh_certs'), 'OK', 'refresh_certs works beside it');

# Half a pair: told once, tried at each look, and healed by its other half.
TestCerts::write_file("$dir/one/pair.crt", TestCerts::read_file("$certs/server2.crt"));
ok($watching->wait_stat('ssl_refresh_failures', sub { $_[0] >= 3 }, 8, 'ssl'), 'half a pair fails at each look');
my $tellings = sub { my ($text) = @_; return scalar(() = $watching->stderr_text =~ /^Could not reload TLS certificates: \Q$text\E$/mg) };
my $mismatch = $watching->stat('ssl_refresh_last_error', 'ssl');
is($tellings->($mismatch), 1, 'but is told once');
is(shown($watching), $NAME{server}, 'the old pair is served meanwhile');
unlink "$dir/one/pair.key";
ok($watching->wait_stat('ssl_refresh_last_error', sub { $_[0] ne $mismatch }, 5, 'ssl'), 'another failure');
my $absent = $watching->stat('ssl_refresh_last_error', 'ssl');
ok(TestServer::wait_until(sub { $tellings->($absent) == 1 }), 'is told, too');
my $refreshes = $watching->stat('ssl_refreshes', 'ssl');
TestCerts::write_file("$dir/one/pair.key", TestCerts::read_file("$certs/server2.key"));
sees($refreshes + 1, 'server2', 'the other half heals it');
is($kept->ask('mn'), 'MN', 'a connection of the beginning goes on');

# A failure by command is a failure to be retried, and what has failed before is news once things were in order.
unlink "$dir/one/pair.key";
like($watching->admin->ask('refresh_certs'), qr/^Error loading the key/, 'a failure by command');
my $failures = $watching->stat('ssl_refresh_failures', 'ssl');
ok($watching->wait_stat('ssl_refresh_failures', sub { $_[0] > $failures }, 5, 'ssl'), 'is tried again');
ok(TestServer::wait_until(sub { $tellings->($absent) == 2 }), 'and told');
TestCerts::write_file("$dir/one/pair.key", TestCerts::read_file("$certs/server2.key"));
ok($watching->wait_stat('ssl_refreshes', $refreshes + 2, 5, 'ssl'), 'until it is healed');

# A refresh by command is the last attempt: the thread has nothing to add to it. It sleeps between two looks, so
# when it has slept twice more it has looked since.
swap('two');
is($watching->admin->ask('refresh_certs'), 'OK', 'a change that the command has seen');
my $counted = $watching->stat('ssl_refreshes', 'ssl');
SKIP: {
    my $sleeps = sub { (values %{ $watching->thread_sleeps('mc-tlsrefresh') })[0] };
    my $slept = $sleeps->();
    skip 'no /proc', 2 unless defined $slept;
    ok(TestServer::wait_until(sub { $sleeps->() >= $slept + 2 }), 'the thread has looked at it, too');
    is($watching->stat('ssl_refreshes', 'ssl'), $counted, 'and has not loaded it again');
}
is($watching->stop('USR1'), 0, 'and the server stops');

done_testing;
