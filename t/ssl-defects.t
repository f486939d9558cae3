#!/usr/bin/perl
# Goal: what older servers get wrong in TLS does not come back.
# Method: one subtest a defect, through real sockets, in the order of their numbers in the project's
# description of TLS. An older server under MEMCACHED_SERVER has them: there the subtests are to-do.

use strict;
use warnings;
use Fcntl qw(O_RDWR O_NOCTTY);
use File::Copy qw(copy);
use Socket;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use Time::HiRes qw(sleep time);

BEGIN { TestServer::need_feature('tls') }
use TestCerts;
use TestWire;

my $certs = TestCerts::ensure();
my $pair = "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key";
my @client = (cert => "$certs/client.crt", key => "$certs/client.key");
my @versions = ('1.2', '1.3');
my $STORED = "STORED\r\n";
my $count = 0;

sub start { my ($options, @args) = @_; return TestServer->start({ tls => 1 }, '-t', '1', '-Z', '-o', $options, @args) }

# A directory with a pair of its own, for a server that is going to be given others.
sub site {
    my $dir = TestServer::scratch() . '/site.' . ++$count;
    mkdir $dir or die "$dir: $!";
    install($dir, 'server');
    return $dir;
}

sub install { my ($dir, $name) = @_; put($dir, 'chain', "$name.crt"); put($dir, 'key', "$name.key") }
sub put { my ($dir, $as, @names) = @_; TestCerts::write_file("$dir/$as", map { TestServer::slurp("$certs/$_") } @names) }

