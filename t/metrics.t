#!/usr/bin/perl
# Goal: with -o metrics the server tells every statistic to Prometheus over HTTP, to its own machine alone, and those who come
# for something else, or for nothing, cost nobody anything.
# Method: HTTP by hand over TCP and Unix sockets; values against `stats`; strangers of several kinds beside a client;
# values of the option that end the start; the parser of prometheus_client where it is installed (CLIENT_TESTS=1 lets
# pip fetch it).

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SHUT_WR SOCK_STREAM);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestPython;
use TestServer;

my $IN_USE = TestServer::words('EADDRINUSE');
my $TOO_LONG = TestServer::words('ENAMETOOLONG');
TestServer::need_new('it has no metrics');
my $dir = TestServer::scratch();
my $OPEN = 'Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5';

# A port of 127.0.0.1 that was free a moment ago.
sub free_port { return IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport }

sub reach {
    my ($place) = @_;
    my $socket = $place =~ /^unix:(.*)/ ? IO::Socket::UNIX->new(Peer => $1, Type => SOCK_STREAM) : IO::Socket::INET->new(PeerAddr => $place);
    return $socket // die "$place: $!";
}

# All that comes until the end of the connection, which must come in time.
sub rest {
    my ($socket) = @_;
    my $text = '';
    local $SIG{ALRM} = sub { die "no end came\n" };
    alarm TestServer::patience(20);
    1 while sysread $socket, $text, 65536, length $text;
    alarm 0;
    return $text;
}

# One request on a connection of its own: the status, the headers and the body.
sub ask {
    my ($place, $request, @headers) = @_;
    my $socket = reach($place);
    syswrite $socket, join "\r\n", "$request HTTP/1.1", 'Host: x', 'Connection: close', @headers, '', '';
    my ($head, $body) = split /\r\n\r\n/, rest($socket), 2;
    my ($status) = $head =~ m{^HTTP/1\.[01] (\d+) };
    return ($status, $head, $body);
}

