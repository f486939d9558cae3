#!/usr/bin/perl
# Goal: the command line is read as getopt_long reads it, and each mistake has its text and exit status.
# Method: command lines that must end by themselves; stderr, stdout and status of each.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $program = TestServer::server_path();

# Ends with this status, and stderr begins with (or is like) this text.
sub refuses {
    my ($args, $status, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = TestServer->run(@$args);
    $name //= "@$args";
    my $fits = !defined $text || (ref $text ? $run->{stderr} =~ $text : index($run->{stderr}, $text) == 0);
    return ok(1, $name) if !$run->{running} && $run->{status} == $status && $fits;
    ok(0, $name);
    diag($run->{running} ? 'it runs' : "status $run->{status} (signal $run->{signal}), not $status");
    diag("stderr: $run->{stderr}wanted: $text") unless $fits;
}

# what getopt says
refuses(['-Q'], 1, "$program: invalid option -- 'Q'\nIllegal argument \"?\"\n");
refuses(['-dQ'], 1, "$program: invalid option -- 'Q'\n", 'a letter in a bundle');
refuses(['--nosuch'], 1, "$program: unrecognized option '--nosuch'\nIllegal argument \"?\"\n");
refuses(['--nosuch=1'], 1, "$program: unrecognized option '--nosuch=1'\n");
refuses(['-p'], 1, "$program: option requires an argument -- 'p'\nIllegal argument \"?\"\n");
refuses(['--port'], 1, "$program: option '--port' requires an argument\nIllegal argument \"?\"\n");
refuses(['--daemon=1'], 1, "$program: option '--daemon' doesn't allow an argument\nIllegal argument \"?\"\n");
refuses(['--p=1'], 1, qr/^\Q$program\E: option '--p=1' is ambiguous; possibilities: '--port' '--pidfile' '--protocol'\nIllegal argument "\?"\n/);

# what prints and ends, at its place
for my $row ([ ['-V'], 0 ], [ ['--version'], 0 ], [ ['--vers'], 0 ], [ [ '-h', '-Q' ], 0 ], [ [ 'operand', '-V' ], 0 ],
    [ [ '-vvV' ], 0 ], [ [ '-p11', '-V' ], 0 ], [ [ '-h', '-c', '0' ], 0 ], [ ['-i'], 0 ], [ ['--license'], 0 ],
    [ [ '--verbose=3', '-V' ], 0 ], [ [ '--port=1', '--por', '2', '-V' ], 0 ],
    [ ['-vVc0'], 0 ], [ ['-VQ'], 0 ], [ [ '-V', '--nosuch' ], 0 ], [ [ '-V', '--daemon=1' ], 0 ], [ [ '-V', '-p' ], 0 ])
{
    my ($args, $status) = @$row;
    my $run = TestServer->run({ bare => 1 }, @$args);
    is($run->{status}, $status, "@$args ends with $status");
    like($run->{stdout}, qr/^memcached \d+\.\d+\.\d+/, "@$args prints the version on stdout");
    is($run->{stderr}, '', "@$args prints nothing on stderr");
}
refuses([ '-c', '0', '-h' ], 1, "Maximum connections must be greater than 0\n", 'the first mistake wins');

my $strict = TestServer->run({ env => { POSIXLY_CORRECT => 1 }, seconds => 0.5 }, '-p', '0', 'operand', '-V');
ok($strict->{running} && $strict->{stdout} eq '', 'with POSIXLY_CORRECT the first operand ends the options');

# single options
for my $row (
    [ [ '-c', '0' ], 1, "Maximum connections must be greater than 0\n" ],
    [ [ '-c', '-5' ], 1, "Maximum connections must be greater than 0\n" ],
    [ [ '-c', 'x' ], 1, "Maximum connections must be greater than 0\n" ],
    [ [ '-f', '1' ], 1, "Factor must be greater than 1\n" ],
    [ [ '-f', '0.9' ], 1, "Factor must be greater than 1\n" ],
    [ [ '-f', 'x' ], 1, "Factor must be greater than 1\n" ],
    [ [ '-n', '0' ], 1, "Chunk size must be greater than 0\n" ],
    [ [ '-n', 'x' ], 1, "Chunk size must be greater than 0\n" ],
    [ [ '-t', '0' ], 1, "Number of threads must be greater than 0\n" ],
    [ [ '-t', '-1' ], 1, "Number of threads must be greater than 0\n" ],
    [ [ '-R', '0' ], 1, "Number of requests per event must be greater than 0\n" ],
    [ [ '-D', '' ], 1, "No delimiter specified\n" ],
    [ [ '-D', ' ' ], 1, "No delimiter specified\n" ],
    [ [ '-N', '0' ], 1, "Maximum number of NAPI IDs must be greater than 0\n" ],
    [ [ '-N', '5', '-t', '4' ], 64, "Number of napi_ids(5) cannot be greater than number of threads(4)\n" ],
    [ [ '-B', 'x' ], 64, "Invalid value for binding protocol: x\n -- should be one of auto, binary, or ascii\n" ],
    [ [ '-B', 'ASCII' ], 64, "Invalid value for binding protocol: ASCII\n" ],
    [ [ '-p', '65536' ], 64, "ERROR: Invalid port number 65536.\n" ],
    [ [ '-p', '99999999' ], 64, "ERROR: Invalid port number 99999999.\n" ],
    [ [ '-I', '1023' ], 64, "Item max size cannot be less than 1024 bytes.\n" ],
    [ [ '-I', '1g' ], 64, "Item max size cannot be less than 1024 bytes.\n" ],
    [ [ '-I', 'x' ], 64, "Item max size cannot be less than 1024 bytes.\n" ],
    [ [ '-I', '2048m' ], 64, "Item max size cannot be less than 1024 bytes.\n" ],
    [ [ '-I', '33m' ], 64, "Cannot set item size limit higher than 1/2 of memory max.\n" ],
    [ [ '-m', '1' ], 64, "Cannot set item size limit higher than 1/2 of memory max.\n" ],
    [ [ '-m', '0' ], 64, "Cannot set item size limit higher than 1/2 of memory max.\n" ],
    [ [ '-m', '4000', '-I', '1025m' ], 64, "Cannot set item size limit higher than a gigabyte.\n" ],
    [ [ '-I', '256k' ], 64, "slab_chunk_max (bytes: 524288) cannot be larger than -I (item_size_max 262144)\n" ],
    [ [ '-I', '1500k' ], 64, "-I (item_size_max: 1536000) must be evenly divisible by slab_chunk_max (bytes: 524288)\n" ],
    [ [ '-I', '768k' ], 64, "-I (item_size_max: 786432) must be evenly divisible by slab_chunk_max (bytes: 524288)\n" ],
    [ [ '-I', '3k', '-o', 'slab_chunk_max=3' ], 64, "slab_chunk_max (bytes: 3072) must divide evenly into 1048576 (slab_page_size)\n" ],
) {
    my ($args, $status, $text) = @$row;
    next if TestServer::is_old() && "@$args" =~ /slab_chunk_max|^-D  $/;
    refuses($args, $status, $text);
}

# the order of the checks
refuses([ '-I', '100', '-m', '1' ], 64, "Item max size cannot be less than 1024 bytes.\n", 'too small comes before half of the memory');

# -u
SKIP: {
    skip 'not root', 4 unless $> == 0;
    my $run = TestServer->run({ bare => 1 }, '-p', '0');
    is($run->{status}, 64, 'root must say who to be');
    like($run->{stderr}, qr/^must add '-u root' to start as root\n|^can't run as root without the -u switch\n/, 'and is told so');
    $run = TestServer->run({ bare => 1 }, '-u', 'no-such-user-here', '-p', '0');
    is($run->{status}, 67, 'an unknown user');
    like($run->{stderr}, qr/^can't find the user no-such-user-here to switch to\n/, 'is named');
}

done_testing;
