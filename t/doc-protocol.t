#!/usr/bin/perl
# Goal: every example in doc/protocol.txt is true.
# Method: each block of C: and S: lines is spoken on a fresh connection to a server that holds nothing; what comes
# back must be the S: lines, byte for byte, and nothing more. Where a line is refused for want of a login, the server has
# a file of one user.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

open my $document, '<', "$FindBin::Bin/../doc/protocol.txt" or die "cannot read doc/protocol.txt: $!";
my (@blocks, @block);
while (my $line = <$document>) {
    chomp $line;
    if ($line =~ /^    ([CS]): (.*)$/) {
        push @block, [ $1, $2 ];
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
