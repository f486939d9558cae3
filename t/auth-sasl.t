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
use TestBinary qw(frame read_answer answers_and_closes);

TestServer::need_feature('sasl');

# One frame, and how its answer is shown.
sub asks {
    my ($c, @frame) = @_;
    $c->send(frame(@frame));
    return read_answer($c) // 'nothing';
}

sub says { my ($c, $frame, $answer, $name) = @_; return is(asks($c, @$frame), $answer, $name) }

sub plain { my ($user, $password, $as) = @_; return join "\0", $as // '', $user, $password }

sub comes_in { my ($server, @login) = @_; return asks($server->client, auth => 'PLAIN', value => plain(@login)) eq 'auth 0 Authenticated' ? 1 : 0 }

# The challenge of CRAM-MD5.
sub challenge { my ($c) = @_; return asks($c, auth => 'CRAM-MD5') =~ /^auth 21 (.*)$/ ? $1 : 'none' }

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

my $maker = TestServer::program('saslpasswd2');
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
    my ($status, $names) = asks($server->client, 'list') =~ /^list (\d+) (.*)$/;
    is($status, 0, 'there are mechanisms');
    skip "libsasl2 has no plug-ins for PLAIN and CRAM-MD5 here: $names", 1 unless join(' ', sort split / /, $names) eq 'CRAM-MD5 PLAIN';

    my $c = $server->client;
    says($c, [ auth => 'PLAIN', value => plain('ann', 'secret') ], 'auth 0 Authenticated', 'a login');
    says($c, [ set => 'k', value => 'v' ], 'set 0', 'then commands are served');
    says($c, [ get => 'k' ], 'get 0 f0 v', 'of each kind');
    says($server->client, [ auth => 'plain', value => plain('ann@' . hostname(), 'secret', 'ann@' . hostname()) ], 'auth 0 Authenticated', 'with realm, as oneself, and in small letters');
    says($server->client, [ auth => 'PLAIN', value => plain('bob@realm', 'other') ], 'auth 0 Authenticated', 'another realm');

    for my $row (
        [ 'another password', plain('ann', 'secreT') ], [ 'a part of it', plain('ann', 'secre') ], [ 'more than it', plain('ann', 'secrets') ],
        [ 'another user', plain('anna', 'secret') ], [ 'no realm', plain('bob', 'other') ], [ 'the password of another', plain('ann', 'other') ],
        [ 'as somebody else', plain('ann', 'secret', 'bob@realm') ], [ 'empty words', '' ], [ 'no zero bytes', 'ann secret' ], [ 'zero bytes alone', "\0\0\0" ],
    ) {
        my ($name, $data) = @$row;
        my $other = $server->client;
        my $answer = asks($other, auth => 'PLAIN', value => $data);
        $answer = asks($other, step => 'PLAIN', value => $data) if $answer =~ /^auth 21/;
        like($answer, qr/^\w+ 20 Auth failure\.$/, "refused: $name");
        says($other, [ auth => 'PLAIN', value => plain('ann', 'secret') ], 'auth 0 Authenticated', 'a good one may follow');
    }

    # several steps
    $c = $server->client;
    my $challenge = challenge($c);
    like($challenge, qr/^<.*\@.*>$/, 'CRAM-MD5: a challenge');
    says($c, [ step => 'CRAM-MD5', value => 'ann ' . hmac('secret', $challenge) ], 'step 0 Authenticated', 'and its answer');
    says($c, [ 'noop' ], 'noop 0', 'lets in');
    $c = $server->client;
    $challenge = challenge($c);
    says($c, [ step => 'CRAM-MD5', value => 'ann ' . hmac('Secret', $challenge) ], 'step 20 Auth failure.', 'a wrong answer does not');
    says($c, [ step => 'CRAM-MD5', value => 'ann ' . hmac('secret', $challenge) ], 'step 20 Auth failure.', 'and a second one is too late');
    $challenge = challenge($c);
    says($c, [ 'noop' ], 'noop 20 Auth failure.', 'amid an exchange nothing is served');
    ok($c->closed, 'and the connection ends');
    $c = $server->client;
    challenge($c);
    says($c, [ auth => 'PLAIN', value => plain('ann', 'secret') ], 'auth 0 Authenticated', 'another mechanism instead of an answer');

    # what a login is lost by
    for my $row ([ 'a list', 'list' ], [ 'another login', auth => 'PLAIN', value => plain('ann', 'secret') ], [ 'a step', step => 'PLAIN', value => 'x' ]) {
        my ($name, @frame) = @$row;
        my $other = $server->client;
        asks($other, auth => 'PLAIN', value => plain('ann', 'secret'));
        like(asks($other, @frame), $frame[0] eq 'list' ? qr/^list 0/ : qr/^\w+ 20 Auth failure\.$/, "behind a login, $name");
        says($other, [ get => 'k' ], 'get 20 Auth failure.', 'loses it');
        ok($other->closed, 'and the connection ends');
    }
    $c = $server->client;
    asks($c, auth => 'PLAIN', value => plain('ann', 'secret'));
    says($c, [ auth => 'M' x 33, value => 'x' ], 'auth 4 Invalid arguments', 'a name that is too long');
    says($c, [ get => 'k' ], 'get 0 f0 v', 'loses nothing');

    # pipelines
    $c = $server->client;
    $c->send(join '', frame(auth => 'PLAIN', value => plain('ann', 'secret')), frame(get => 'k'), frame('noop'));
    is_deeply([ map { read_answer($c) } 1 .. 3 ], [ 'auth 0 Authenticated', 'get 0 f0 v', 'noop 0' ], 'commands right behind a login are served');
    answers_and_closes($server->client, [ frame(auth => 'PLAIN', value => plain('ann', 'wrong')), frame(get => 'k'), frame('noop') ],
        [ 'auth 20 Auth failure.', 'get 20 Auth failure.' ], 'behind a failure the first is refused, and the others not read');
    $c = $server->client;
    $c->send_slowly(frame(auth => 'PLAIN', value => plain('ann', 'secret')) . frame(get => 'k'));
    is_deeply([ map { read_answer($c) } 1 .. 2 ], [ 'auth 0 Authenticated', 'get 0 f0 v' ], 'byte by byte');

    # huge words, and those that break the frame
    $c = $server->client;
    says($c, [ auth => 'PLAIN', value => 'u' x 200_000 ], 'auth 20 Auth failure.', 'two hundred thousand bytes are no login');
    says($c, [ auth => 'PLAIN', value => 'u' x 600_000 ], 'auth 82 Out of memory', 'six hundred thousand are too many');
    says($c, [ auth => 'PLAIN', value => plain('ann', 'secret') ], 'auth 0 Authenticated', 'a login behind them');
    answers_and_closes($server->client, [ frame(auth => 'M' x 32, body_length => 1) ], ['auth 81 Unknown command'],
        'a mechanism that is longer than the body (CVE-2016-8706)');

    # counters, and what the operator hears
    my $before = stats($server);
    $c = $server->client;
    asks($c, auth => 'PLAIN', value => plain('ann', 'wrong'));
    challenge($c);
    asks($c, 'list');
    asks($c, auth => 'PLAIN', value => plain('ann', 'secret'));
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
    $c->send(frame(auth => 'PLAIN', value => plain('ann', 'secret')) . substr frame(auth => 'PLAIN', value => 'x' x 100), 0, 60);
    $c->abort;

    # many at a time
    my @clients = map { $server->client } 1 .. 40;
    $_->send(frame(auth => 'PLAIN', value => plain('ann', 'secret'))) for @clients;
    is(scalar(grep { read_answer($_) eq 'auth 0 Authenticated' } @clients), 40, 'forty clients at a time');
    my @left = splice @clients, 20;
    $_->abort for @left;
    is($server->stop('USR1'), 0, 'an orderly stop');

    SKIP: {
        skip 'no Unix sockets in this build', 2 unless TestServer::has_feature('unix');
        my $unix = TestServer->start({ unix => 1, env => { SASL_CONF_PATH => $folder } }, '-S');
        says($unix->client, [ get => 'k' ], 'get 20 Auth failure.', 'a Unix socket asks, too');
        says($unix->client, [ auth => 'PLAIN', value => plain('ann', 'secret') ], 'auth 0 Authenticated', 'and lets in');
    }
}