# The values of a page: name and labels => value.
sub values_of { return { map { /^([^#].*) (\S+)$/ ? ($1 => $2) : () } split /\n/, $_[0] } }

sub metrics { my ($place, @headers) = @_; return values_of((ask($place, 'GET /metrics', @headers))[2]) }

my $port = free_port();
my $place = "127.0.0.1:$port";
my $server = TestServer->start('-t', '2', '-o', "metrics=$place");
my $client = $server->client;

# ---------------------------------------------------------------------------------------------------
# What is told

$client->set("k$_", 'x' x 100 x $_) for 1 .. 20;
$client->get("k$_") for 1 .. 3;
$client->get('none');
my $stats = $server->stats;
my ($status, $head, $page) = ask($place, 'GET /metrics');
is($status, 200, 'metrics are there');
like($head, qr{^Content-Type: text/plain; version=0\.0\.4; charset=utf-8\r?$}m, 'in the older form');
unlike($page, qr/^# (?:UNIT|EOF)/m, 'which has no units and no mark at its end');
my $told = values_of($page);
for my $row (
    [ 'memcached_up', 1 ], [ "memcached_version{version=\"$stats->{version}\"}", 1 ],
    [ "memcached_libevent_version{version=\"$stats->{libevent}\"}", 1 ],
    [ 'memcached_commands_total{command="get",status="hit"}', 3 ], [ 'memcached_commands_total{command="get",status="miss"}', 1 ],
    [ 'memcached_commands_total{command="set",status="hit"}', 20 ], [ 'memcached_commands_total{command="flush",status="hit"}', 0 ],
    [ 'memcached_current_items', 20 ], [ 'memcached_items_total', 20 ], [ 'memcached_items_evicted_total', 0 ],
    [ 'memcached_current_bytes', $stats->{bytes} ], [ 'memcached_limit_bytes', $stats->{limit_maxbytes} ],
    [ 'memcached_max_connections', 1024 ], [ 'memcached_current_connections', $stats->{curr_connections} ],
    [ 'memcached_threads', 2 ], [ 'memcached_process_id', $server->pid ], [ 'memcached_accepting_connections', 1 ],
    [ 'memcached_lru_crawler_enabled', 1 ], [ 'memcached_lru_crawler_hot_percent', 20 ],
    [ 'memcached_connection_states{transport="tcp",state="conn_nread"}', 0 ])
{
    my ($name, $value) = @$row;
    is($told->{$name}, $value, $name);
}
my $slabs = $server->stats('slabs');
my $items = $server->stats('items');
my ($class) = sort { $a <=> $b } map { /^(\d+):/ ? $1 : () } keys %$slabs;
is($told->{"memcached_slab_chunk_size_bytes{slab=\"$class\"}"}, $slabs->{"$class:chunk_size"}, 'slab classes are labels');
is($told->{"memcached_slab_current_items{slab=\"$class\"}"}, $items->{"items:$class:number"}, 'those of items, too');
is($told->{memcached_malloced_bytes}, $slabs->{total_malloced}, 'what is of all classes has none');
my ($listener) = grep { /^memcached_listener_connections_total/ } keys %$told;
my $kind = $server->{tls} ? 'default' : 'none';
is($listener, "memcached_listener_connections_total{listener=\"tcp:127.0.0.1:${\ $server->port}\",tag=\"\",tls=\"$kind\",protocol=\"auto-negotiate\"}", 'a listener by what it is');
my $before = metrics($place)->{$listener};
$server->client->ask('mn') for 1 .. 3;
is(metrics($place)->{$listener}, $before + 3, 'and how many have come by it');
is($server->settings->{metrics}, $place, 'stats settings tells the place');

# Every name of the general list has its row: counted by what a page has beside it.
{
    my $numbers = grep { !/^memcached_(?:slab|listener|connection_states|up|lru_crawler|ssl)/ } keys %$told;
    cmp_ok($numbers, '>', 75, "$numbers values of the general list");
}

($status, $head, $page) = ask($place, 'GET /metrics', $OPEN);
like($head, qr{^Content-Type: application/openmetrics-text; version=1\.0\.0; charset=utf-8\r?$}m, 'OpenMetrics for who names it');
like($page, qr/\n# EOF\n\z/, 'ends with its mark');
like($page, qr/^# TYPE memcached_read_bytes counter\n# UNIT memcached_read_bytes bytes\nmemcached_read_bytes_total \d+$/m, 'and knows units');
{
    my %kinds = map { /^# TYPE (\S+) (\S+)$/ ? ($1 => $2) : () } split /\n/, $page;
    my %told_of = map { /^# HELP (\S+) \S/ ? ($1 => 1) : () } split /\n/, $page;
    my @plain = grep { my $name = s/\{.*//r =~ s/_(?:total|bucket)$//r; !$kinds{$name} || !$told_of{$name} } keys %{ values_of($page) };
    is("@plain", '', 'each value has a kind and a help');
}

# stats reset is what a restart is to counters
$server->client->ask('stats reset');
my $reset = metrics($place);
is($reset->{'memcached_commands_total{command="get",status="hit"}'}, 0, 'stats reset empties counters');
is($reset->{memcached_current_items}, 20, 'and leaves what is');

# ---------------------------------------------------------------------------------------------------
# HTTP

for my $row ([ 'GET /', 200 ], [ 'GET /metrics?x=y', 200 ], [ 'GET /metric', 404 ], [ 'GET /metrics/x', 404 ], [ 'POST /metrics', 405 ],
    [ 'PUT /metrics', 405 ], [ 'DELETE /', 405 ], [ 'OPTIONS /metrics', 405 ], [ 'BREW /metrics', 501 ], [ 'HEAD /x', 404 ])
{
    is((ask($place, $row->[0]))[0], $row->[1], "$row->[0]: $row->[1]");
}
is((ask($place, 'GET /'))[2], "memcached: see /metrics\n", 'the root says where metrics are');
like((ask($place, 'POST /'))[1], qr/^Allow: GET, HEAD\r?$/m, 'who wants something else is told what there is');
($status, $head, $page) = ask($place, 'HEAD /metrics');
is($status, 200, 'HEAD');
like($head, qr/^Content-Length: \d{4,}\r?$/m, 'has a length');
is($page // '', '', 'and no body');
{
    my $socket = reach($place);
    for my $turn (1 .. 3) {
        syswrite $socket, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        my $text = '';
        sysread $socket, $text, 65536, length $text until $text =~ /\r\n\r\n/;
        my ($length) = $text =~ /^Content-Length: (\d+)/m;
        sysread $socket, $text, 65536, length $text until length($text =~ s/^.*?\r\n\r\n//sr) >= $length;
        like($text, qr/^memcached_up 1$/m, "scrape $turn of one connection");
    }
}
is((ask($place, 'GET /' . 'x' x 20_000))[0] // 400, 400, 'a line without end is refused');
is((ask($place, 'GET /', 'X: ' . 'x' x 20_000))[0] // 400, 400, 'and so is a header');
like((ask($place, 'POST /', 'Content-Length: 100000000'))[0] // 413, qr/^4/, 'and a large body, before it comes');

# ---------------------------------------------------------------------------------------------------
# Strangers

sub descriptors { return scalar(my @all = glob "/proc/${\ $server->pid}/fd/*") }
my $quiet = descriptors();
{
    my @crowd = map { reach($place) } 1 .. 200;
    ok(TestServer::wait_until(sub { descriptors() < $quiet + 40 }), 'of 200 who say nothing few are kept');
    is((ask($place, 'GET /'))[0], 200, 'and whoever asks is answered');
    is($client->ask('mn'), 'MN', 'as is the client of the cache');
    syswrite $_, "GET /met" for @crowd;
    is((ask($place, 'GET /metrics'))[0], 200, 'beside 200 half requests, too');
}
ok(TestServer::wait_until(sub { descriptors() <= $quiet + 1 }), 'when they have gone nothing of them is left');
{
    # It asks and does not read: nothing is read from it without end.
    my $greedy = reach($place);
    $greedy->blocking(0);
    my $line = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" x 1000;
    my ($sent, $memory) = (0, $server->resident);
    my $idle = 0;
    while ($idle < 10 && $sent < 64e6) {
        my $count = syswrite $greedy, $line;
        $count ? ($sent += $count, $idle = 0) : ($idle++, select undef, undef, undef, 0.05);
    }
    cmp_ok($sent, '<', 32e6, 'a client that asks without reading is not heard for ever');
    cmp_ok($server->resident - $memory, '<', 20_000, 'and takes no memory');
    is((ask($place, 'GET /metrics'))[0], 200, 'others are answered beside it');
}
{
    my $garbage = reach($place);
    syswrite $garbage, join '', map { chr int rand 256 } 1 .. 10_000;
    shutdown $garbage, SHUT_WR;
    rest($garbage);
    is((ask($place, 'GET /metrics'))[0], 200, 'rubbish does no harm');
}
is($server->stop, 0, 'an orderly stop');
ok(!IO::Socket::INET->new(PeerAddr => $place), 'closes the port');

# ---------------------------------------------------------------------------------------------------
# Unix sockets, and two ways to end

# libevent does not know what to make of their clients where the C library has no words for them, as musl.
my $refused = TestServer->run('-p', '-1', '-l', '127.0.0.1', '-o', "metrics=unix:$dir")->{stderr} =~ /^metrics=unix:\Q$dir\E: libevent cannot serve/m;
SKIP: {
    skip 'no Unix sockets in this build', 1 if !TestServer::has_feature('unix') || $refused;
    my $path = "$dir/metrics.sock";
    { my $dead = IO::Socket::UNIX->new(Local => $path, Listen => 1); }
    my $other = TestServer->start('-t', '1', '-a', '770', '-o', "metrics=unix:$path");
    is((stat $path)[2] & 0777, 0770, 'a stale socket is replaced by one with the mode of -a');
    is(metrics("unix:$path", $OPEN)->{memcached_up}, 1, 'it is served there');
    is($other->stop('TERM'), 0, 'SIGTERM');
    ok(!-e $path, 'takes the socket away');
    $other = TestServer->start('-t', '1', '-o', "metrics=unix:$path");
    is((stat $path)[2] & 0777, 0700, 'without -a the mode is 700');
    my $kept = reach("unix:$path");
    syswrite $kept, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    sysread $kept, my $begin, 10;
    is($other->stop('USR1'), 0, 'SIGUSR1');
    ok(!-e $path, 'does so, too');
    rest($kept);
    pass('and ends the connections');
}

# ---------------------------------------------------------------------------------------------------
# Places that cannot be had

sub refuses {
    my ($value, $status, $text) = @_;
    my $run = TestServer->run('-p', '-1', '-l', '127.0.0.1', '-o', "metrics=$value");
    is($run->{status}, $status, "metrics=$value ends the start");
    like($run->{stderr}, qr/^metrics=\Q$value\E: $text$/m, 'with what to do');
}
refuses('0.0.0.0:9150', 1, 'other machines would reach it: use a loopback address .*');
refuses('127.0.0.1:0', 1, 'no port: use one .*');
refuses('127.0.0.1', 1, 'no port: use one .*');
refuses('here', 1, 'no address: use ADDRESS:PORT .*');
my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
refuses('127.0.0.1:' . $taken->sockport, 71, "$IN_USE: use another port, or stop who has this one");
SKIP: {
    skip 'no Unix sockets in this build', 6 unless TestServer::has_feature('unix');
    if ($refused) {
        refuses("unix:$dir", 71, 'libevent cannot serve Unix sockets with this C library: use 127\.0\.0\.1 and a port');
        skip 'none can be served', 4;
    }
    refuses('unix:' . "$dir/" . 'x' x 108, 71, "$TOO_LONG: use a path of at most 107 bytes");
    refuses("unix:$dir", 71, "$IN_USE: what lies there is no socket: use another path, or remove it");
    refuses("unix:$dir/no/such", 71, 'No such file or directory: use a path where a file can be made');
}

# ---------------------------------------------------------------------------------------------------
# How long commands take

{
    $port = free_port();
    my $timed = TestServer->start('-t', '1', '-o', "latency_stats,metrics=127.0.0.1:$port");
    my $timing = $timed->client;
    $timing->set('k', 'x') for 1 .. 3;
    $timing->get('k') for 1 .. 5;
    my $times = metrics("127.0.0.1:$port");
    my $name = 'memcached_command_duration_seconds';
    is($times->{"${name}_count{command=\"set\",status=\"\"}"}, 3, 'times of stores');
    is($times->{"${name}_bucket{command=\"get\",status=\"hit\",le=\"+Inf\"}"}, 5, 'and of hits');
    cmp_ok($times->{"${name}_sum{command=\"get\",status=\"hit\"}"}, '>', 0, 'with their sum');
    is(scalar(grep { /^${name}_bucket\{command="get",status="miss"/ } keys %$times), 28, 'by powers of two');
    ok(!(grep { /$name/ } keys %$told), 'without -o latency_stats there are none');
}

# ---------------------------------------------------------------------------------------------------
# TLS

SKIP: {
    skip 'this server is built without TLS', 1 unless TestServer::has_feature('tls');
    require TestCerts;
    my $certs = TestCerts::ensure();
    $port = free_port();
    my $tls = TestServer->start({ tls => 1 }, '-t', '1', '-o', "ssl_ca_cert=$certs/ca.crt,metrics=127.0.0.1:$port");
    my $admin = $tls->client;
    my %ssl = %{ $tls->stats('ssl') };
    my $values = metrics("127.0.0.1:$port");
    is($values->{memcached_ssl_cert_not_after_timestamp_seconds}, $ssl{ssl_cert_not_after}, 'dates of certificates');
    is($values->{memcached_ssl_ca_not_after_timestamp_seconds}, $ssl{ssl_ca_not_after}, 'and of authorities');
    is($values->{"memcached_ssl_cert_sha256{sha256=\"$ssl{ssl_cert_sha256}\"}"}, 1, 'digests');
    is($values->{memcached_ssl_handshakes_done_total}, $ssl{ssl_handshakes_done}, 'handshakes');
    is($values->{'memcached_ssl_handshake_duration_seconds_bucket{le="+Inf"}'}, $ssl{ssl_handshakes_done}, 'and their times');
    cmp_ok($values->{'memcached_ssl_handshakes_by_version_total{version="tlsv1.3"}'}, '>', 0, 'by version');
    my @ciphers = grep { /^memcached_ssl_handshakes_by_cipher_total/ } keys %$values;
    cmp_ok(scalar @ciphers, '>', 0, 'by cipher');
}

SKIP: {
    skip 'this server is built without metrics over TLS', 1 unless TestServer::has_feature('metrics-tls');
    skip 'IO::Socket::SSL is not installed', 1 unless TestClient::tls_available();
    require TestCerts;
    my $certs = TestCerts::ensure();
    my $rules = "ssl_ca_cert=$certs/ca.crt";
    # Its thread makes handshakes behind its filter of system calls. Any address may be asked for.
    my $filters = TestServer::has_feature('seccomp') && !$ENV{VALGRIND_TEST} ? ',drop_privileges' : '';
    $port = free_port();
    my $tls = TestServer->start({ tls => 1 }, '-t', '1', '-o', "$rules,metrics=0.0.0.0:$port,metrics_tls$filters");
    my $secured = sub {
        my (%more) = @_;
        return IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$port", SSL_ca_file => "$certs/ca.crt", SSL_verifycn_scheme => 'none', Timeout => 20, %more);
    };
    my $scrape = sub {
        my ($socket) = @_ or return '';
        print $socket "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        local $/;
        return <$socket> // '';
    };
    like($scrape->($secured->()), qr/^memcached_up 1$/m, 'metrics over TLS');
    like($scrape->($secured->(SSL_version => 'TLSv12')), qr/^memcached_up 1$/m, 'TLS 1.2');
    my $kept = $secured->();
    for my $turn (1 .. 3) {
        print $kept "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        my $text = '';
        $text .= <$kept> until $text =~ /metrics\n\z/;
        like($text, qr{^HTTP/1.1 200 }, "request $turn of one connection");
    }
    my $plain = reach("127.0.0.1:$port");
    syswrite $plain, "GET /metrics HTTP/1.0\r\n\r\n";
    unlike(rest($plain), qr/memcached_/, 'without TLS nothing is told');
    my @crowd = map { reach("127.0.0.1:$port") } 1 .. 100;
    like($scrape->($secured->()), qr/^memcached_up 1$/m, 'strangers who say nothing keep nobody out');
    @crowd = ();
    $tls->client->ask('refresh_certs');
    like($scrape->($secured->()), qr/^memcached_ssl_refreshes_total 1$/m, 'certificates are loaded again');
    is($tls->stop('USR1'), 0, 'an orderly stop');

    $port = free_port();
    my $strict = TestServer->start({ tls => 1, ready => 0 }, '-t', '1', '-o', "$rules,ssl_verify_mode=2,metrics=127.0.0.1:$port,metrics_tls");
    TestServer::wait_until(sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
    my @client = (SSL_cert_file => "$certs/client.crt", SSL_key_file => "$certs/client.key");
    like($scrape->($secured->(@client)), qr/^memcached_up 1$/m, 'with ssl_verify_mode=2 a client shows its certificate');
    unlike($scrape->($secured->() // ()), qr/memcached_/, 'one without is told nothing');
    is($strict->stop, 0, 'and a stop');

    for my $row ([ ['metrics_tls'], 'metrics_tls: there are no metrics: use metrics=ADDRESS:PORT with it' ],
        [ ['metrics=127.0.0.1:9150,metrics_tls'], 'metrics_tls: TLS is off: use -Z with it' ])
    {
        my $run = TestServer->run('-p', '-1', '-o', @{ $row->[0] });
        is($run->{status}, 1, "$row->[0][0] ends the start");
        like($run->{stderr}, qr/^\Q$row->[1]\E$/m, 'with what to do');
    }
}

# ---------------------------------------------------------------------------------------------------
# Readers

SKIP: {
    my $python = TestPython::with('prometheus_client', 'prometheus_client');
    skip 'prometheus_client is not installed (CLIENT_TESTS=1 lets pip fetch it)', 1 unless $python;
    $port = free_port();
    my $read = TestServer->start('-t', '1', '-o', "latency_stats,temporary_ttl=30,idle_timeout=60,metrics=127.0.0.1:$port");
    my $writer = $read->client;
    $writer->set("k$_", 'x' x 100 x $_) for 1 .. 50;
    TestPython::check('prometheus_client', sub { $_[0] > 8 }, $python, 'metrics_check.py', $port);
}

done_testing;
