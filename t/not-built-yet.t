#!/usr/bin/perl
# Goal: options whose room does not exist yet end the start, rather than being served without.
# Method: each of them, its message and status.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

TestServer::need_new('a server that is complete');

for my $row ([ '-e', '/nonexistent' ]) {
    my $run = TestServer->run('-p', '0', @$row);
    is($run->{status}, 64, "@$row ends with 64");
    like($run->{stderr}, qr/^\Q$row->[0]\E: not built yet\n/, "@$row says why");
}

done_testing;
