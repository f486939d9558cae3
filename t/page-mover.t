#!/usr/bin/perl
# Goal: slab pages move between classes, on demand and by themselves, while clients use what is in them; nothing in
# them changes, nobody waits, and a page that cannot move keeps nobody from anything.
# Method: counts and values after each move; a value that never comes to its end, a client that does not read; two
# wishes in one packet; a server without a mover.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestWatch qw(watch next_of);

TestServer::need_new('moves that can be given up');

my $CLASS = 22;       # of values of 10,000 bytes, 94 in a page
my $PAGE = 94;

sub value { my ($number) = @_; return substr "$number," x 5000, 0, 10_000 }

sub fill {
    my ($c, @numbers) = @_;
    $c->send(join '', map { "set k$_ 0 0 10000 noreply\r\n" . value($_) . "\r\n" } @numbers);
    return $c->ask('mn');
}

# How many of the items are there; each must be whole.
sub whole {
    my ($c, @numbers) = @_;
    my ($there, $wrong) = (0, 0);
    for my $number (@numbers) {
        my $value = $c->get("k$number");
        next if !defined $value;
        $there++;
        $wrong++ if $value ne value($number);
    }
    is($wrong, 0, 'every value is its own');
    return $there;
}

sub pages { my ($server, $class) = @_; return $server->stat("$class:total_pages", 'slabs') || 0 }

my $server = TestServer->start('-t', '2', '-m', '64', '-o', 'no_lru_maintainer,slab_automove=0');
my $c = $server->client;

# a page with live items in it
fill($c, 1 .. 200);
$c->talk("delete k$_") for grep { $_ % 2 } 1 .. $PAGE;
my $before = $server->stats;
is($before->{slab_reassign_last_busy_status}, 'none', 'nothing was busy yet');
$c->answers("slabs reassign $CLASS 1", 'OK', 'a page is asked for');
ok($server->wait_stat('slabs_moved', 1), 'it moves');
is(pages($server, 1), 1, 'the other class has it');
is(pages($server, $CLASS), 2, 'its class no longer');
my $after = $server->stats;
is($after->{$_}, $before->{$_}, "$_ is what it was") for qw(curr_items total_items bytes evictions);
cmp_ok($after->{slab_reassign_rescues}, '>', 0, 'items were put elsewhere');
is($after->{slab_reassign_running}, 0, 'and it is done');
is(whole($c, 1 .. 200), 200 - $PAGE / 2, 'all items are there');
$c->answers('stats reset', 'RESET', 'stats reset');
is($server->stat('slabs_moved'), 0, 'forgets what moved');

# two wishes in one packet: each that is granted is carried out
$server = TestServer->start('-t', '2', '-m', '64', '-o', 'no_lru_maintainer,slab_automove=0');
$c = $server->client;
fill($c, 1 .. 4 * $PAGE);
$c->talk("delete k$_") for 1 .. 4 * $PAGE;
$c->send("slabs reassign $CLASS 0\r\nslabs reassign $CLASS 0\r\n");
my @replies = map { $c->line } 1 .. 2;
is($replies[0], 'OK', 'the first is granted');
like($replies[1], qr/^(OK|BUSY currently processing reassign request)$/, 'the second, or it is told');
my $granted = grep { $_ eq 'OK' } @replies;
ok($server->wait_stat('slabs_moved', $granted), 'each that was granted is done');
is($server->stat('slab_global_page_pool'), $granted, 'spare pages');

