#!/usr/bin/perl
# Goal: a program in C or C++ that includes the installed header speaks the server's binary protocol.
# Method: programs that build requests from the header's unions and print them; the server answers them.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestBinary qw(read_answer);
use TestCompiler;
use TestServer;

TestCompiler::need();
my $dir = TestServer::scratch();

# A request of each shape, ended by quit. Numbers are put in their order on the wire byte by byte.
my $PROGRAM = TestServer::write_file("$dir/requests.c", <<'END');
#include <protocol_binary.h>
#include <stdio.h>
#include <string.h>

static void put(void *to, uint64_t number, int size) {
    while (size-- > 0) { ((uint8_t *)to)[size] = (uint8_t)number; number >>= 8; }
}
static void say(void *request, size_t size, int command, const char *key, const char *value) {
    protocol_binary_request_header *head = (protocol_binary_request_header *)request;
    head->request.magic = PROTOCOL_BINARY_REQ;
    head->request.opcode = (uint8_t)command;
    head->request.datatype = PROTOCOL_BINARY_RAW_BYTES;
    put(&head->request.keylen, strlen(key), 2);
    head->request.extlen = (uint8_t)(size - sizeof *head);
    put(&head->request.bodylen, size - sizeof *head + strlen(key) + strlen(value), 4);
    memcpy(&head->request.opaque, "opaq", 4);
    fwrite(request, 1, size, stdout);
    fputs(key, stdout);
    fputs(value, stdout);
}
#define NEW(name) protocol_binary_request_##name name; memset(&name, 0, sizeof name)
#define SAY(name, command, key, value) say(name.bytes, sizeof name.bytes, PROTOCOL_BINARY_CMD_##command, key, value)

int main(void) {
    NEW(set); NEW(get); NEW(getkq); NEW(incr); NEW(touch); NEW(append); NEW(flush); NEW(quit);
    put(&set.message.body.flags, 7, 4);
    put(&set.message.body.expiration, 1000, 4);
    put(&incr.message.body.delta, 2, 8);
    put(&incr.message.body.initial, 40, 8);
    put(&touch.message.body.expiration, 500, 4);
    SAY(set, SET, "k", "v");
    SAY(append, APPEND, "k", "w");
    SAY(get, GET, "k", "");
    SAY(getkq, GETKQ, "none", "");
    SAY(touch, TOUCH, "k", "");
    SAY(incr, INCREMENT, "n", "");
    SAY(incr, INCREMENT, "n", "");
    SAY(flush, FLUSH, "", "");
    SAY(quit, QUIT, "", "");
    return sizeof(protocol_binary_response_get) == 28 && sizeof(protocol_binary_response_decr) == 32
        && PROTOCOL_BINARY_RESPONSE_ENOMEM == 0x82 ? 0 : 1;
}
END
my @ANSWERS = ('set 0', 'append 0', 'get 0 f7 vw', 'touch 0 f7', "incr 0 \0\0\0\0\0\0\0\x28", "incr 0 \0\0\0\0\0\0\0\x2a", 'flush 0', 'quit 0');

for my $language (TestCompiler::languages()) {
    SKIP: {
        my $program = TestCompiler::build($language, $PROGRAM, '-pedantic') // skip "there is no compiler of $language", 4;
        my $requests = `'$program'`;
        is($? >> 8, 0, 'answers have their sizes');
        my $client = TestServer->start('-t', '1')->client;
        $client->send($requests);
        is_deeply([ map { read_answer($client) } @ANSWERS ], \@ANSWERS, 'the server understands what it makes');
        ok($client->closed, 'to the last');
    }
}

done_testing;
