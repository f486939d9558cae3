#!/usr/bin/perl
# Goal: whatever a binary header says, the answer is the table's, the stream stays in step, and nobody else notices.
# Method: frames that are wrong in one way each; what was published as an attack on older servers, byte for byte; bodies
# that are refused and skipped; every cut of a conversation.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary qw(frame talk answers answers_and_closes read_answer store);

my $server = TestServer->start('-t', '1');
my $c = $server->client;
store($c, 'old', 'value');
my ($INVALID, $UNKNOWN) = ('4 Invalid arguments', '81 Unknown command');

sub ends {
    my ($frame, $answer, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    # What follows must not be looked at.
    answers_and_closes($server->client, [ $frame, frame(delete => 'old'), "delete old\r\n" ], [ defined $answer ? $answer : () ], $name);
}

# the shape of each command: extras, key, value
my %shape = ((map { $_ => [ 8, 1, 1 ] } qw(set add replace setq addq replaceq)), (map { $_ => [ 0, 1, 0 ] } qw(get getk getq getkq delete deleteq)),
    (map { $_ => [ 20, 1, 0 ] } qw(incr decr incrq decrq)), (map { $_ => [ 0, 1, 1 ] } qw(append prepend appendq prependq)),
    (map { $_ => [ 4, 1, 0 ] } qw(touch gat gatk gatq gatkq)), (map { $_ => [ 0, 0, 0 ] } qw(noop version quit quitq list flush flushq)),
    stat => [ 0, '', 0 ], auth => [ 0, 1, 1 ], step => [ 0, 1, 1 ]);
for my $command (sort keys %shape) {
    my ($extras, $key, $value) = @{ $shape{$command} };
    my $right = "\0" x $extras;
    my $k = $key ? 'key' : '';
    ends(frame($command => $k, extras => $right . 'x'), "$command $INVALID", "$command: one byte of extras more");
    ends(frame($command => $k, extras => substr $right, 1), "$command $INVALID", "$command: one byte less") if $extras;
    ends(frame($command => '', extras => $right), "$command $INVALID", "$command: no key") if $key;
    ends(frame($command => 'key', extras => $right), "$command $INVALID", "$command: a key") if $key eq '0';
    ends(frame($command => $k, extras => $right, value => 'v'), "$command $INVALID", "$command: a value") unless $value;
    ends(frame($command => 'k' x 251, extras => $right), "$command $INVALID", "$command: a key of 251 bytes");
    ends(frame($command => 'key', extras => $right, body_length => $extras + 2), "$command $UNKNOWN", "$command: a body shorter than its key");
    ends(frame($command => 'key', extras => $right, body_length => 1 << 31), "$command $INVALID", "$command: a body of two gigabytes");
}

# published attacks
for my $command (qw(append prepend appendq prependq)) {
    ends(frame($command => 'k' x 250, body_length => 0) . 'A' x 1024, "$command $UNKNOWN", "CVE-2016-8704: $command");
}
for my $command (qw(set add replace setq addq replaceq)) {
    ends(frame($command => 'k' x 250, body_length => 10) . 'A' x 1024, "$command $UNKNOWN", "CVE-2016-8705: $command");
    ends(frame($command => 'key', body_length => 0xffffffd0) . 'A' x 1024, "$command $INVALID", "CVE-2016-8705: $command, body");
}
for my $command (qw(auth step)) {
    ends(frame($command => 'k' x 32, body_length => 1) . 'A' x 1024, "$command $UNKNOWN", "CVE-2016-8706: $command");
}
for my $command (sort keys %shape) {
    ends(frame($command => 'k', extras => 'e' x 255), "$command $INVALID", "CVE-2020-10931: $command");
}
for my $length (0x40000001, 0x7ffffff0, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0, 0xffffffff) {
    my $name = sprintf 'body length %#x', $length;
    ends(frame(set => 'old', body_length => $length) . 'A' x 1024, "set $INVALID", $name);
    ends(frame(0xee => 'old', body_length => $length), "0xee $INVALID", "$name, unknown command");
}
{
    my $g = $server->client;
    $g->send(frame(set => 'giga', body_length => 1 << 30));
    ok($g->silent, 'a body of one gigabyte is waited for');
    ends(frame(get => 'k' x 16_360), "get $INVALID", 'a key that just fits the read buffer');
    ends(frame(get => 'k' x 16_361), undef, 'a key that does not: silence');
    ends(frame(set => 'k' x 16_200, extras => 'e' x 255), undef, 'extras and key that do not: silence');
}

# a value as the next request
ends(frame(touch => 'old', ttl => 0, value => frame(delete => 'old')), "touch $INVALID", 'smuggled behind touch');
ends(frame(stat => 'rese', value => 't'), "stat $INVALID", 'half of a name as value');
answers($c, [ frame(getq => 'old') ], ['getq 0 f0 value'], 'nothing of it has touched the old value');

# unknown commands, and what is skipped with them
for my $opcode (0x1b, 0x1f, 0x25, 0x30 .. 0x3c, 0x40, 0x80, 0xff) {
    my $name = sprintf '0x%02x', $opcode;
    $name = 'verbosity' if $opcode == 0x1b;
    answers($c, [ frame($opcode), frame($opcode => 'key', extras => 'extras', value => frame(delete => 'old') x 3), frame(getq => 'old') ],
        [ "$name $UNKNOWN", "$name $UNKNOWN", 'getq 0 f0 value' ], "opcode $name is unknown");
}
answers($c, [ frame('list'), frame(auth => 'PLAIN', value => "\0user\0word"), frame(step => 'PLAIN', value => 'x' x 200_000) ],
    [ "list $UNKNOWN", "auth $UNKNOWN", "step $UNKNOWN" ], 'without -S nobody logs in');
{
    my $large = frame(set => 'old', value => 'x' x 2_000_000);
    my $s = $server->client;
    $s->send(substr $large, 0, -1);
    ok($s->silent, 'what is too large is not answered before its last byte');
    answers($c, [ frame(getq => 'old') ], [], 'the old value is gone by then');
    $s->send(substr $large, -1);
    is(read_answer($s), 'set 3 Too large.', 'but behind it');
    answers($s, [], [], 'and the connection lives');
    store($c, 'old', 'value');
    for my $command (qw(add replace append prepend addq replaceq appendq prependq)) {
        answers($s, [ frame($command => 'old', value => 'x' x 2_000_000), frame(getq => 'old') ], [ "$command 3 Too large.", 'getq 0 f0 value' ],
            "$command of too much leaves the old value");
    }
    my $unknown = frame(0xee => 'key', value => 'x' x 100_000);
    $s->send(substr $unknown, 0, 50_000);
    ok($s->silent, 'nor is what is unknown');
    $s->send(substr $unknown, 50_000);
    is(read_answer($s), "0xee $UNKNOWN", 'before it is skipped');
    $s->send(substr $large, 0, 1_000_000);
    $s->close;
    ok($server->wait_stat('curr_connections', 2), 'who goes in the middle leaves nothing behind');
}
{
    my $full = TestServer->start('-m', '2', '-M', '-t', '1');
    my $f = $full->client;
    my $answers;
    for my $n (1 .. 100) { $answers = talk($f, frame(setq => "fill$n", value => 'x' x 100_000)); last if @$answers }
    is_deeply($answers, ['setq 82 Out of memory allocating item'], 'without memory a quiet store is answered, too');
    answers($f, [ frame(append => 'fill1', value => 'x' x 100_000), frame(set => 'fill2', value => 'y' x 100_000), frame(getq => 'fill2'),
        frame(getq => 'fill1') ], [ 'append 82 Out of memory allocating item', 'set 82 Out of memory allocating item', 'getq 0 f0 ' . 'x' x 100_000 ],
        'and a set takes the old value along');
}

# magic
{
    answers_and_closes($server->client, [ frame('noop'), "\x81" . substr frame('noop'), 1 ], ['noop 0'], 'an answer is no request');
    answers_and_closes($server->client, [ frame('noop'), "version\r\nversion\r\nversion\r\n" ], ['noop 0'], 'nor is text');
    my $half = $server->client;
    $half->send(frame('noop') . "\x81");
    is(read_answer($half), 'noop 0', 'half a header');
    ok($half->silent, 'is not judged');
    my $text = $server->client;
    $text->send("\x81x\r\n");
    is($text->line, 'ERROR', 'a connection that begins with 0x81 is text');
    $half->close;
    $text->close;
}

# every cut
my $talk = join '', frame(set => 'cut', flags => 5, value => "a\r\nb"), frame(getk => 'cut'), frame(getq => 'none'), frame(gat => 'cut', ttl => 0),
    frame(append => 'cut', value => '!'), frame(getkq => 'cut'), frame(incr => 'number', initial => 7), frame(0xee => 'key', extras => 'ex', value => 'value'),
    frame(touch => 'cut', ttl => 0), frame(deleteq => 'cut'), frame(deleteq => 'number'), frame('version'), frame('noop');
my $without_ids = TestServer->start('-t', '1', '-C');
{
    require TestSplit;
    my $reply = join '', map { my ($opcode, $status, $extras, $key, $value) = @$_;
        pack('CCnCCnNa4Q>', 0x81, $opcode, length $key, length $extras, 0, $status, length "$extras$key$value", 'opaq', 0) . "$extras$key$value" }
        [ 0x01, 0, '', '', '' ], [ 0x0c, 0, pack('N', 5), 'cut', "a\r\nb" ], [ 0x1d, 0, pack('N', 5), '', "a\r\nb" ], [ 0x0e, 0, '', '', '' ],
        [ 0x0d, 0, pack('N', 5), 'cut', "a\r\nb!" ], [ 0x05, 0, '', '', pack 'Q>', 7 ], [ 0xee, 0x81, '', '', 'Unknown command' ],
        [ 0x1c, 0, pack('N', 5), '', '' ], [ 0x0b, 0, '', '', $server->stat('version') ], [ 0x0a, 0, '', '', '' ];
    TestSplit::check($without_ids, 'a conversation', $talk, $reply);
}
is($server->client->ask('mn'), 'MN', 'the server serves');
ok($server->wait_stat('curr_connections', 2), 'no connection is left behind');
is($server->stat('response_obj_count'), 1, 'nor a response');

done_testing;
