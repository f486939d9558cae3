#!/usr/bin/perl
# Goal: `stats ssl` tells certificates, refreshes and handshakes, `stats ssl conns` every TLS connection; the TLS
# lines of `stats` agree with them, and `stats reset` clears what counts and nothing else.
# Method: all names in order; dates and digests as openssl(1) reads them; clients of each version, resumed,
# refused and half open; the lines before and after a reset.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has no stats ssl');
use TestCerts;
use TestWire;
use Time::Local qw(timegm);

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();

# Whether doc/tls.txt has a word for the line.
my $document = TestServer::slurp("$FindBin::Bin/../doc/tls.txt");
sub documented { my ($name) = @_; $name =~ s/^ssl_cipher_\K.*/<name>/; $name =~ s/^ssl_handshake_us_\K.*/<n>/; return $document =~ /(?<![\w:])\Q$name\E(?![\w.])/ }

# without -Z there is no such list
{
    my $plain = TestServer->start({ tls => 0 }, '-t', '1');
    $plain->client->answers($_, ['ERROR'], "without -Z: $_") for 'stats ssl', 'stats ssl conns', 'stats ssl x';
    ok(!(grep { /^ssl_(?!enabled)|cert_refresh/ } keys %{ $plain->stats }), 'and stats has no line of TLS');
}

sub put { my ($name, $from) = @_; TestCerts::write_file("$dir/$name", TestCerts::read_file("$certs/$from")) }
put('chain.crt', 'chain.crt');
put('chain.key', 'chain.key');
my $server = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o',
    "ssl_chain_cert=$dir/chain.crt,ssl_key=$dir/chain.key,ssl_ca_cert=$certs/ca.crt",
    '-l', '127.0.0.1:-1,btls:127.0.0.1:-1,mtls:127.0.0.1:-1,notls:127.0.0.1:-1');
my ($default, $basic, $mutual, $open) = $server->ports;
my $admin = $server->{admin} = $server->client(port => $open, tls => 0);
sub ssl { return $server->stats('ssl') }

# ---------------------------------------------------------------------------------------------------
# Lines and certificates

my @counts = qw(ssl_handshakes_started ssl_handshakes_pending ssl_handshakes_done ssl_handshakes_resumed
    ssl_handshakes_waiting ssl_handshakes_gone ssl_handshakes_shed ssl_handshake_errors ssl_handshake_timeouts ssl_authz_denied ssl_proto_errors ssl_record_floods
    ssl_version_tlsv1.0 ssl_version_tlsv1.1 ssl_version_tlsv1.2 ssl_version_tlsv1.3);
my @lines = $admin->stats_list('ssl');
is_deeply([ map { $_->[0] } grep { $_->[0] ne 'ssl_handshake_threads' } @lines ], [ qw(ssl_cert_not_before ssl_cert_not_after ssl_cert_seconds_left ssl_cert_serial ssl_cert_sha256
    ssl_chain_not_after ssl_ca_not_after ssl_last_refresh ssl_refreshes ssl_refresh_failures), @counts ], 'the lines, in order');
my $stats = ssl();
is($stats->{ssl_handshake_threads}, $ENV{TLS_ON_WORKERS} ? 0 : 2, 'as many threads make handshakes as there are workers');
is($stats->{$_}, 0, "$_ begins at 0") for qw(ssl_refreshes ssl_refresh_failures), @counts;

