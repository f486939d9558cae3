#!/usr/bin/perl
# Goal: a program in C or C++ that includes the installed xxhash.h has the functions of xxHash.
# Method: a program that prints known hashes, beside the header of the binary protocol.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestCompiler;
use TestServer;

TestCompiler::need();
my $dir = TestServer::scratch();

# Hashes of nothing, as other implementations give them.
my $PROGRAM = TestServer::write_file("$dir/hashes.c", <<'END');
#include <protocol_binary.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <stdio.h>

int main(void) {
    printf("%08x\n", (unsigned)XXH32("", 0, 0));
    printf("%016llx\n", (unsigned long long)XXH64("", 0, 0));
    printf("%016llx\n", (unsigned long long)XXH3_64bits("", 0));
    printf("%016llx\n", (unsigned long long)XXH3_128bits("", 0).high64);
    printf("%u\n", XXH_VERSION_NUMBER);
    return 0;
}
END
my @HASHES = qw(02cc5d05 ef46db3751d8e999 2d06800538d394c2 99aa06d3014798d8 801);

for my $language (TestCompiler::languages()) {
    SKIP: {
        my $program = TestCompiler::build($language, $PROGRAM, '-O1') // skip "there is no compiler of $language", 2;
        is(`'$program'`, join('', map { "$_\n" } @HASHES), 'and has the right hashes');
    }
}

done_testing;
