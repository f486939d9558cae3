package TestSplit;

# The split property: a conversation gives the same replies whole, byte by byte and cut at any offset.
#
#   TestSplit::check($server, 'name', $request, $reply);
#
# The server runs with -t 1: a question on another connection, answered, shows that its only worker has
# seen the part sent before. The request must put everything it relies on in place by itself, and end
# with `mn`.

use strict;
use warnings;
use Test::More;

use TestClient;

# Options: cuts (offsets to cut at; all of them), slow (0: not byte by byte).
sub check {
    my ($server, $name, $request, $reply, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $length = length $reply;
    my $whole = $server->client;
    $whole->send($request);
    TestClient::same_bytes($whole->bytes($length), $reply, "$name: whole") or return;

    my $other = $server->client;
    my $seen = sub { ($other->ask('mn') // '') eq 'MN' or die "no answer on another connection\n" };
    if ($options{slow} // 1) {
        my $slow = $server->client;
        for my $byte (split //, $request) { $slow->send($byte); $seen->() }
        TestClient::same_bytes($slow->bytes($length), $reply, "$name: byte by byte");
    }

    my $cut = $server->client;
    my @cuts = @{ $options{cuts} // [ 1 .. length($request) - 1 ] };
    for my $at (grep { $_ > 0 && $_ < length $request } @cuts) {
        $cut->send(substr $request, 0, $at);
        $seen->();
        $cut->send(substr $request, $at);
        my $got = $cut->bytes($length);
        next if defined $got && $got eq $reply;
        return TestClient::same_bytes($got, $reply, "$name: cut at $at");
    }
    ok($cut->pending eq '', "$name: cut at " . @cuts . ' offsets');

    # Several cuts at a time, at places that a fixed seed picks.
    srand 42;
    my $many = $server->client;
    for my $round (1 .. 20) {
        my $at = 0;
        while ($at < length $request) {
            my $part = 1 + int rand(length($request) / 4 + 1);
            $many->send(substr $request, $at, $part);
            $seen->();
            $at += $part;
        }
        my $got = $many->bytes($length);
        next if defined $got && $got eq $reply;
        return TestClient::same_bytes($got, $reply, "$name: in pieces, round $round");
    }
    ok(1, "$name: in pieces");
}

1;
