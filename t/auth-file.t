#!/usr/bin/perl
# Goal: the file of -Y is read or refused as a whole, at the start and at SIGHUP, and -Y goes with nothing that would let
# clients in without it.
# Method: files of each kind, over-long and cut ones among them (CVE-2021-37519), their messages and statuses; reloads, good
# and bad, also while clients log in.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('such files are read otherwise');

my $file = TestServer::scratch() . '/users';
sub users { TestServer::write_file($file, join '', @_) }

# What becomes of a start with a file of this text.
sub refused {
    my ($text, $name, @lines) = @_;
    users($text);
    my $run = TestServer->run('-p', '0', '-Y', $file);
    is($run->{status}, 1, "$name: the start ends with 1");
    my $said = "Authfile [$file] has a malformed entry. Should be 'user:password'\n";
    is($run->{stderr}, join('', $said, map { "Authfile [$file], line $_\n" } @lines), "$name: and says which line");
}

refused('', 'an empty file');
refused("\n", 'an empty line', '1: no colon');
refused("foo:bar\n\n", 'an empty line at the end', '2: no colon');
refused("foo:bar\nbaz\nquux:x\n# more\n", 'lines without a colon', '2: no colon', '4: no colon');
refused("foo\0:bar\n", 'a colon behind a zero byte', '1: no colon');
refused('a:' . 'x' x 253, 'a line of 255 bytes', '1: longer than 254 bytes');
refused("a:b\n" . 'x' x 100_000 . ":y\n", 'a line of a hundred thousand', '2: longer than 254 bytes');
refused(':' x 4096, 'nothing but colons', '1: longer than 254 bytes');

for my $row ([ "$file.none", 'No such file or directory' ], [ TestServer::scratch(), 'Is a directory' ]) {
    my ($path, $why) = @$row;
    my $run = TestServer->run('-p', '0', '-Y', $path);
    is($run->{status}, 1, "$why: status 1");
    is($run->{stderr}, "Could not open authfile [$path] for reading, error $why: $why\n", 'and its message');
}
SKIP: {
    skip 'only root becomes somebody else', 2 unless $> == 0;
    users("foo:bar\n");
    chmod 0600, $file;
    my $run = TestServer->run('-p', '0', '-Y', $file, '-u', 'nobody');
    is($run->{status}, 1, 'a file that only root may read is of no use to another user');
    like($run->{stderr}, qr/error Permission denied: Permission denied$/, 'who is the one that reads it');
}

# Who is let in.
sub logs_in {
    my ($server, $user, $password) = @_;
    my $c = $server->client;
    return $c->log_in($user, $password) eq 'STORED' ? 1 : 0;
}
sub admits {
    my ($name, $text, @tokens) = @_;
    users($text);
    my $server = TestServer->start('-Y', $file);
    while (my ($user, $password, $expected) = splice @tokens, 0, 3) {
        is(logs_in($server, $user, $password), $expected, "$name: '$user' with '" . substr($password, 0, 20) . "'");
    }
    is($server->stop, 0, "$name: and the server is well");
}
admits('no last line end', 'foo:bar', 'foo', 'bar', 1, 'foo', 'ba', 0);
admits('CR LF', "foo:bar\r\nbaz:quux\r\n", 'foo', 'bar', 1, 'baz', 'quux', 1, 'foo', "bar\r", 0);
admits('empty parts', "foo:\n:pw\n", 'foo', '', 1, '', 'pw', 1, 'foo', 'x', 0, '', '', 0);
admits('blanks and colons', "a:b c\nb:c:d\nx y:z\n", 'a', 'b c', 1, 'b', 'c:d', 1, 'x', 'y z', 0, 'b:c', 'd', 0);
admits('two passwords of one user', "a:1\na:2\n", 'a', '1', 1, 'a', '2', 1, 'a', '3', 0);
admits('the longest line', 'a:' . 'x' x 252 . "\nb:c\n", 'a', 'x' x 252, 1, 'b', 'c', 1, 'a', 'x' x 251, 0, 'a', 'x' x 253, 0);
my $eight = join '', map { "u$_:" . 'p' x 251 . "\n" } 0 .. 7;
admits('only eight lines count', $eight . "u8:p\nno colon\n" . 'y' x 9999, (map { ("u$_", 'p' x 251, 1) } 0, 7), 'u8', 'p', 0);
admits('a zero byte ends the file', "a:b\0c\nd:e\n", 'a', 'b', 1, 'd', 'e', 0);

