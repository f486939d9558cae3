#!/usr/bin/perl
# Goal: watchers are told of TLS clients that fail, over TLS as well as plainly, whichever thread makes the handshakes.
# Method: clients that speak no TLS, hang up, reset; watchers on a TLS port, one of which does not read.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestWatch qw(event port_of);
TestServer::need_feature('tls');
TestServer::need_new();

for my $threads (1, 0) {
    my $server = TestServer->start({ tls => 1 }, '-t', '2', '-o', "ssl_handshake_threads=$threads");
    my $where = $threads ? 'handshake threads' : 'workers';
    my $watcher = $server->client;
    is($watcher->ask('watch connevents'), 'OK', "$where: a watcher over TLS");

    # a client like any other
    my $client = $server->client;
    my $port = port_of($client);
    my $new = event($watcher);
    is($new->{text}, "type=conn_new rip=127.0.0.1 rport=$port transport=tcp cfd=$new->{cfd}", 'a client has come');
    $client->ask('mn');
    $client->close;
    my $gone = event($watcher);
    is($gone->{text}, "type=conn_close rip=127.0.0.1 rport=$port transport=tcp reason=normal cfd=$new->{cfd}", 'and is gone');

    # those that fail
    for my $case (
        [ 'plain bytes', sub { $_[0]->send("version\r\nversion\r\n") }, qr/wrong version number/ ],
        [ 'a web browser', sub { $_[0]->send("GET / HTTP/1.1\r\n\r\n") }, qr/http request/ ],
        [ 'no byte at all', sub { $_[0]->close }, qr/unexpected eof|hung up/ ],
    ) {
        my ($name, $act, $msg) = @$case;
        my $other = $server->client(tls => 0);
        my @events = (event($watcher));
        $act->($other);
        push @events, event($watcher) for 1, 2;
        is_deeply([ map { $_->{type} } @events ], [qw(conn_new conntlserr conn_close)], $name);
        like($events[1]{msg}, $msg, 'the reason');
        is($events[1]{fd}, $events[0]{cfd}, 'the descriptor');
        is($events[2]{reason}, 'error', 'an error');
    }
    my $reset = $server->client;
    $reset->ask('mn');
    $reset->abort;
    is_deeply([ map { event($watcher)->{type} } 1 .. 3 ], [qw(conn_new conntlserr conn_close)], 'a reset behind the handshake');

    # one that does not read, and one that does
    my $slow = $server->client;
    $slow->ask('watch fetchers');
    my $quick = $server->client;
    $quick->ask('watch mutations');
    my $admin = $server->admin;
    ok($server->overrun_watcher($admin), 'who does not read loses lines');
    $admin->set('beside', 'x');
    is(event($quick)->{key}, 'beside', 'and the others do not');
    $slow->send("what a watcher says\r\n" x 1_000);
    my $skipped = 0;
    for (1 .. 100_000) {
        my $line = $slow->through("\n", 0.5) // last;
        $skipped++ if $line =~ /\Askipped=\d+\n\z/;
        fail("a whole line: $line") unless $line =~ /\Askipped=|\Ats=\d+\.\d{6} gid=\d+ type=item_get /;
    }
    $admin->get('after');
    my $line = $slow->through("\n");
    $line = $slow->through("\n") if $line =~ /\Askipped=/ && ++$skipped;
    like($line, qr/ key=after /, 'it reads after all, and is told again');
    cmp_ok($skipped, '>=', 1, 'and told that lines are missing');
    $_->close for $slow, $quick;
    ok($server->wait_stat('log_watchers', 1), 'watchers that say goodbye are noticed');
    $watcher->abort;
    ok($server->wait_stat('log_watchers', 0), 'and one that does not');
    is($server->stop('USR1'), 0, 'the server stops');
}

done_testing();
