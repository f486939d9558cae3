#!/usr/bin/perl
# Goal: every example in doc/protocol.txt is true.
# Method: each block of C: and S: lines, or of C= and S= bytes, is spoken on a fresh connection to a server that holds
# nothing; what comes back must be what S says, byte for byte, and nothing more. Where a line is refused for want of a login, the server has
# a file of one user.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestBinary;

open my $document, '<', "$FindBin::Bin/../doc/protocol.txt" or die "cannot read doc/protocol.txt: $!";
my (@blocks, @block);
while (my $line = <$document>) {
    chomp $line;
    if ($line =~ /^    ([CS])([:=]) (.*)$/) {
        push @block, [ $1, $3, $2 ];
    } elsif (@block) {
        push @blocks, [ $., @block ];
        @block = ();
    }
}
cmp_ok(scalar @blocks, '>=', 6, 'the document has examples');

my $users = TestServer::write_file(TestServer::scratch() . '/users', "user:password\n");

for my $block (@blocks) {
    my ($where, @lines) = @$block;
    my $asks = grep { $_->[1] =~ /unauthenticated/ } @lines;
    my $server = TestServer->start($asks ? ('-Y', $users) : ());
    $server->admin->log_in('user', 'password') if $asks;
    # Expiry times are those of the document however long the talk takes.
    $server->freeze_clock if TestServer::has_feature('debug');
    my $client = $server->client;
    if ($lines[0][2] eq '=') {
        my $bytes = sub { my ($side) = @_; return pack 'H*', join '', map { $_->[1] =~ s/ //gr } grep { $_->[0] eq $side } @lines };
        $client->send($bytes->('C') . TestBinary::frame('quitq'));
        TestClient::same_bytes($client->rest, $bytes->('S'), "the example that ends before line $where");
        $server->stop;
        next;
    }
    my $end = 'the-end';
    my (@sent, @wanted);
    for (@lines) {
        push @{ $_->[0] eq 'C' ? \@sent : \@wanted }, $_->[1];
    }
    $client->send(join('', map { "$_\r\n" } @sent, "mg $end O$end"));
    my @got;
    while (defined(my $line = $client->line)) {
        last if $line eq "EN O$end";
        push @got, $line;
    }
    is_deeply(\@got, \@wanted, "the example that ends before line $where");
    $server->stop;
}

done_testing;