my %month = (Jan => 0, Feb => 1, Mar => 2, Apr => 3, May => 4, Jun => 5, Jul => 6, Aug => 7, Sep => 8, Oct => 9, Nov => 10, Dec => 11);
sub x509 { my ($file, $what) = @_; return TestCerts::openssl('x509', '-in', $file, '-noout', split ' ', $what) =~ s/^.*?=//r =~ s/\n\z//r }
sub moment { my ($month, $day, $h, $m, $s, $year) = $_[0] =~ /^(\w+) +(\d+) (\d+):(\d+):(\d+) (\d+)/ or die $_[0]; return timegm($s, $m, $h, $day, $month{$month}, $year) }
my $leaf = "$dir/chain.crt";
is($stats->{ssl_cert_not_before}, moment(x509($leaf, '-startdate')), 'begin of the validity');
my $end = moment(x509($leaf, '-enddate'));
is($stats->{ssl_cert_not_after}, $end, 'its end');
cmp_ok(abs($stats->{ssl_cert_seconds_left} - ($end - time)), '<=', TestServer::patience(3), 'the seconds that are left');
is($stats->{ssl_cert_serial}, x509($leaf, '-serial'), 'serial number');
is($stats->{ssl_cert_sha256}, x509($leaf, '-fingerprint -sha256') =~ tr/://dr, 'digest');
my ($middle) = moment(x509("$certs/middle-ca.crt", '-enddate'));
is($stats->{ssl_chain_not_after}, $middle < $end ? $middle : $end, 'the earliest end in the chain');
is($stats->{ssl_ca_not_after}, moment(x509("$certs/ca.crt", '-enddate')), 'the end of the authority');
{
    my $general = $server->stats;
    cmp_ok(abs($general->{time} - $general->{time_since_server_cert_refresh} - ssl()->{ssl_last_refresh}), '<=', 1, 'the last load is the start');
    my $poor = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
    ok(!exists $poor->stats('ssl')->{ssl_ca_not_after}, 'without ssl_ca_cert no line of authorities');
    my $old = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', "ssl_chain_cert=$certs/expired.crt,ssl_key=$certs/expired.key", '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
    $old->{admin} = $old->client(port => ($old->ports)[1], tls => 0);
    cmp_ok($old->stats('ssl')->{ssl_cert_seconds_left}, '<', 0, 'a certificate that ran out has less than nothing left');
}
$admin->answers('stats ssl x', ['ERROR'], 'an unknown list of TLS');
$admin->answers('stats SSL', ['ERROR'], 'in capitals');

# ---------------------------------------------------------------------------------------------------
# Handshakes

# Does it, waits until nothing is pending, and expects these counts to have moved, and no others.
sub moves {
    my ($name, $expected, $action) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = ssl();
    my @kept = $action->();
    TestServer::wait_until(sub {
        my $now = ssl();
        return !$now->{ssl_handshakes_pending} && !grep { ($now->{$_} // 0) - ($before->{$_} // 0) < $expected->{$_} } keys %$expected;
    }, 5);
    my $now = ssl();
    my %moved;
    for my $line (grep { /^ssl_(hand|auth|proto|version|cipher)/ && !/_us_/ } keys %$now) {
        my $by = $now->{$line} - ($before->{$line} // 0);
        $moved{$line} = $by if $by;
    }
    return is_deeply(\%moved, $expected, $name);
}

sub served { my ($port, @options) = @_; my $wire = TestWire->connect($port, @options) or return; $wire->say("mn\r\n"); $wire->take(4) eq "MN\r\n" or return; return $wire }
my @pair = (cert => "$certs/client.crt", key => "$certs/client.key");
my $issuer;    # it stays open: a session whose connection was dropped is not taken
for my $row ([ '1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384' ], [ '1.3', 'TLS_AES_256_GCM_SHA384' ]) {
    my ($version, $cipher) = @$row;
    my %full = (ssl_handshakes_started => 1, ssl_handshakes_done => 1, "ssl_version_tlsv$version" => 1, "ssl_cipher_$cipher" => 1);
    moves("TLS $version", \%full, sub { $issuer = served($default, version => $version) });
    moves("TLS $version, resumed", { %full, ssl_handshakes_resumed => 1 }, sub { served($default, version => $version, session => $issuer->session) });
    moves("TLS $version, mutual", \%full, sub { served($mutual, version => $version, @pair) });
    moves("TLS $version, a client certificate is missing", { ssl_handshakes_started => 1, ssl_handshake_errors => 1 },
        sub { served($mutual, version => $version) });
    moves("TLS $version, a damaged record", { %full, ssl_proto_errors => 1 },
        sub { my $wire = served($basic, version => $version); $wire->put("rubbish rubbish\r\n"); $wire->rest });
}
moves('another cipher', { ssl_handshakes_started => 1, ssl_handshakes_done => 1, 'ssl_version_tlsv1.2' => 1, 'ssl_cipher_ECDHE-ECDSA-AES128-GCM-SHA256' => 1 },
    sub { $server->client(tls => { SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-ECDSA-AES128-GCM-SHA256' }) });
moves('plaintext', { ssl_handshakes_started => 1, ssl_handshake_errors => 1 }, sub { my $c = $server->client(tls => 0); $c->send("rubbish\r\n"); $c->rest });
moves('no byte at all', { ssl_handshakes_started => 1, ssl_handshake_errors => 1 }, sub { $server->client(tls => 0)->close });
moves('a plain connection', {}, sub { $server->client(port => $open, tls => 0)->ask('mn') });

my @names = map { $_->[0] } $admin->stats_list('ssl');
is_deeply([ grep { !documented($_) } @names, 'ssl_refresh_last_error' ], [], 'doc/tls.txt tells what each line means');
my @ciphers = grep { /^ssl_cipher_/ } @names;
is_deeply(\@ciphers, [ sort @ciphers ], 'ciphers come sorted');
is_deeply([ @names[ -@ciphers .. -1 ] ], \@ciphers, 'and last');
$stats = ssl();
my $sum = 0;
$sum += $stats->{$_} for grep { /^ssl_version_/ } keys %$stats;
is($sum, $stats->{ssl_handshakes_done}, 'versions add up');
$sum = 0;
$sum += $stats->{$_} for @ciphers;
is($sum, $stats->{ssl_handshakes_done}, 'ciphers, too');
my @times = grep { /^ssl_handshake_us_/ } @names;
$sum = 0;
$sum += $stats->{$_} for @times;
is($sum, $stats->{ssl_handshakes_done}, 'and times');
is_deeply([ grep { my ($us) = /(\d+)$/; $us & ($us - 1) } @times ], [], 'which are sorted by powers of two');
is_deeply(\@times, [ sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } @times ], 'the short ones first');
is($stats->{ssl_handshakes_started}, $stats->{ssl_handshakes_done} + $stats->{ssl_handshake_errors}, 'what has begun has ended, one way or the other');
is($server->stat($_), $stats->{$_}, "$_ is that of stats") for qw(ssl_handshake_errors ssl_proto_errors);

# half open
undef $issuer;
my @half = map { TestWire->connect($default, handshake => 0) } 1 .. 5;
$_->put($_->hello) for @half[ 0, 1 ];
ok($server->wait_stat('ssl_handshakes_pending', 5, 5, 'ssl'), 'half-open handshakes are pending');
ok($half[0]->handshake, 'one goes on');
ok($server->wait_stat('ssl_handshakes_pending', 4, 5, 'ssl'), 'and is pending no more');

# ---------------------------------------------------------------------------------------------------
# Connections

# fd => { name => value } and the lines' names, in order.
sub conns {
    my (%conns, @order);
    for my $line ($admin->stats_list('ssl conns')) {
        my ($fd, $name) = split /:/, $line->[0];
        $conns{$fd}{$name} = $line->[1];
        push @order, [ $fd, $name ];
    }
    return (\%conns, \@order);
}

# The descriptors of the connections that are there now and were not before. They stay open, so that no descriptor is
# used again.
my @kept;
sub fds_of {
    my ($action) = @_;
    my ($before) = conns();
    my $wire = $action->();
    push @kept, $wire;
    my $new;
    TestServer::wait_until(sub { my ($now) = conns(); $new = { map { $_ => $now->{$_} } grep { !exists $before->{$_} } keys %$now }; %$new });
    return ($new, $wire);
}

my ($all, $order) = conns();
is(scalar(grep { exists $_->{handshake} } values %$all), 4, 'four connections are in their handshake');
is(scalar(grep { exists $_->{version} } values %$all), 1, 'one is not');
is_deeply([ map { $_->[0] } @$order ], [ sort { $a <=> $b } map { $_->[0] } @$order ], 'by descriptor');
is_deeply([ grep { !documented($_) } map { "<fd>:$_->[1]" } @$order, [ 0, 'peer_cn' ] ], [], 'doc/tls.txt tells what these lines mean');
my ($waiting) = grep { exists $all->{$_}{handshake} } keys %$all;
like($all->{$waiting}{handshake}, qr/^[0-9]$/, 'seconds since accept');
is($all->{$waiting}{class}, 'default', 'and its class');
is_deeply([ map { $_->[1] } grep { $_->[0] == $waiting } @$order ], [qw(handshake class)], 'nothing else of it');
$_->close for @half;
ok(TestServer::wait_until(sub { !%{ (conns())[0] } }), 'connections that have ended are not told');
ok($server->wait_stat('ssl_handshakes_pending', 0, 5, 'ssl'), 'nor are their handshakes pending');

for my $row ([ 'default', $default ], [ 'basic', $basic ], [ 'mutual', $mutual, @pair ]) {
    my ($class, $port, @options) = @$row;
    for my $version ('1.2', '1.3') {
        my ($new, $wire) = fds_of(sub { served($port, version => $version, @options) });
        my ($fd) = keys %$new;
        my %expected = (version => "tlsv$version", cipher => $version eq '1.2' ? 'ECDHE-ECDSA-AES256-GCM-SHA384' : 'TLS_AES_256_GCM_SHA384',
            resumed => 'no', class => $class, @options ? (peer_cn => 'client one') : ());
        is_deeply($new, { $fd => \%expected }, "$class, TLS $version");
        ok(exists $server->stats('conns')->{"$fd:addr"}, 'by the descriptor of stats conns');
        my $again;
        ($new, $again) = fds_of(sub { served($port, version => $version, session => $wire->session, @options) });
        is_deeply([ map { $_->{resumed} } values %$new ], ['yes'], 'the same session once more');
        is_deeply([ map { $_->{peer_cn} } values %$new ], [ @options ? 'client one' : undef ], 'knows its client');
        is_deeply([ map { $_->[1] } grep { exists $new->{ $_->[0] } } @{ (conns())[1] } ],
            [ qw(version cipher resumed class), @options ? 'peer_cn' : () ], 'the order of lines');
    }
}

# a name that would break the list
{
    my $subject = "/CN=w\xc3\xa4chter\x0d\x0aSTAT 1:x y";
    TestCerts::openssl('req', '-new', '-utf8', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', "$dir/odd.key", '-out', "$dir/odd.csr", '-subj', $subject);
    TestCerts::openssl('x509', '-req', '-in', "$dir/odd.csr", '-CA', "$certs/ca.crt", '-CAkey', "$certs/ca.key", '-set_serial', '77', '-days', '2', '-out', "$dir/odd.crt");
    my ($new) = fds_of(sub { served($mutual, cert => "$dir/odd.crt", key => "$dir/odd.key") });
    is_deeply([ map { $_->{peer_cn} } values %$new ], ['w??chter??STAT 1:x y'], 'bytes that do not print are told as such');
}

# ---------------------------------------------------------------------------------------------------
# Refreshes

my $loaded = ssl()->{ssl_last_refresh};
put('chain.crt', 'server2.crt');
my $reply = $admin->ask('refresh_certs');
like($reply, qr/^Error loading the key: \Q$dir\E\/chain\.key : error:.*key values mismatch/, 'a pair that does not match');
$stats = ssl();
is_deeply([ @$stats{qw(ssl_refreshes ssl_refresh_failures ssl_refresh_last_error ssl_last_refresh)} ], [ 0, 1, $reply, $loaded ], 'is a failure, told as it was replied');
is($stats->{ssl_cert_serial}, x509("$certs/chain.crt", '-serial'), 'the certificate is the old one');
put('chain.key', 'server2.key');
is($admin->ask('refresh_certs'), 'OK', 'a pair that does');
$stats = ssl();
is_deeply([ @$stats{qw(ssl_refreshes ssl_refresh_failures ssl_refresh_last_error)} ], [ 1, 1, $reply ], 'is a refresh; the last failure is remembered');
is($stats->{ssl_cert_serial}, x509("$certs/server2.crt", '-serial'), 'the certificate is the new one');
cmp_ok($stats->{ssl_last_refresh}, '>=', $loaded, 'it was loaded later');
is_deeply([ grep { /refresh/ } map { $_->[0] } $admin->stats_list('ssl') ],
    [qw(ssl_last_refresh ssl_refreshes ssl_refresh_failures ssl_refresh_last_error)], 'the line of the last failure comes behind the counts');

# the time since then, by the debug server's clock
SKIP: {
    skip 'the clock cannot be moved', 4 unless TestServer::has_feature('debug');
    my $left = ssl()->{ssl_cert_seconds_left};
    my $before = $server->stat('time_since_server_cert_refresh');
    $server->advance_clock(100);
    my $after = $server->stat('time_since_server_cert_refresh');
    cmp_ok($after - $before, '>=', 100, 'time_since_server_cert_refresh runs');
    cmp_ok($left - ssl()->{ssl_cert_seconds_left}, '>=', 100, 'ssl_cert_seconds_left, too');
    put('chain.key', 'rsa.key');
    $admin->ask('refresh_certs');
    is($server->stat('time_since_server_cert_refresh'), $after, 'a failed refresh leaves it');
    put('chain.key', 'server2.key');
    $admin->ask('refresh_certs');
    is($server->stat('time_since_server_cert_refresh'), 0, 'one that succeeds lets it begin again');
    $server->thaw_clock;
}

# ---------------------------------------------------------------------------------------------------
# stats reset

my $pending = TestWire->connect($default, handshake => 0);
ok($server->wait_stat('ssl_handshakes_pending', 1, 5, 'ssl'), 'a handshake under way');
my $before = ssl();
$admin->answers('stats reset', ['RESET'], 'stats reset');
my $after = ssl();
is_deeply({ map { $_ => $after->{$_} } grep { /^ssl_(hand|auth|proto|record|version|cipher)/ && !/_threads$/ } keys %$after }, { (map { $_ => 0 } @counts), ssl_handshakes_pending => 1 },
    'counts begin at 0, ciphers are gone, the gauge stays');
my @stay = grep { /^ssl_(cert|chain|ca|last|refresh)/ && !/seconds_left/ } keys %$before;
is_deeply({ map { $_ => $after->{$_} } @stay }, { map { $_ => $before->{$_} } @stay }, 'certificates and refreshes stay');
moves('and it counts on', { ssl_handshakes_started => 1, ssl_handshakes_done => 2, ssl_handshakes_pending => -1, 'ssl_version_tlsv1.3' => 2, ssl_cipher_TLS_AES_256_GCM_SHA384 => 2 },
    sub { $pending->handshake; (served($default), $pending) });
is($server->stat('ssl_handshake_errors'), 0, 'as does stats');

# ssl_new_sessions is there with the cache only, and cleared
{
    my $caching = TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key,ssl_session_cache");
    my @lines = map { $_->[0] } grep { $_->[0] =~ /^ssl_|cert_refresh|log_watchers|napi_ids/ } $caching->admin->stats_list;
    is_deeply(\@lines, [qw(log_watchers ssl_new_sessions ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh unexpected_napi_ids)], 'stats: the lines of TLS and their place');
    cmp_ok($caching->stat('ssl_new_sessions'), '>', 0, 'sessions are counted');
    $caching->admin->ask('stats reset');
    is($caching->stat('ssl_new_sessions'), 0, 'stats reset clears them');
    ok(!exists $server->stats->{ssl_new_sessions}, 'without the cache there is no such line');
}

done_testing;