# a value that is on its way, and a client that does not read: nobody waits, and both get what is theirs
$server = TestServer->start('-t', '2', '-m', '64', '-o', 'no_lru_maintainer,slab_automove=0');
$c = $server->client;
my $half = $server->client;
$half->send("set half 0 0 10000\r\n" . substr(value(0), 0, 5000));
ok($server->wait_stat('cmd_set', 1), 'half a value has come');
my $large = join ',', 1 .. 120_000;
$large = substr $large, 0, 700_000;
$c->set("large$_", $large) for 1 .. 6;
my $slow = $server->client;
$slow->send('get ' . join(' ', map { "large$_" } 1 .. 6) . "\r\n");
ok($server->wait_stat('get_hits', 6), 'a client has asked for much and does not read');
fill($c, 1 .. 2 * $PAGE);
$c->answers("slabs reassign $CLASS 0", 'OK', 'the page with half a value is asked for');
ok($server->wait_stat('slab_reassign_busy_items', sub { $_[0] > 0 }), 'the mover waits');
$c->answers("slabs reassign $CLASS 0", 'BUSY currently processing reassign request', 'others are told');
is(whole($c, map { 20 * $_ } 1 .. 9), 9, 'and served');
$half->send(substr(value(0), 5000) . "\r\n");
is($half->line, 'STORED', 'the value comes to its end');
ok($server->wait_stat('slabs_moved', 1), 'and the page moves');
ok($c->get('half') eq value(0), 'with the value');
$c->talk("delete large$_") for 2 .. 6;
$c->answers('slabs reassign 39 0', 'OK', 'a page that is read from is asked for');
is($c->ask('mn'), 'MN', 'others are served');
my $want = join('', map { "VALUE large$_ 0 700000\r\n$large\r\n" } 1 .. 6) . "END\r\n";
my $got = $slow->bytes(length $want);
ok(defined $got && $got eq $want, 'the slow client gets what it asked for');
ok($server->wait_stat('slabs_moved', 2), 'and the page moves');
ok($c->get('large1') eq $large, 'the item that was read is there');

# a stop does not wait for a page
$half->send("set other 0 0 10000\r\n" . substr(value(0), 0, 5000));
ok($server->wait_stat('cmd_set', sub { $_[0] >= 9 }), 'half a value again');
fill($c, 1 .. 3 * $PAGE);
$c->talk("slabs reassign $CLASS 0");
is($server->stop('USR1'), 0, 'the server ends in order amid a move');

# by itself: where all evict, those with the oldest items give to those with the youngest
$server = TestServer->start('-t', '2', '-m', '8', '-o', 'slab_automove_window=3');
$c = $server->client;
my $watcher = watch($server, 'sysevents');
fill($c, 1 .. 8 * $PAGE);
$c->send("set young$_ 0 0 2000 noreply\r\n" . 'y' x 2000 . "\r\n") for 1 .. 600;
$c->ask('mn');
my $young = 0;
ok(TestServer::wait_until(sub {
    $c->send(join '', map { $young++; "set y$young 0 0 2000 noreply\r\n" . 'y' x 2000 . "\r\n" } 1 .. 200);
    $c->ask('mn');
    return $server->stat('slabs_moved') >= 2;
}), 'pages move by themselves');
like(next_of($watcher, 'slab_move')->{text} // '', qr/^type=slab_move src=$CLASS dst=\d+ state=ok$/, 'those who watch are told');
$watcher->close;
cmp_ok(pages($server, $CLASS), '<', 8, 'from the class that is not used any more');
is(whole($c, 1 .. 8 * $PAGE), $server->stat("items:$CLASS:number", 'items') || 0, 'its items are whole or gone');

# automove 2, with a mover and without
for my $options ('slab_automove=2', 'slab_automove=2,no_slab_reassign') {
    $server = TestServer->start('-t', '2', '-m', '2', '-o', $options);
    $c = $server->client;
    fill($c, 1 .. 3 * $PAGE);
    cmp_ok($server->stat('evictions'), '>', 0, "$options: the server evicts");
    is($c->ask('mn'), 'MN', "$options: and serves");
    my $has_rows = exists $server->stats->{slabs_moved};
    is($has_rows ? 1 : 0, $options =~ /no_slab/ ? 0 : 1, "$options: rows of the mover");
}
$c->answers('slabs reassign x y', 'CLIENT_ERROR slab reassignment disabled', 'without a mover nobody may ask');

done_testing;
