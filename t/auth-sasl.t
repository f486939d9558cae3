#!/usr/bin/perl
# Goal: with -S a binary client logs in by SASL before anything else, and libsasl2 says who may.
# Method: a real sasldb, made by saslpasswd2, with the mechanisms PLAIN and CRAM-MD5; each answer of the exchange, what a
# login is lost by, counters, what is told; and what -S does not go with. Over TLS where SSL_TEST is set.

use strict;
use warnings;
use Digest::MD5 qw(md5 md5_hex);
use Sys::Hostname;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_feature('sasl');

my ($OK, $INVALID, $AUTH, $GO_ON, $UNKNOWN, $MEMORY) = (0, 4, 0x20, 0x21, 0x81, 0x82);
my ($GET, $SET, $NOOP, $VERSION, $LIST, $START, $STEP) = (0, 1, 0x0a, 0x0b, 0x20, 0x21, 0x22);

sub frame {
    my ($opcode, $key, $value, $extras) = @_;
    $_ //= '' for $key, $value, $extras;
    return pack('CCnCCnNNQ>', 0x80, $opcode, length $key, length $extras, 0, 0, length($key . $value . $extras), 7, 0) . $extras . $key . $value;
}

# The next answer: status and value.
sub answer {
    my ($c) = @_;
    my $head = $c->bytes(24) // return 'nothing';
    my ($magic, $opcode, $keys, $extras, undef, $status, $len) = unpack 'CCnCCnN', $head;
    my $body = $c->bytes($len) // return 'half';
    return ($status, substr $body, $extras + $keys);
}

sub asks { my ($c, @frame) = @_; $c->send(frame(@frame)); return answer($c) }

sub answers {
    my ($c, $frame, $status, $value, $name) = @_;
    my @got = asks($c, @$frame);
    return is_deeply(\@got, [ $status, $value ], $name);
}

