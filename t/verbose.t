#!/usr/bin/perl
# Goal: what -v, -vv and -vvv say on stderr, in the form that people grep for.
# Method: one client's life at -vv, its lines in order; verbosity changed at run time.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $server = TestServer->start('-t', '1', '-vv');
my $c = $server->client;
$c->talk([ 'set k 0 0 1', 'v', 'get k', 'set k 0 0 1 noreply', 'v', 'bogus', 'mg k v v', 'me none' ]);
$c->close;
ok($server->wait_stderr(qr/^<\d+ connection closed\.$/m), '-vv: the end of a connection');
my $text = $server->stderr_text;
like($text, qr/^slab class   1: chunk size        96 perslab   10922$/m, 'classes');
like($text, qr/^<\d+ server listening \(auto-negotiate\)$/m, 'listeners');
like($text, qr/^<(\d+) new auto-negotiating client connection$/m, 'a new client');
my ($fd) = $text =~ /^<(\d+) new auto-negotiating client connection$/m;
my @ours = grep { /^[<>]?$fd[ :]|^> / } split /\n/, $text;
my $flow = join "\n", @ours;
like($flow, qr/^$fd: Client using the ascii protocol\n<$fd set k 0 0 1\n>$fd STORED\n<$fd get k\n>$fd sending key k\n>$fd END\n<$fd set k 0 0 1 noreply\n>$fd NOREPLY STORED\n<$fd bogus\n>$fd ERROR\n<$fd mg k v v\n>$fd CLIENT_ERROR duplicate flag\n<$fd me none\n>$fd EN\n<$fd mn\n/m,
    'its commands and replies');

my $quiet = TestServer->start('-t', '1');
my $q = $quiet->client;
$q->ask('bogus');
is($quiet->stderr_text, '', 'without -v nothing is said');
$q->ask('verbosity 2');
$q->ask('get somewhere');
ok($quiet->wait_stderr(qr/^<\d+ get somewhere$/m), 'verbosity 2: commands are shown');
$q->ask('verbosity 0');
$q->ask('get elsewhere');
unlike($quiet->stderr_text, qr/get elsewhere/, 'verbosity 0: no more');

my $loud = TestServer->start('-t', '1', '-vvv');
$loud->client->ask('mn');
ok($loud->wait_stderr(qr/^\d+: going from conn_new_cmd to conn_(waiting|read)$/m), '-vvv: states');

ok($loud->wait_stderr(qr/^Starting LRU maintainer background thread$/m), '-vvv: threads') unless TestServer::is_old();

# Growth of the hash table, from a tick of the clock on.
my $growing = TestServer->start('-t', '1', '-vv', '-o', 'hashpower=12');
my $g = $growing->client;
$g->ask('verbosity 0');
$g->talk([ map { ("set k$_ 0 0 0 noreply", '') } 1 .. 6200 ]);
$g->ask('verbosity 2');
ok($growing->wait_stderr(qr/^Hash table expansion starting\n(?:.*\n)*Hash table expansion done$/m), '-vv: growth of the hash table');
my @steps = grep { /^Hash table/ } split /\n/, $growing->stderr_text;
is(scalar @steps, 2, 'once');

# Where nobody hears it, as on a full disk, the server serves all the same.
SKIP: {
    skip 'no /dev/full here', 1 unless -e '/dev/full';
    my $program = TestServer::write_file(TestServer::scratch() . '/unheard',
        "#!/bin/sh\nexec '${\ TestServer::server_path()}' \"\$@\" 2>/dev/full\n");
    chmod 0755, $program;
    my $unheard = TestServer->start({ binary => $program }, '-t', '1', '-vvv');
    is(join(' ', map { $unheard->client->ask('mn') } 1 .. 3), 'MN MN MN', 'words that cannot be written hold nobody up');
}

{
    require TestBinary;
    my $binary = $server->client;
    TestBinary::talk($binary, TestBinary::frame(get => 'abc', opaque => 'opaq'));
    $binary->close;
    ok($server->wait_stderr(qr/^(\d+): Client using the binary protocol\n(?s:.*)^<\1 connection closed\.$/m), '-vv: a binary client');
    my ($get) = $server->stderr_text =~ /Client using the binary protocol\n(.*?)<\d+ Read binary protocol data:\n<\d+    0x80 0x0a/s;
    is($get =~ s/^([<>])\d+/$1/mgr, <<'END', 'the headers of a request and its answer');
< Read binary protocol data:
<    0x80 0x00 0x00 0x03
<    0x00 0x00 0x00 0x00
<    0x00 0x00 0x00 0x03
<    0x6f 0x70 0x61 0x71
<    0x00 0x00 0x00 0x00
<    0x00 0x00 0x00 0x00
> Writing bin response:
>   0x81 0x00 0x00 0x00
>   0x00 0x00 0x00 0x01
>   0x00 0x00 0x00 0x09
>   0x6f 0x70 0x61 0x71
>   0x00 0x00 0x00 0x00
>   0x00 0x00 0x00 0x00
END
    my $foreign = $server->client;
    $foreign->send(TestBinary::frame('noop') . 'GET / HTTP/1.1 and something more');
    ok($server->wait_stderr(qr/^Invalid magic:  47$/m), '-v: what is no request');
}

for my $protocol (qw(ascii binary)) {
    my $one = TestServer->start('-t', '1', '-vv', '-B', $protocol);
    my $client = $one->client;
    ok($one->wait_stderr(qr/^<\d+ server listening \($protocol\)$/m), "-B $protocol: the listener");
    ok($one->wait_stderr(qr/^<\d+ new $protocol client connection\.$/m), 'and its client');
}

done_testing;
