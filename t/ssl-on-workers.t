#!/usr/bin/perl
# Goal: with ssl_handshake_threads=0 the workers make handshakes, and what is promised of TLS holds all the same.
# Method: the tests of handshakes, once more in that way.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

BEGIN { TestServer::need_feature('tls') }
TestServer::need_new('it has no handshake threads');
plan skip_all => 'they run under valgrind in the usual way' if $ENV{VALGRIND_TEST};

my @files = qw(ssl-basic ssl-errors ssl-handshakes ssl-pending ssl-refresh ssl-rude-crowd ssl-sessions ssl-stats ssl-timeouts);
plan tests => scalar @files;

local $ENV{TLS_ON_WORKERS} = 1;
for my $file (@files) {
    my $said = qx('$^X' '-I$FindBin::Bin/lib' '$FindBin::Bin/$file.t' 2>&1);
    my $status = $?;
    my @wrong = grep { /^not ok/ } split /^/, $said;
    ok($status == 0 && !@wrong && $said =~ /^1\.\.[1-9]/m, $file) or diag $said =~ s/^ok .*\n//mgr;
}
