#!/usr/bin/perl
# Goal: -h, -V and -i print what scripts and packagers look for, and name only what is built in.
# Method: the output of each, line by line where its form is fixed.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $run = TestServer->run({ bare => 1 }, '-V');
is($run->{status}, 0, '-V ends with 0');
like($run->{stdout}, qr/\Amemcached (\d+\.\d+\.\d+\S*)\n\z/, '-V prints one line');
my ($version) = $run->{stdout} =~ /(\d\S*)/;
my $line = TestServer->start->client->ask('version');
is($line, "VERSION $version", 'the version that clients see');

$run = TestServer->run({ bare => 1 }, '-i');
is($run->{status}, 0, '-i ends with 0');
like($run->{stdout}, qr/\Amemcached \Q$version\E\n\n.*Redistribution/s, '-i prints the version and the licence');

$run = TestServer->run({ bare => 1 }, '-h');
is($run->{status}, 0, '-h ends with 0, as root without -u, too');
is($run->{stderr}, '', '-h prints nothing on stderr');
my @lines = split /\n/, $run->{stdout};
is($lines[0], "memcached $version", 'the first line is the version');
my %long = (
    p => 'port', U => 'udp-port', s => 'unix-socket', a => 'unix-mask', A => 'enable-shutdown', l => 'listen', d => 'daemon',
    r => 'enable-coredumps', u => 'user', m => 'memory-limit', M => 'disable-evictions', c => 'conn-limit', k => 'lock-memory',
    v => 'verbose', h => 'help', i => 'license', V => 'version', P => 'pidfile', f => 'slab-growth-factor', n => 'slab-min-size',
    t => 'threads', C => 'disable-cas', R => 'max-reqs-per-event', b => 'listen-backlog', I => 'max-item-size',
    F => 'disable-flush-all', X => 'disable-dumping', W => 'disable-watch', B => 'protocol', o => 'extended',
    L => 'enable-largepages', Y => 'auth-file', e => 'memory-file',
);
delete @long{qw(s a)} unless $run->{stdout} =~ /unix-socket/;
# What has no room yet leaves no trace.
for my $row ([ restart => 'e' ]) {
    my ($room, $letter) = @$row;
    next unless TestServer::to_come($room);
    my $word = delete $long{$letter};
    unlike($run->{stdout}, qr/^-$letter\b|--$word/m, "-$letter, --$word is not listed before its room is built");
}
like($run->{stdout}, qr/^-N, --napi-ids=.*\n\z/m, '-N is the last line') unless TestServer::is_old();
for my $letter (sort keys %long) {
    ok((grep { /^-$letter,?\s+--$long{$letter}(?:=|\s|$)/ } @lines), "-$letter, --$long{$letter} has its line");
}
ok((grep { /^-vv\b/ } @lines), '-vv has its line');
ok((grep { /^-vvv\b/ } @lines), '-vvv has its line');
for my $default ('default: 11211', 'default: 64', 'default: 1024', 'default: 1.25', 'default: 48', 'default: 4', 'default: 20') {
    like($run->{stdout}, qr/\Q$default\E\)/, "the help tells '$default'");
}
for my $name (qw(maxconns_fast hashpower tail_repair_time hash_algorithm no_lru_crawler lru_crawler_sleep lru_crawler_tocrawl
    read_buf_mem_limit no_lru_maintainer hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temporary_ttl idle_timeout
    slab_chunk_max watcher_logbuf_size worker_logbuf_size track_sizes no_hashexpand modern no_modern latency_stats))
{
    next if TestServer::is_old() && $name =~ /^(?:read_buf_mem_limit|latency_stats)$/;
    ok((grep { /^   - \Q$name\E:/ } @lines), "-o $name has its line");
}

# What is not built in leaves no trace, what is can be used.
my $tls = $run->{stdout} =~ /enable-ssl/i;
is(scalar($run->{stdout} =~ /ssl_chain_cert/), scalar($tls), 'TLS options are listed in TLS builds');
if (!$tls) {
    unlike($run->{stdout}, qr/ssl|tls/i, 'a build without TLS does not speak of it');
    my $refused = TestServer->run('-Z');
    is($refused->{status}, 64, 'a build without TLS refuses -Z');
    is($refused->{stderr}, "This server is not built with TLS support.\n", 'and says why');
    $refused = TestServer->run('-o', 'ssl_key=x');
    is($refused->{stderr}, "Illegal suboption \"ssl_key=x\"\n", 'and -o ssl_key');
}
if ($run->{stdout} !~ /enable-sasl/) {
    my $refused = TestServer->run('-S');
    is($refused->{status}, 64, 'a build without SASL refuses -S');
    is($refused->{stderr}, "This server is not built with SASL support.\n", 'and says why');
    unlike($run->{stdout}, qr/sasl/i, 'and does not speak of it');
}
if ($run->{stdout} !~ /ext_path/) {
    my $refused = TestServer->run('-o', 'ext_path=/tmp/x:64m');
    is($refused->{status}, 1, 'a build without external storage refuses ext_path');
    like($refused->{stderr}, qr/^Illegal suboption "ext_path=/, 'as any unknown suboption');
}

# Both executables print the same but for one line.
SKIP: {
    my $production = TestServer::production_path();
    skip 'there is only one executable here', 2 if $ENV{MEMCACHED_SERVER} || !$production;
    my $other = TestServer->run({ bare => 1, binary => $production }, '-h');
    is($other->{status}, 0, 'memcached -h');
    is($other->{stdout}, join('', map { "$_\n" } grep { !/relaxed_privileges/ } @lines), 'prints what memcached-debug -h does');
}

done_testing;
