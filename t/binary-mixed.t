#!/usr/bin/perl
# Goal: text and binary clients share items, and each connection has its protocol: by its first byte, or by -B and proto[].
# Method: what one stores the other reads, by keys that both can name or only one; listeners of each kind, TCP and Unix; and
# both at once on the same keys.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary qw(frame talk answers read_answer store);

my $server = TestServer->start('-t', '2');
my ($b, $t) = ($server->client, $server->client);

store($b, 'b', "bin\r\nary", flags => 0x12345678);
$t->answers('get b', [ 'VALUE b 305419896 8', "bin\r\nary", 'END' ], 'stored by binary, read by text');
$t->set('t', 'text', flags => 4294967295);
answers($b, [ frame(getk => 't') ], ['getk 0 f4294967295 kt text'], 'and the other way round');
my ($cas) = $t->ask('mg b c') =~ /^HD c(\d+)$/;
answers($b, [ { cas => 1 }, frame(get => 'b') ], [ "get 0 c$cas f305419896 bin\r\nary" ], 'with one id');
answers($b, [ frame(incrq => 'n', initial => 1000), frame(decrq => 'n') ], [], 'a number made by binary');
$t->answers([ 'get n', 'incr n 5' ], [ 'VALUE n 0 4', '999 ', 'END', '1004' ], 'is text, blanks included');
answers($b, [ frame(get => 'n'), frame(delete => 'n') ], [ 'get 0 f0 1004', 'delete 0' ], 'in both directions');
$t->answers('get n', 'END', 'deletes are seen');
$t->answers([ 'append b 0 0 1', '!', 'touch b 500' ], [ 'STORED', 'TOUCHED' ], 'text appends and touches');
answers($b, [ frame(gat => 'b', ttl => 0) ], [ "gat 0 f305419896 bin\r\nary!" ], 'binary sees it');
is($t->ask('mg b t'), 'HD t-1', 'and touches itself');

# keys that lines cannot hold
my $odd = "\0 odd\r\n\xff";
store($b, $odd, 'value');
$t->answers('mg ACBvZGQNCv8= b k v', [ "VA 5 k$odd", 'value' ], 'text names a key of odd bytes in base64, and sees them as they are');
$t->answers([ "ms AG9kZA== 1 b", 'x' ], ['HD'], 'one stored in base64');
answers($b, [ frame(getk => "\0odd"), frame(setq => "\0odd", value => 'y'), frame(getk => "\0odd") ],
    [ "getk 0 f0 k\0odd x", "getk 0 f0 k\0odd y" ], 'is bytes for binary');
{
    # The mark that a key was given in base64 is the item's; binary never makes it.
    $t->answers([ 'flush_all', 'ms a2V5 1 b', 'x' ], [ 'OK', 'HD' ], 'a key in base64');
    my $dump = sub { $t->send("lru_crawler mgdump hash\r\n"); return $t->through("EN\r\n") };
    is($dump->(), "OK\r\nmg a2V5 b\r\nEN\r\n", 'is dumped in base64');
    store($b, 'key', 'y');
    is($dump->(), "OK\r\nmg key\r\nEN\r\n", 'and no longer when binary has stored it anew');
}

# Which protocol a connection speaks.
my $noop = frame('noop');
sub speaks {
    my ($client) = @_;
    $client->send($noop);
    my $answer = $client->bytes(1) // return 'nothing';
    return ord $answer == 0x81 ? 'binary' : 'text';
}
sub is_text { my ($client) = @_; return ($client->ask('mn') // '') eq 'MN' }

for my $case ([ auto => 'binary', 1 ], [ binary => 'binary', 0 ], [ ascii => 'text', 1 ]) {
    my ($word, $binary, $text) = @$case;
    my $one = TestServer->start('-B', $word, '-t', '1');
    is(speaks($one->client), $binary, "-B $word: what a binary client meets");
    my $client = $one->client;
    if ($text) { ok(is_text($client), "-B $word: text is served"); next }
    $client->send("version\r\nversion\r\nverso");
    ok($client->silent, '-B binary: 23 bytes of text are no header yet');
    $client->send('n');
    ok($client->closed, '24 are none at all');
}
SKIP: {
    skip 'listeners differ before 1.6.45', 1 if TestServer::is_old();
    my $many = TestServer->start('-l', 'proto[binary]:127.0.0.1:-1,proto[ascii]:127.0.0.1:-1,proto[negotiating]:127.0.0.1:-1', '-t', '1');
    my ($binary, $ascii, $either) = $many->ports;
    is(speaks($many->client(port => $binary)), 'binary', 'proto[binary]');
    my $deaf = $many->client(port => $binary);
    $deaf->send("version\r\n");
    ok($deaf->silent, 'speaks nothing else');
    is(speaks($many->client(port => $ascii)), 'text', 'proto[ascii]');
    ok(is_text($many->client(port => $ascii)), 'is text');
    is(speaks($many->client(port => $either)), 'binary', 'proto[negotiating] is binary');
    ok(is_text($many->client(port => $either)), 'or text');
    my $other = TestServer->start('-B', 'binary', '-l', 'proto[negotiating]:127.0.0.1:-1,127.0.0.1:-1', '-t', '1');
    ok(is_text($other->client(port => ($other->ports)[0])), 'a listener has its own word beside -B');
    is(speaks($other->client(port => ($other->ports)[1])), 'binary', 'others have that of -B');
    $other->{admin} = $other->client(port => ($other->ports)[0]);
    is($other->settings->{binding_protocol}, 'binary', 'which stats settings shows');
}
SKIP: {
    skip 'no Unix sockets', 2 unless TestServer::has_feature('unix');
    my $unix = TestServer->start({ unix => 1 }, '-t', '1');
    is(speaks($unix->client), 'binary', 'on a Unix socket, too');
    ok(is_text($unix->client), 'and text');
}

# both at once on the same keys, with values that show where they end
{
    my @clients = map { [ $server->client, $_ % 2 ] } 1 .. 8;
    my $bad = 0;
    srand 12;
    for my $round (1 .. 200) {
        for my $pair (@clients) {
            my ($client, $is_binary) = @$pair;
            my $key = 'shared' . int rand 5;
            my $value = join '', '<', 'v' x (int rand 3 ? int rand 50 : int rand 20_000), '>';
            $client->send($is_binary ? frame(set => $key, value => $value) . frame(get => $key)
                : "set $key 0 0 " . length($value) . "\r\n$value\r\nget $key\r\n");
        }
        for my $pair (@clients) {
            my ($client, $is_binary) = @$pair;
            if ($is_binary) {
                $bad++ unless read_answer($client) eq 'set 0' && read_answer($client) =~ /^get 0 f0 <v*>$/;
                next;
            }
            $bad++ unless $client->line eq 'STORED' && $client->through("END\r\n") =~ /^VALUE \S+ 0 \d+\r\n<v*>\r\nEND\r\n$/;
        }
    }
    is($bad, 0, 'eight clients of both kinds store and read the same keys');
}

done_testing;