# Statistics, asked for by a client that has logged in.
sub stats {
    my ($server, $group) = @_;
    my $c = $server->client;
    asks($c, auth => 'PLAIN', value => plain('ann', 'secret'));
    $c->send(defined $group ? frame(stat => $group) : frame('stat'));
    my %stats;
    while ((my $line = read_answer($c) // 'nothing') ne 'stat 0') {
        $line =~ /^stat 0 k(\w+) (.*)$/ or die "statistics: $line\n";
        $stats{$1} = $2;
    }
    return \%stats;
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
        [ 1, 'ann', 'secret' ], [ 1, 'ann', 'second' ], [ 1, "ann\@$host", 'secret' ], [ 1, 'bob@realm', 'two' ],
        [ 1, 'bob@realm', 'two:ignored' ], [ 1, 'long@realm', 'p' x 200 ], [ 1, 'fay', 'bare' ], [ 1, 'cat@realm', 'last' ],
        [ 0, 'ann', 'secre' ], [ 0, 'ann', 'secrets' ], [ 0, 'dan', 'secret' ], [ 0, 'bob', 'two' ], [ 0, 'bob@realm', 'two:' ],
        [ 0, 'cat@realm', 'lasT' ], [ 0, 'ann', 'p' x 300 ],
    ) {
        my ($expected, $user, $password) = @$row;
        is(comes_in($server, $user, $password), $expected, "$user with '" . substr($password, 0, 20) . "': $expected");
    }
    ok($server->wait_stderr(qr/^INFO: User <dan\@\Q$host\E> failed to authenticate$/m), 'a refusal is told of');
    like($server->stderr_text, qr/^WARNING: Failed to authenticate <ann\@\Q$host\E> due to too long password \(\d+\)$/m, 'a long password, too');
    TestServer::write_file($users, "eve\@realm:new\n");
    is(comes_in($server, 'eve@realm', 'new'), 1, 'the file is read at each login');
    unlink $users;
    is(comes_in($server, 'eve@realm', 'new'), 0, 'without one nobody comes in');
}

done_testing;