# The name on the certificate that a new client is shown and served under, undef where it is not served.
sub shown {
    my ($server, %tls) = @_;
    my $client = $server->try_client(tls => { Timeout => 5, %tls }) or return undef;
    return undef unless ($client->ask('mn') // '') eq 'MN';
    return $client->socket->peer_certificate('commonName');
}

sub errors { my ($stats) = @_; return ($stats->{ssl_handshake_errors} // 0, $stats->{ssl_proto_errors} // 0) }

my @defects = (

[ 'D1', 'the listener makes no handshakes: a storm of them is the workers\' work', sub {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', '-Z', '-o', "ssl_chain_cert=$certs/rsa.crt,ssl_key=$certs/rsa.key");
    my $pid = $server->pid;
    plan skip_all => 'no times of threads' unless ($server->thread_times->{$pid} // 0) > 0;
    is($server->client->ask('mn'), 'MN', 'a server');
    my $before = $server->thread_times;
    kill 'STOP', $pid;
    my @wires = map { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put($wire->hello); $wire } 1 .. 80;
    kill 'CONT', $pid;
    is(scalar(grep { $_->handshake } @wires), 80, 'eighty handshakes that came at once');
    my $after = $server->thread_times;
    my $all = 0;
    $all += $after->{$_} - ($before->{$_} // 0) for keys %$after;
    my $share = ($after->{$pid} - $before->{$pid}) / $all;
    cmp_ok($share, '<', 0.35, sprintf 'the main thread has %.1f %% of their time', 100 * $share);
} ],

[ 'D2', 'a failed refresh changes nothing', sub {
    my $dir = site();
    put($dir, 'ca', 'ca.crt');
    my $server = start("ssl_chain_cert=$dir/chain,ssl_key=$dir/key,ssl_ca_cert=$dir/ca,ssl_verify_mode=1");
    my $admin = $server->admin;
    my $fails = sub {
        my ($line, $name) = @_;
        like($admin->ask('refresh_certs'), $line, $name);
        for my $version (qw(TLSv1_2 TLSv1_3)) {
            is(shown($server, SSL_version => $version), 'localhost', "$version: new clients get the certificate of before");
        }
        my $known = $server->try_client(tls => { SSL_cert_file => "$certs/client.crt", SSL_key_file => "$certs/client.key" });
        is($known && $known->ask('mn'), 'MN', 'clients of the old authority are known');
    };
    put($dir, 'chain', 'server2.crt');
    unlink "$dir/key";
    $fails->(qr/^Error loading the key: \Q$dir\E\/key : .*No such file/, 'a new chain without its key');
    put($dir, 'key', 'server.key');
    $fails->(qr/^Error loading the key: .*mismatch/, 'with the key of before');
    put($dir, 'key', 'rsa.key');
    $fails->(qr/^Error (validating the certificate|loading the key)/, 'with a key of another type');
    install($dir, 'server2');
    TestCerts::write_file("$dir/ca", "no certificate\n");
    $fails->(qr/^Error loading the CA certificate: \Q$dir\E\/ca : /, 'a good pair with a bad authority');
    put($dir, 'ca', 'ca.crt');
    is($admin->ask('refresh_certs'), 'OK', 'all of it in order');
    is(shown($server), 'second.localhost', 'the new certificate');
} ],

[ 'D3', 'commands behind a value in the last record are served after a yield', sub {
    for my $row ([ '-R 1', 1, [ '-R', '1' ] ], [ 'the default -R', 11, [] ]) {
        my ($name, $uploads, $args) = @$row;
        my $server = start($pair, @$args);
        for my $version (@versions) {
            my $wire = TestWire->connect($server->port, version => $version);
            $wire->put($wire->seal(("set k 0 0 20000\r\n" . 'x' x 20_000 . "\r\n") x $uploads . "mn\r\n"));
            my $want = $STORED x $uploads . "MN\r\n";
            is($wire->take(length $want, 5), $want, "$name, TLS $version: $uploads values and a command");
        }
    }
} ],

[ 'D4', 'a command that straddles a full read buffer is served', sub {
    my $server = start($pair);
    for my $version (@versions) {
        my $wire = TestWire->connect($server->port, version => $version);
        $wire->put($wire->seal('get abcdef'));
        my $rest = substr(join('', map { " none$_" } 1 .. 3000), 0, 16_382) . "\r\n";
        $wire->put($wire->seal($rest));
        is($wire->take(5, 5), "END\r\n", "TLS $version");
    }
} ],

[ 'D5', 'a saved session does no harm where certificates are asked for', sub {
    for my $options ('ssl_verify_mode=1', 'ssl_verify_mode=2', 'ssl_verify_mode=1,ssl_session_cache') {
        my $server = start("$pair,ssl_ca_cert=$certs/ca.crt,$options");
        for my $version (@versions) {
            my $session = TestWire->session_of($server->port, version => $version, @client);
            ok($session, "$options, TLS $version: a client");
            is(TestWire->offered($server->port, $session, version => $version, @client), 'resumed', 'comes again and again') for 1 .. 3;
        }
    }
} ],

[ 'D6', 'no session crosses a class', sub {
    for my $cache ('', ',ssl_session_cache') {
        my $server = start("$pair,ssl_ca_cert=$certs/ca.crt,ssl_verify_mode=2$cache", '-l', '127.0.0.1:-1,btls:127.0.0.1:-1,mtls:127.0.0.1:-1');
        my ($default, $basic, $mutual) = $server->ports;
        for my $version (@versions) {
            my $anonymous = TestWire->session_of($basic, version => $version);
            ok($anonymous, "TLS $version$cache: a session without a certificate");
            is(TestWire->offered($basic, $anonymous, version => $version), 'resumed', 'is good where it was made');
            is(TestWire->offered($mutual, $anonymous, version => $version), 'refused', 'opens no mutual port');
            is(TestWire->offered($default, $anonymous, version => $version), 'refused', 'nor one whose mode wants certificates');
        }
    }
} ],

[ 'D7', 'a removed authority is trusted no more, and an old certificate is gone', sub {
    my $dir = site();
    put($dir, 'ca', 'ca.crt', 'foreign-ca.crt');
    my @foreign = (cert => "$certs/client-foreign.crt", key => "$certs/client-foreign.key");
    my $server = start("ssl_chain_cert=$dir/chain,ssl_key=$dir/key,ssl_ca_cert=$dir/ca,ssl_session_cache", '-l', '127.0.0.1:-1,mtls:127.0.0.1:-1');
    my ($default, $mutual) = $server->ports;
    my %session = map { $_ => TestWire->session_of($mutual, version => $_, @foreign) } @versions;
    ok($session{$_}, "TLS $_: a client of the second authority") for @versions;
    put($dir, 'ca', 'ca.crt');
    is($server->admin->ask('refresh_certs'), 'OK', 'the second authority is removed');
    for my $version (@versions) {
        is(TestWire->offered($mutual, $session{$version}, version => $version, @foreign), 'refused', "TLS $version: its client's session");
        ok(!TestWire->session_of($mutual, version => $version, @foreign), 'and its client');
        ok(TestWire->session_of($mutual, version => $version, @client), 'the other authority stays');
    }
    install($dir, 'rsa');
    is($server->admin->ask('refresh_certs'), 'OK', 'a key of another type');
    # Offers what the old key could do, first.
    my %prefers_old = (SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384');
    is(shown($server, %prefers_old), 'rsa.localhost', 'a client that would rather have the old one gets the new one');
    ok(!$server->try_client(tls => { SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-ECDSA-AES256-GCM-SHA384', Timeout => 5 }),
        'one that can do nothing else gets none');
} ],

[ 'D8', 'TLS and refreshes work with drop_privileges', sub {
    my $server = TestServer->start({ tls => 1, binary => TestServer::production_path() // TestServer::server_path() },
        '-t', '2', '-Z', '-o', $pair, '-o', 'drop_privileges');
    for my $version (qw(TLSv1_2 TLSv1_3)) { is(shown($server, SSL_version => $version), 'localhost', "$version is served") }
    is($server->admin->ask('refresh_certs'), 'OK', 'a refresh');
    is(shown($server), 'localhost', 'and a client after it');
    ok(!$server->has_ended, 'the server lives');
} ],

[ 'D9', 'a failed handshake leaves nothing behind for others of its worker', sub {
    my $server = start($pair);
    my $wire = TestWire->connect($server->port);
    my @before = errors($server->stats);
    for my $round (1 .. 10) {
        my $record = $wire->seal("mn\r\n");
        $wire->put(substr $record, 0, 10);
        my $plain = $server->client(tls => 0);
        $plain->send("rubbish\r\n");
        $plain->rest;
        $wire->put(substr $record, 10);
        is($wire->take(4, 5), "MN\r\n", 'a record in halves around an aborted handshake');
    }
    my @after = errors($server->stats);
    is_deeply([ map { $after[$_] - $before[$_] } 0, 1 ], [ 10, 0 ], 'ten aborted handshakes count as ten');
} ],

[ 'D10', 'ssl_wbuf_size is not taken where it leaves no buffer', sub {
    for my $size (0, 1_048_577, 4_194_304, 4_194_305) {
        my $run = TestServer->run('-Z', '-l', '127.0.0.1', '-p', '-1', '-o', "$pair,ssl_wbuf_size=$size");
        is($run->{status}, 1, "ssl_wbuf_size=$size ends the start");
        like($run->{stderr}, qr/^Invalid ssl_wbuf_size\. Use help to see valid options\.$/m, 'with its line');
    }
    my $server = start("$pair,ssl_wbuf_size=1");
    $server->client->set('k', 'v' x 10_000);
    is($server->client->get('k'), 'v' x 10_000, 'the smallest one serves');
} ],

[ 'D11', 'a handshake that fails is a handshake error, whenever its bytes come', sub {
    my $server = start($pair);
    my $failing = sub {
        my ($name, $late) = @_;
        my @before = errors($server->stats);
        my $wire = TestWire->connect($server->port, handshake => 0);
        my $hello = $wire->hello;
        if ($late) {
            # The worker has had a look already, and found nothing.
            $server->admin->ask('mn');
            sleep 0.05;
        }
        $wire->put(substr($hello, 0, 5) . "\xff" x (length($hello) - 5));
        $wire->rest;
        my @moved;
        TestServer::wait_until(sub {
            my @now = errors($server->stats);
            @moved = map { $now[$_] - $before[$_] } 0, 1;
            $moved[0] + $moved[1];
        });
        is_deeply(\@moved, [ 1, 0 ], $name);
    };
    $failing->('a ClientHello that comes with the connection', 0);
    $failing->('one that comes later', 1);
    kill 'STOP', $server->pid;
    my @wires = map { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put("GET / HTTP/1.1\r\n\r\n"); $wire } 1 .. 5;
    kill 'CONT', $server->pid;
    $_->rest for @wires;
    ok($server->wait_stat('ssl_handshake_errors', 7), 'five that waited for the server');
    is($server->stat('ssl_proto_errors'), 0, 'nothing lands in the other counter');
} ],

[ 'D12', 'relative paths stay good after -d', sub {
    my $dir = site();
    put($dir, 'ca', 'ca.crt');
    put($dir, 'crl', 'crl.pem');
    TestCerts::write_file("$dir/allow", "CN:*\n");
    TestCerts::write_file("$dir/tickets", 'k' x 80);
    my $options = 'ssl_chain_cert=chain,ssl_key=./key,ssl_ca_cert=ca';
    $options .= ',ssl_crl=crl,ssl_client_allow_file=allow,ssl_ticket_key_file=tickets' unless TestServer::is_old();
    my $run = TestServer->run({ dir => $dir, env => { MEMCACHED_PORT_FILENAME => "$dir/ports" } },
        '-d', '-P', "$dir/pid", '-t', '1', '-l', '127.0.0.1', '-p', '-1', '-Z', '-o', $options);
    is($run->{status}, 0, 'the parent ends with 0');
    ok(TestServer::wait_until(sub { -s "$dir/pid" && -e "$dir/ports" }), 'the pid file appears') or return;
    my ($pid) = TestServer::slurp("$dir/pid") =~ /^(\d+)/;
    TestServer::watch_over("watch $pid");
    my ($port) = TestServer::slurp("$dir/ports") =~ /: (\d+)/;
    my $connect = sub { TestClient->connect_tcp(host => '127.0.0.1', port => $port, tls => 1) };
    my $client = $connect->();
    install($dir, 'server2');
    is($client && $client->ask('refresh_certs'), 'OK', 'a refresh finds the files');
    my $next = $connect->();
    is($next && $next->socket->peer_certificate('commonName'), 'second.localhost', 'and takes them');
    my $settings = $client->stats('settings');
    is_deeply([ @$settings{qw(ssl_chain_cert ssl_key ssl_ca_cert)} ], [ 'chain', './key', 'ca' ], 'they are shown as given');
    kill 'TERM', $pid;
    TestServer::wait_until(sub { !kill(0, $pid) || TestServer::slurp("/proc/$pid/stat") =~ /\) Z / });
    TestServer::watch_over("forget $pid");
} ],

[ 'D13', 'no refresh asks for a pass phrase', sub {
    my ($terminal, $path) = terminal();
    plan skip_all => 'no terminal to be had' unless $terminal;
    my $dir = site();
    install($dir, 'rsa');
    # Makes the terminal that of a session of its own, and becomes the server there.
    my $run = "$dir/on-terminal";
    TestCerts::write_file($run, "#!$^X\nuse POSIX;\nPOSIX::setsid();\nopen my \$tty, '+<', '$path' or die;\nexec '${\ TestServer::server_path()}', \@ARGV;\n");
    chmod 0755, $run;
    my $server = TestServer->start({ tls => 1, binary => $run }, '-t', '2', '-Z', '-o', "ssl_chain_cert=$dir/chain,ssl_key=$dir/key");
    my $steady = $server->client;
    put($dir, 'key', 'rsa-locked.key');
    my $begin = time;
    $steady->send("refresh_certs\r\n");
    my $new = $server->try_client(tls => { Timeout => 5 });
    is($new && $new->ask('mn'), 'MN', 'a new client is served meanwhile');
    like($steady->line(5) // 'nothing', qr/^Error loading the key: \Q$dir\E\/key : /, 'the refresh fails');
    cmp_ok(time - $begin, '<', TestServer::patience(5), 'at once');
    is(said($terminal), '', 'nothing is asked on the terminal');
    put($dir, 'key', 'rsa.key');
    is($steady->ask('refresh_certs'), 'OK', 'with a key in the clear it succeeds');
    $server->stop;
} ],

[ 'D14', 'the time since the last refresh starts at zero', sub {
    my $server = start($pair);
    cmp_ok($server->stat('time_since_server_cert_refresh'), '<=', TestServer::patience(3), 'at the start');
    if (TestServer::has_feature('debug')) {
        $server->advance_clock(100);
        cmp_ok($server->stat('time_since_server_cert_refresh'), '>=', 100, 'a hundred seconds later');
        is($server->client->ask('refresh_certs'), 'OK', 'a refresh');
        cmp_ok($server->stat('time_since_server_cert_refresh'), '<=', 2, 'starts it again');
    }
} ],

[ 'D15', 'a client too many gets no plain text on a TLS port', sub {
    plan skip_all => 'valgrind has descriptors of its own' if $ENV{VALGRIND_TEST};
    my $server = start($pair, '-t', '2', '-c', '40', '-l', '127.0.0.1:-1,notls:127.0.0.1:-1');
    my ($port, $plain) = $server->ports;
    my @clients;
    my $told;
    while (@clients < 40) {
        my $client = $server->try_client(port => $plain, tls => 0) or last;
        $client->send("mn\r\n");
        $told = $client->line(2);
        last if ($told // '') ne 'MN';
        push @clients, $client;
    }
    is($told, 'ERROR Too many open connections', 'on a plain port it is told');
    for (1 .. 3) { is($server->client(port => $port, tls => 0)->rest, '', 'on a TLS port the connection just ends') }
    cmp_ok($clients[0]->stats->{rejected_connections}, '>=', 4, 'both are counted');
} ],

[ 'D16', 'a failed handshake prints nothing', sub {
    my $server = start($pair);
    # The bytes lie there before accept looks, since the process is stopped.
    for (1 .. 3) {
        $server->signal('STOP');
        my @wires = map { my $wire = TestWire->connect($server->port, handshake => 0); $wire->put("rubbish that is no ClientHello\r\n"); $wire } 1 .. 4;
        $server->signal('CONT');
        $_->rest for @wires;
    }
    is($server->client->ask('mn'), 'MN', 'the server goes on');
    is($server->stderr_text, '', 'and has said nothing');
} ],

[ 'D17', 'a session that no worker serves is freed', sub {
    my $server = start($pair);
    my $pid = $server->pid;
    plan skip_all => 'no /proc, or valgrind' if $ENV{VALGRIND_TEST} || !-e "/proc/$pid/status";
    # Accepted and handed over in one go, and gone before a worker looks: closed by reset while the server sleeps.
    my $storm = sub {
        kill 'STOP', $pid;
        for (1 .. 100) {
            my $client = $server->client(tls => 0);
            setsockopt $client->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
            $client->close;
        }
        kill 'CONT', $pid;
        return $server->wait_stat('curr_connections', sub { $_[0] <= 1 });
    };
    $storm->() for 1 .. 3;
    my $before = $server->resident;
    ok($storm->(), 'a hundred connections are let go') for 1 .. 10;
    cmp_ok($server->resident - $before, '<', 2000, 'a thousand sessions leave no memory behind');
} ],

[ 'D18', 'the three prefixes are named right where TLS is off', sub {
    for my $prefix (qw(notls btls mtls)) {
        my $run = TestServer->run('-p', '-1', '-l', "$prefix:127.0.0.1:-1");
        is($run->{status}, 71, "$prefix: status 71");
        like($run->{stderr}, qr/^'$prefix' option is valid only when SSL is enabled$/m, 'and its line');
    }
} ],

);

# A terminal nobody sits at: its master's handle and the path of the other end; nothing where there is none.
sub terminal {
    sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY or return;
    # TIOCSPTLCK and TIOCGPTN of Linux.
    my ($unlocked, $number) = (pack('i', 0)) x 2;
    ioctl($master, 0x40045431, $unlocked) or return;
    ioctl($master, 0x80045430, $number) or return;
    my $path = '/dev/pts/' . unpack 'i', $number;
    return -e $path ? ($master, $path) : ();
}

# What has been written to a terminal.
sub said {
    my ($master) = @_;
    my ($text, $ready) = ('', '');
    vec($ready, fileno $master, 1) = 1;
    while (select my $found = $ready, undef, undef, 0.1) {
        sysread $master, $text, 4096, length $text or last;
    }
    return $text;
}

for my $row (@defects) {
    my ($number, $title, $test) = @$row;
    TODO: {
        local $TODO = 'older servers have this defect' if TestServer::is_old();
        subtest("$number: $title" => sub {
            # What an older server does to a client must not end the test.
            if (TestServer::is_old()) { eval { $test->(); 1 } or fail("died: $@") }
            else { $test->() }
            done_testing;
        });
    }
}

done_testing;
