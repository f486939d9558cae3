#!/usr/bin/perl
# Goal: scripts/memcached-tool shows, dumps and moves what it says, in the forms and with the statuses that scripts know.
# Method: each mode against a running server, plain or over TLS, and over a Unix socket; servers that are not there, that
# refuse or hang up; arguments that mean nothing.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $TOOL = "$FindBin::Bin/../scripts/memcached-tool";
my @TRUST = $ENV{SSL_TEST} ? ('--ca', do { require TestCerts; TestCerts::ensure() } . '/ca.crt') : ();
my $TLS = $ENV{SSL_TEST} ? 'tls://' : '';
sub tool { return TestServer->run({ bare => 1, binary => $TOOL, seconds => 20 }, @_) }
sub address { my ($server) = @_; return "${TLS}127.0.0.1:" . $server->port }
sub ask { my ($server, @mode) = @_; return tool(@TRUST, address($server), @mode) }
sub lines_of { my ($run) = @_; return split /\n/, $run->{stdout} }

# What a run printed is this many lines of that form, and nothing is wrong.
sub printed {
    my ($run, $form, $count, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @lines = lines_of($run);
    my @odd = grep { !/$form/ } @lines;
    ok($run->{status} == 0 && @lines == $count && !@odd, $name)
        or diag("status $run->{status}, " . @lines . " lines, $run->{stderr}" . ($odd[0] // ''));
    return @lines;
}

my $server = TestServer->start('-o', 'track_sizes,slab_automove=0', '-t', '1');
my $c = $server->client;
is((lines_of(ask($server)))[0], '  #  Item_Size  Max_age   Pages   Count   Full?  Evicted Evict_Time OOM', 'display has its header');
is(scalar(lines_of(ask($server, 'display'))), 1, 'an empty server has no rows');

# statistics
$c->set("small$_", 'x' x 20, flags => $_, ttl => $_ % 2 ? 0 : 1000) for 1 .. 100;
$c->set("large$_", 'y' x 100_000) for 1 .. 30;
my @rows = (lines_of(ask($server, 'display')))[ 1, 2 ];
my ($small, $large) = map { (split)[0] } @rows;
my $slabs = $server->stats('slabs');
for my $row ([ $small, $rows[0], $slabs->{"$small:chunk_size"} . 'B', 100 ],
    [ $large, $rows[1], sprintf('%.1fK', $slabs->{"$large:chunk_size"} / 1024), 30 ])
{
    my ($class, $line, $size, $count) = @$row;
    my $full = $slabs->{"$class:used_chunks"} == $slabs->{"$class:total_chunks"} ? 'yes' : ' no';
    like($line, qr/^[ \d]{3} +\Q$size\E +\d+s +$slabs->{"$class:total_pages"} +$count + $full +0 +0 +0$/, "class $class has its row");
    is(length $line, 70, 'of the usual width');
}
my @stats = lines_of(ask($server, 'stats'));
is(shift @stats, sprintf("#%-22s %5s %13s", address($server), 'Field', 'Value'), 'stats has its header');
is(scalar(grep { !/^ *\S+ +\S+\r$/ || length $_ < 44 } @stats), 0, 'each statistic its line with a CR');
is_deeply([ map { (split)[0] } @stats ], [ sort keys %{ $server->stats } ], 'all of them by name');
my %value = map { (split)[0, 1] } @stats;
is($value{curr_items}, 130, 'with their values');
is((grep { /curr_items/ } @stats)[0], sprintf("%29s %14s", 'curr_items', "130\r"), 'in the usual columns');
my @settings = lines_of(ask($server, 'settings'));
is($settings[0], sprintf("#%-17s %5s %11s", address($server), 'Field', 'Value'), 'settings has its header');
ok((grep { $_ eq sprintf("%24s %12s", 'track_sizes', "yes\r") } @settings), 'and its lines');
my @sizes = lines_of(ask($server, 'sizes'));
is($sizes[0], sprintf("#%-17s %5s %11s", address($server), 'Size', 'Count'), 'sizes has its header');
is(eval { my $sum = 0; $sum += (split)[1] for @sizes[ 1 .. $#sizes ]; $sum }, 130, 'and counts all items');

# keys
my $about = qr/^key=\S+ exp=-?\d+ la=\d+ cas=\d+ fetch=(?:yes|no) cls=\d+ size=\d+\b/;
my $keys = ask($server, 'keys');
my %seen = map { /^key=(\S+)/ ? ($1 => 1) : () } printed($keys, $about, 130, 'keys shows a line for each key');
is(scalar(keys %seen), 130, 'each once');
is($keys->{stderr}, "Dumping memcache keys\n", 'and says so');
printed(ask($server, 'keys', '0'), $about, 130, '0 is no limit');
my $one = ask($server, 'keys', '1');
printed($one, $about, 1, 'a limit of one shows one');
is($one->{stderr}, "Dumping memcache keys (limiting to 1 keys)\n", 'and tells of it');
printed(ask($server, 'keys', '-u', '99'), $about, 99, 'behind -u, too');
SKIP: {
    skip 'no binary keys here', 5 if TestServer::is_old();
    $c->answers([ 'ms c3BhY2UgYmFy 1 b', 'v' ], ['HD'], 'a key with a space');
    my ($encoded) = grep { /^key=space/ } lines_of(ask($server, 'keys'));
    like($encoded, qr/^key=space%20bar exp=/, 'is shown encoded');
    my ($decoded) = grep { /^key=space/ } lines_of(ask($server, 'keys', '-u'));
    like($decoded, qr/^key=space bar exp=/, 'and with -u as it is');
    my $dump = ask($server, 'dump');
    is($dump->{stderr}, "Dumping memcache contents\n1 items were left out: text commands cannot name their keys\n", 'a dump leaves it out');
    $c->answers('md c3BhY2UgYmFy b', ['HD'], 'it goes');
}

# a dump fills another server
my $dump = ask($server, 'dump');
is($dump->{status}, 0, 'dump');
is($dump->{stderr}, "Dumping memcache contents\n", 'says so');
my $copy = TestServer->start('-t', '1');
my $d = $copy->client;
is($d->talk(\$dump->{stdout}), "STORED\r\n" x 130, 'and is made of commands that store');
is($d->get('large30'), 'y' x 100_000, 'a value');
$d->answers('get small7', [ 'VALUE small7 7 20', 'x' x 20, 'END' ], 'its flags');
like($dump->{stdout}, qr/^add small7 7 0 20\r$/m, 'an item without end has 0 there');
like($d->ask('mg small8 t'), qr/^HD t(?:9\d\d|1000)$/, 'any other the moment of its end');
is(() = ask($server, 'dump', '70')->{stdout} =~ /^add /mg, 70, 'a limit is how many are dumped');
my $cut = ask($server, 'dump', '1');
is($cut->{stderr}, "Dumping memcache contents (limiting to 1 keys)\n", 'and told of');
is(system("'$TOOL' @TRUST '${\ address($server)}' dump 2>/dev/null >/dev/full") >> 8, 1, 'a full disk is a failure');

# a page
my $moved = $server->stat('slabs_moved');
my $move = ask($server, 'move', $large, $small);
is($move->{status}, 0, 'move');
is(scalar(lines_of($move)), 3, 'shows the classes');
ok($server->wait_stat('slabs_moved', $moved + 1), 'and has a page moved');
my $refused = ask($server, 'move', 62, $small);
is($refused->{status}, 1, 'a class without pages is refused');
like($refused->{stderr}, qr/^\Q${\ address($server)}\E: (?:NOSPARE|BADCLASS) /, 'in the words of the server');

# Unix sockets
SKIP: {
    skip 'no Unix sockets here', 3 unless TestServer::has_feature('unix');
    my $unix = TestServer->start({ unix => 1 }, '-t', '1');
    $unix->client->set('k', 'v');
    my @list = lines_of(tool($unix->path, 'stats'));
    is($list[0], sprintf("#%-22s %5s %13s", $unix->path, 'Field', 'Value'), 'a Unix socket is asked by its path');
    is(tool($unix->path, 'dump')->{stdout}, "add k 0 0 1\r\nv\r\n", 'and dumped');
    is(tool('--insecure', $unix->path)->{status}, 255, 'but not over TLS');
}

# servers that refuse, are not there, or hang up
my $silent = TestServer->start('-X', '-t', '1');
for my $mode (qw(keys dump)) {
    my $run = ask($silent, $mode);
    is($run->{status}, 1, "$mode of a server with -X");
    like($run->{stderr}, qr/^\Q${\ address($silent)}\E: ERROR \w+ not allowed$/m, 'is refused');
}
my $gone = address($silent);
is($silent->stop, 0, 'a server goes');
my $run = tool(@TRUST, $gone, 'stats');
is($run->{status}, 111, 'the status is the number of the error: connection refused');
is($run->{stderr}, "Couldn't connect to $gone\n", 'and named');
$run = tool('/nonexistent/socket');
is($run->{status}, 2, 'a socket that is not there');
is($run->{stderr}, "Couldn't connect to /nonexistent/socket\n", 'is named');
is(tool('no.such.host.invalid')->{stderr}, "Couldn't connect to no.such.host.invalid:11211\n", 'and so is a host, with its port');
is(tool('[::1]:1')->{stderr}, "Couldn't connect to [::1]:1\n", 'a number of IPv6');

my $rude = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
my $pid = fork // die $!;
if ($pid == 0) {
    for my $answer ('', "STAT pid 1\r\n", "SERVER_ERROR out of order\r\n") {
        my $client = $rude->accept;
        sysread $client, my $request, 100;
        syswrite $client, $answer;
    }
    POSIX::_exit(0);
}
for my $why ('the server closed the connection', 'the server closed the connection', 'SERVER_ERROR out of order') {
    my $run = tool('127.0.0.1:' . $rude->sockport, 'stats');
    is($run->{status}, 1, 'a server that does not answer to the end');
    is($run->{stderr}, '127.0.0.1:' . $rude->sockport . ": $why\n", "$why is told");
}
waitpid $pid, 0;

# arguments
for my $row ([], ['--nonsense'], [ 'h', 'bogus' ], [ 'h', 'stats', 'x' ], [ 'h', 'sizes', '1' ], [ '--ca', '/dev/null', 'h' ]) {
    my $run = tool(@$row);
    is($run->{status}, 255, "usage: '@$row'");
    like($run->{stderr}, qr/^Usage: memcached-tool /m, 'is told how');
}
my $limit = qr/^ERROR: invalid limit \(should be a positive number\)\n\nUsage: /;
my $range = qr/^ERROR: parameters out of range\n\nUsage: /;
for my $row ([ $limit, 'dump', '0' ], [ $limit, 'dump', 'x' ], [ $limit, 'dump', '-1' ], [ $limit, 'keys', 'x' ], [ $limit, 'keys', '-u', '1.5' ],
    [ $range, 'move' ], [ $range, 'move', '1' ], [ $range, 'move', '0', '1' ], [ $range, 'move', '1', '64' ], [ $range, 'move', 'a', 'b' ])
{
    my ($complaint, @mode) = @$row;
    my $run = ask($server, @mode);
    is($run->{status}, 255, "arguments: '@mode'");
    like($run->{stderr}, $complaint, 'are refused');
    is($run->{stdout}, '', 'and nothing is shown');
}
is(tool('--help')->{status}, 0, '--help ends well');

# TLS: who answers, and who asks
if ($ENV{SSL_TEST}) {
    my $certs = TestCerts::ensure();
    my $where = address($server);
    for my $row ([ 1, 'a server of the system\'s authorities only', $where ],
        [ 1, 'one of another authority', '--ca', "$certs/foreign-ca.crt", $where ],
        [ 1, 'one of another name', @TRUST, '--name', 'elsewhere.example', $where ],
        [ 0, 'one of the name that was asked for', @TRUST, '--name', 'localhost', $where ],
        [ 0, 'anyone', '--insecure', $where ],
        [ 1, 'a server without TLS', @TRUST, 'tls://127.0.0.1:' . TestServer->start({ tls => 0 }, '-t', '1')->port ])
    {
        my ($status, $name, @arguments) = @$row;
        my $run = tool(@arguments, 'stats');
        is($run->{status}, $status, "trust in $name");
        like($run->{stderr}, $status ? qr{^Couldn't connect to tls://127\.0\.0\.1:\d+: .} : qr/\A\z/, $status ? 'and why not' : 'without a word');
    }
    my $strict = TestServer->start('-t', '1', '-o', "ssl_ca_cert=$certs/ca.crt,ssl_verify_mode=2");
    isnt(tool(@TRUST, address($strict), 'stats')->{status}, 0, 'a client without a certificate');
    is(tool(@TRUST, '--cert', "$certs/client.crt", '--key', "$certs/client.key", address($strict), 'stats')->{status}, 0, 'and one that has it');
}

done_testing;
