#!/usr/bin/perl
# Goal: every command in doc/tls.txt does what the text says.
# Method: the lines are carried out in their order, in a directory of their own: each memcached serves a client
# that has what the options ask for, and the others end well. Only addresses are changed, to ports of the
# kernel's choice; the server of the first attempt ("To try it out") is the one that commands talk to.

use strict;
use warnings;
use File::Copy qw(copy);
use Test::More;
use Text::ParseWords qw(shellwords);
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has not all of these options');
use TestCerts;

my $certs = TestCerts::ensure();
my $dir = TestServer::scratch();
copy("$certs/$_->[0]", "$dir/$_->[1]") or die $! for [ 'server.crt', 'server.pem' ], [ 'server.key', 'server.key' ], [ 'ca.crt', 'ca.pem' ];
open my $keys, '>', "$dir/tickets.key" or die $!;
print $keys 'k' x 80;
close $keys;

open my $document, '<', "$FindBin::Bin/../doc/tls.txt" or die "cannot read doc/tls.txt: $!";
my @commands;
while (my $line = <$document>) {
    next unless $line =~ /^    (?:memcached|openssl|printf|cat) /;
    my $where = $.;
    $line .= <$document> while $line =~ s/\\\n\z/ /;
    push @commands, [ $where, $line =~ s/^\s+|\s+\z//gr ];
}
my ($servers, $others) = (0, 0);

# What the output of a command must show.
my @shows = (
    [ qr/version/, qr/^VERSION \S+\r$/m ],
    [ qr/refresh_certs/, qr/^OK\r$/m ],
    [ qr/-showcerts/, qr/^-----BEGIN CERTIFICATE-----$/m ],
);

my $try;
for my $command (@commands) {
    my ($where, $text) = @$command;
    if ($text =~ /^memcached /) {
        my $tries = $text =~ /-l 127\.0\.0\.1:11211$/;
        my (undef, @args) = shellwords($text =~ s{/etc/memcached/}{}gr);
        s/(?:0\.0\.0\.0|127\.0\.0\.1):\d+/127.0.0.1:-1/g for @args;
        my $server = TestServer->start({ tls => 1, dir => $dir }, '-t', '1', @args);
        my $client = $server->client(tls => { SSL_verify_mode => 0, SSL_cert_file => "$certs/named.crt", SSL_key_file => "$certs/named.key" });
        is($client->ask('mn'), 'MN', "line $where: the server serves");
        if ($text =~ /mtls:/) {
            my (undef, $plain) = $server->ports;
            is($server->client(port => $plain, tls => 0)->ask('mn'), 'MN', 'its plain port, too');
            ok(!served($server), 'and nobody without a certificate');
        }
        ok(!served($server), 'and nobody else') if $text =~ /ssl_client_allow/;
        $try = $server if $tries;
        $servers++;
        next;
    }
    my $port = $try ? $try->port : 0;
    my $script = $text =~ s/\b(?:127\.0\.0\.1|host):11211\b/127.0.0.1:$port/gr;
    my $output = qx(cd '$dir' && { $script ; } 2>&1);
    is($? >> 8, 0, "line $where: $text") or diag($output);
    for my $row (@shows) { like($output, $row->[1], 'shows what it should') if $text =~ $row->[0] }
    $others++;
}
cmp_ok($servers, '>=', 4, 'the document starts servers');
cmp_ok($others, '>=', 5, 'and carries out commands');

# Whether a client without a certificate of its own is served.
sub served {
    my ($server) = @_;
    my $client = $server->try_client(tls => { SSL_verify_mode => 0 }) or return 0;
    return ($client->ask('mn') // '') eq 'MN';
}

done_testing;