# what it does not go with
users("foo:bar\n");
my $binary = 'ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.';
for my $row (
    [ 64, $binary, '-B', 'binary' ],
    [ 64, $binary, '-B', 'auto' ],
    [ 64, 'Cannot use UDP with ascii authentication enabled (-U 0 to disable)', '-U', '11211' ],
    [ 71, "Cannot use binary protocol when ascii authentication enabled\nfailed to listen on one of interface(s) proto[binary]:127.0.0.1: Success",
        '-l', 'proto[binary]:127.0.0.1' ],
) {
    my ($status, $message, @args) = @$row;
    my $run = TestServer->run(@args, '-Y', $file, ((grep { $_ eq '-l' } @args) ? ('-p', '-1') : ()));
    is($run->{status}, $status, "with @args: status $status");
    is($run->{stderr}, "$message\n", 'and its message');
}
my $server = TestServer->start('-B', 'ascii', '-Y', $file, '-l', 'proto[negotiating]:127.0.0.1', '-p', '-1');
is($server->stderr_text, "WARNING: negotiating ports are ascii only when ascii authentication enabled\n", 'a negotiating listener is warned of');
is($server->client->ask('get aaaa'), 'CLIENT_ERROR unauthenticated', 'and asks');

# Reload: whole, or not at all.
$server = TestServer->start('-Y', $file, '-v');
my $old = $server->client;
is($old->log_in('foo', 'bar'), 'STORED', 'a client of the first file');
sub reload { $server->signal('HUP') }
sub comes_in { my @login = @_; return TestServer::wait_until(sub { logs_in($server, @login) }) ? 1 : 0 }

users("foo:new\nbaz:quux\n");
reload();
ok(comes_in('baz', 'quux'), 'SIGHUP: the new file counts');
ok(logs_in($server, 'foo', 'new'), 'all of it');
ok(!logs_in($server, 'foo', 'bar'), 'and the old one no longer');
is($old->ask('get aaaa'), 'END', 'who was in stays in');
for my $bad ("foo:bar\nbad\n", '', "\n") {
    users($bad);
    reload();
    ok($server->wait_stderr(qr/malformed/), 'a bad file is told of at -v');
    is(join(',', map { logs_in($server, @$_) } [ 'foo', 'new' ], [ 'baz', 'quux' ], [ 'foo', 'bar' ]), '1,1,0', 'and the old list stays');
}
unlink $file;
reload();
ok($server->wait_stderr(qr/No such file/), 'so is one that is gone');
ok(logs_in($server, 'foo', 'new'), 'with the same result');
users("foo:last\n");
reload();
ok(comes_in('foo', 'last'), 'a good file counts again');

# The file changes while clients log in: each finds one list or the other.
my @texts = ("a:1\nb:1\n", "b:2\na:2\n");
my $stop = time + TestServer::patience(2);
my ($tries, $mixed) = (0, 0);
users($texts[0]);
reload();
comes_in('a', '1');
my @clients = map { $server->client } 1 .. 8;
for (my $round = 1; time < $stop; $round++) {
    TestServer::write_file("$file.next", $texts[ $round % 2 ]);
    rename "$file.next", $file;
    reload();
    # Both passwords in one write: the list cannot change twice in between.
    for my $c (@clients) {
        $c = $server->client if $c->{ended};
        $c->send(join '', map { "set x 0 0 3\r\na $_\r\n" } 1, 2);
    }
    for my $c (@clients) {
        my $answers = $c->line . ',' . $c->line;
        $tries++;
        $mixed++ unless $answers =~ /STORED/;
        $c->close;
        $c = $server->client;
    }
}
ok($tries > 100 && $mixed <= $tries / 4, "of $tries clients that came amid reloads hardly any met a change") or diag("$mixed of $tries");
is($server->stop('USR1'), 0, 'and the server ends well');

done_testing;