sub plain { my ($user, $password, $as) = @_; return join "\0", $as // '', $user, $password }

# HMAC-MD5, for CRAM-MD5.
sub hmac {
    my ($key, $text) = @_;
    $key = md5($key) if length $key > 64;
    $key .= "\0" x (64 - length $key);
    return md5_hex(($key ^ "\x5c" x 64) . md5(($key ^ "\x36" x 64) . $text));
}

# A folder with a configuration.
sub configuration {
    my ($name, @lines) = @_;
    my $folder = TestServer::scratch() . "/$name";
    mkdir $folder or die "$folder: $!";
    TestServer::write_file("$folder/memcached.conf", join '', map { "$_\n" } @lines);
    return $folder;
}

# --- what needs no data base ------------------------------------------------------------------------------------------

my $nowhere = { SASL_CONF_PATH => '/nonexistent' };
my $ascii = 'ERROR: You cannot allow the ASCII protocol while using SASL.';
for my $row (
    [ $ascii, '-B', 'ascii' ], [ $ascii, '-B', 'auto' ], [ $ascii, '-Y', '/nonexistent' ],
    [ 'ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.', '-Y', '/nonexistent', '-B', 'binary' ],
    [ 'ERROR: Cannot enable UDP while using binary SASL authentication.', '-U', '11211' ],
    [ $ascii, '-l', 'proto[ascii]:127.0.0.1' ], [ $ascii, '-l', '127.0.0.1,proto[negotiating]:127.0.0.1:0' ],
) {
    my ($message, @args) = @$row;
    my $run = TestServer->run({ env => $nowhere }, '-p', '-1', '-S', @args);
    is($run->{status}, 64, "-S with @args: status 64");
    is($run->{stderr}, "$message\n", 'and its message');
}
SKIP: {
    skip 'this machine has a configuration for memcached', 2 if grep { -e } glob '/etc/sasl/memcached.conf /etc/sasl2/memcached.conf';
    my $run = TestServer->run('-p', '-1', '-S', '-v');
    is($run->{status}, 1, 'without a configuration: status 1');
    like($run->{stderr}, qr/^Failed to locate a config path\n(?:SASL .*\n)*Error initializing sasl\.\n\z/m, 'and why');
}

# --- a data base --------------------------------------------------------------------------------------------------------

my ($maker) = grep { -x } map { "$_/saslpasswd2" } split(/:/, $ENV{PATH}), '/usr/sbin';
SKIP: {
    skip 'saslpasswd2 is not installed (sasl2-bin)', 1 unless $maker;
    my $base = TestServer::scratch() . '/sasldb2';
    my $make_user = sub {
        my ($user, $password, @realm) = @_;
        open my $pipe, '|-', $maker, '-p', '-c', '-f', $base, @realm, $user or die "$maker: $!";
        print $pipe $password;
        return close $pipe;
    };
    skip 'saslpasswd2 does not work here', 1 unless $make_user->('ann', 'secret', '-u', hostname()) && $make_user->('bob', 'other', '-u', 'realm');
    chmod 0644, $base;
    my $folder = configuration('sasldb', "sasldb_path: $base", 'pwcheck_method: auxprop', 'auxprop_plugin: sasldb', 'mech_list: plain cram-md5');
    my $server = TestServer->start({ env => { SASL_CONF_PATH => $folder } }, '-S', '-vv');
    like($server->stderr_text, qr/^Reading configuration from: <\Q$folder\E>$/m, 'the configuration that is read is told');
    like($server->stderr_text, qr/^Initialized SASL\.$/m, 'and that it was');
    my ($status, $names) = asks($server->client, $LIST);
    is($status, $OK, 'there are mechanisms');
    skip "libsasl2 has no plug-ins for PLAIN and CRAM-MD5 here: $names", 1 unless join(' ', sort split / /, $names) eq 'CRAM-MD5 PLAIN';

    my $c = $server->client;
    answers($c, [ $START, 'PLAIN', plain('ann', 'secret') ], $OK, 'Authenticated', 'a login');
    answers($c, [ $SET, 'k', 'v', "\0" x 8 ], $OK, '', 'then commands are served');
    answers($c, [ $GET, 'k' ], $OK, 'v', 'of each kind');
    answers($server->client, [ $START, 'plain', plain('ann@' . hostname(), 'secret', 'ann@' . hostname()) ], $OK, 'Authenticated', 'with realm, as oneself, and in small letters');
    answers($server->client, [ $START, 'PLAIN', plain('bob@realm', 'other') ], $OK, 'Authenticated', 'another realm');

    for my $row (
        [ 'another password', plain('ann', 'secreT') ], [ 'a part of it', plain('ann', 'secre') ], [ 'more than it', plain('ann', 'secrets') ],
        [ 'another user', plain('anna', 'secret') ], [ 'no realm', plain('bob', 'other') ], [ 'the password of another', plain('ann', 'other') ],
        [ 'as somebody else', plain('ann', 'secret', 'bob@realm') ], [ 'empty words', '' ], [ 'no zero bytes', 'ann secret' ], [ 'zero bytes alone', "\0\0\0" ],
    ) {
        my ($name, $data) = @$row;
        my $other = $server->client;
        my ($got, $challenge) = asks($other, $START, 'PLAIN', $data);
        ($got) = asks($other, $STEP, 'PLAIN', $data) if $got == $GO_ON;
        is($got, $AUTH, "refused: $name");
        answers($other, [ $START, 'PLAIN', plain('ann', 'secret') ], $OK, 'Authenticated', 'a good one may follow');
    }

    # several steps
    $c = $server->client;
    my ($go_on, $challenge) = asks($c, $START, 'CRAM-MD5');
    is($go_on, $GO_ON, 'CRAM-MD5: a challenge');
    like($challenge, qr/^<.*\@.*>$/, 'of its kind');
    answers($c, [ $STEP, 'CRAM-MD5', 'ann ' . hmac('secret', $challenge) ], $OK, 'Authenticated', 'and its answer');
    answers($c, [ $NOOP ], $OK, '', 'lets in');
    $c = $server->client;
    (undef, $challenge) = asks($c, $START, 'CRAM-MD5');
    answers($c, [ $STEP, 'CRAM-MD5', 'ann ' . hmac('Secret', $challenge) ], $AUTH, 'Auth failure.', 'a wrong answer does not');
    answers($c, [ $STEP, 'CRAM-MD5', 'ann ' . hmac('secret', $challenge) ], $AUTH, 'Auth failure.', 'and a second one is too late');
    (undef, $challenge) = asks($c, $START, 'CRAM-MD5');
    answers($c, [ $NOOP ], $AUTH, 'Auth failure.', 'amid an exchange nothing is served');
    ok($c->closed, 'and the connection ends');
    $c = $server->client;
    asks($c, $START, 'CRAM-MD5');
    answers($c, [ $START, 'PLAIN', plain('ann', 'secret') ], $OK, 'Authenticated', 'another mechanism instead of an answer');

    # what a login is lost by
    for my $row ([ 'a list', $LIST ], [ 'another login', $START, 'PLAIN', plain('ann', 'secret') ], [ 'a step', $STEP, 'PLAIN', 'x' ]) {
        my ($name, @frame) = @$row;
        my $other = $server->client;
        asks($other, $START, 'PLAIN', plain('ann', 'secret'));
        my ($got) = asks($other, @frame);
        is($got, $frame[0] == $LIST ? $OK : $AUTH, "behind a login, $name");
        answers($other, [ $GET, 'k' ], $AUTH, 'Auth failure.', 'loses it');
        ok($other->closed, 'and the connection ends');
    }
    $c = $server->client;
    asks($c, $START, 'PLAIN', plain('ann', 'secret'));
    answers($c, [ $START, 'M' x 33, 'x' ], $INVALID, 'Invalid arguments', 'a name that is too long');
    answers($c, [ $GET, 'k' ], $OK, 'v', 'loses nothing');

    # pipelines
    $c = $server->client;
    $c->send(frame($START, 'PLAIN', plain('ann', 'secret')) . frame($GET, 'k') . frame($NOOP));
    is_deeply([ map { [ answer($c) ] } 1 .. 3 ], [ [ $OK, 'Authenticated' ], [ $OK, 'v' ], [ $OK, '' ] ], 'commands right behind a login are served');
    $c = $server->client;
    $c->send(frame($START, 'PLAIN', plain('ann', 'wrong')) . frame($GET, 'k') . frame($NOOP));
    is_deeply([ map { [ answer($c) ] } 1 .. 2 ], [ [ $AUTH, 'Auth failure.' ], [ $AUTH, 'Auth failure.' ] ], 'behind a failure the first is refused');
    ok($c->closed, 'and the others are not read');
    $c = $server->client;
    $c->send_slowly(frame($START, 'PLAIN', plain('ann', 'secret')) . frame($GET, 'k'));
    is_deeply([ map { [ answer($c) ] } 1 .. 2 ], [ [ $OK, 'Authenticated' ], [ $OK, 'v' ] ], 'byte by byte');

    # huge words, and those that break the frame
    $c = $server->client;
    answers($c, [ $START, 'PLAIN', 'u' x 200_000 ], $AUTH, 'Auth failure.', 'two hundred thousand bytes are no login');
    answers($c, [ $START, 'PLAIN', 'u' x 600_000 ], $MEMORY, 'Out of memory', 'six hundred thousand are too many');
    answers($c, [ $START, 'PLAIN', plain('ann', 'secret') ], $OK, 'Authenticated', 'a login behind them');
    $c = $server->client;
    $c->send(pack('CCnCCnNNQ>', 0x80, $START, 32, 0, 0, 0, 1, 7, 0) . 'M' x 32);
    is_deeply([ answer($c) ], [ $UNKNOWN, 'Unknown command' ], 'a mechanism that is longer than the body (CVE-2016-8706)');
    ok($c->closed, 'ends the connection');
    # counters, and what the operator hears
    my $before = stats($server);
    $c = $server->client;
    asks($c, $START, 'PLAIN', plain('ann', 'wrong'));
    asks($c, $START, 'CRAM-MD5');
    asks($c, $LIST);
    asks($c, $START, 'PLAIN', plain('ann', 'secret'));
    my $after = stats($server);
    # The login that asks for the statistics is one of them.
    is($after->{auth_cmds} - $before->{auth_cmds}, 3, 'each login and each refusal counts');
    is($after->{auth_errors} - $before->{auth_errors}, 1, 'refusals as errors');
    my $settings = stats($server, 'settings');
    is("@$settings{qw(auth_enabled_sasl binding_protocol auth_enabled_ascii)}", 'yes binary no', 'the settings tell of it');
    my $said = $server->stderr_text;
    like($said, qr/^mech:  ``PLAIN'' with 11 bytes of data$/m, 'mechanism and length are told');
    like($said, qr/^sasl result code:  0$/m, 'and the result');
    like($said, qr/^Unknown sasl response:  -\d+$/m, 'a refusal, too');
    like($said, qr/^\d+: SASL_STEP called but sasl_server_start not called for this connection!$/m, 'and a step without a beginning');
    like($said, qr/^authenticated\(\) in cmd 0x00 is $_$/m, "whether a command passes: $_") for 'true', 'false';
    unlike($said, qr/secret/, 'but no password');

    $c = $server->client;
    # One that leaves amid its words.
    $c->send(frame($START, 'PLAIN', plain('ann', 'secret')) . substr frame($START, 'PLAIN', 'x' x 100), 0, 60);
    $c->abort;

    # many at a time
    my @clients = map { $server->client } 1 .. 40;
    $_->send(frame($START, 'PLAIN', plain('ann', 'secret'))) for @clients;
    is(scalar(grep { (answer($_))[0] == $OK } @clients), 40, 'forty clients at a time');
    my @left = splice @clients, 20;
    $_->abort for @left;
    is($server->stop('USR1'), 0, 'an orderly stop');

    SKIP: {
        skip 'no Unix sockets in this build', 2 unless TestServer::has_feature('unix');
        my $unix = TestServer->start({ unix => 1, env => { SASL_CONF_PATH => $folder } }, '-S');
        answers($unix->client, [ $GET, 'k' ], $AUTH, 'Auth failure.', 'a Unix socket asks, too');
        answers($unix->client, [ $START, 'PLAIN', plain('ann', 'secret') ], $OK, 'Authenticated', 'and lets in');
    }
}

# Statistics, asked for by a client that has logged in.
sub stats {
    my ($server, $group) = @_;
    my $c = $server->client;
    asks($c, $START, 'PLAIN', plain('ann', 'secret'));
    $c->send(frame(0x10, $group));
    my %stats;
    while (1) {
        my $head = $c->bytes(24) // die 'no statistics';
        my ($keys, $len) = (unpack 'CCnCCnN', $head)[ 2, 6 ];
        return \%stats if $len == 0;
        my $body = $c->bytes($len);
        $stats{ substr $body, 0, $keys } = substr $body, $keys;
    }
}

# --- the plain file of users ------------------------------------------------------------------------------------------

SKIP: {
    my $folder = configuration('pwdb', 'mech_list: plain');
    my $probe = TestServer->start({ env => { SASL_CONF_PATH => $folder } }, '-S', '-v');
    skip 'this build has no plain file of users', 1
        unless $probe->stderr_text =~ /^INFO: MEMCACHED_SASL_PWDB not specified\. Internal passwd database disabled$/m;
    my $users = TestServer::scratch() . '/users';
    my $host = hostname();
    TestServer::write_file($users, "ann\@$host:secret\nbob\@realm:two:ignored\r\nann\@$host:second\nlong\@realm:" . 'p' x 200 . "\nfay:bare\ncat\@realm:last");
    my $server = TestServer->start({ env => { SASL_CONF_PATH => $folder, MEMCACHED_SASL_PWDB => $users } }, '-S', '-v');
    for my $row (
        [ $OK, 'ann', 'secret' ], [ $OK, 'ann', 'second' ], [ $OK, "ann\@$host", 'secret' ], [ $OK, 'bob@realm', 'two' ],
        [ $OK, 'bob@realm', 'two:ignored' ], [ $OK, 'long@realm', 'p' x 200 ], [ $OK, 'fay', 'bare' ], [ $OK, 'cat@realm', 'last' ],
        [ $AUTH, 'ann', 'secre' ], [ $AUTH, 'ann', 'secrets' ], [ $AUTH, 'dan', 'secret' ], [ $AUTH, 'bob', 'two' ], [ $AUTH, 'bob@realm', 'two:' ],
        [ $AUTH, 'cat@realm', 'lasT' ], [ $AUTH, 'ann', 'p' x 300 ],
    ) {
        my ($status, $user, $password) = @$row;
        my ($got) = asks($server->client, $START, 'PLAIN', plain($user, $password));
        is($got, $status, "$user with '" . substr($password, 0, 20) . "': $status");
    }
    ok($server->wait_stderr(qr/^INFO: User <dan\@\Q$host\E> failed to authenticate$/m), 'a refusal is told of');
    like($server->stderr_text, qr/^WARNING: Failed to authenticate <ann\@\Q$host\E> due to too long password \(\d+\)$/m, 'a long password, too');
    TestServer::write_file($users, "eve\@realm:new\n");
    is((asks($server->client, $START, 'PLAIN', plain('eve@realm', 'new')))[0], $OK, 'the file is read at each login');
    unlink $users;
    is((asks($server->client, $START, 'PLAIN', plain('eve@realm', 'new')))[0], $AUTH, 'without one nobody comes in');
}

done_testing;
