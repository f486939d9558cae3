#!/usr/bin/perl
# Goal: scripts/damemtop shows what servers do, keeps its figures straight, and bears with servers that are gone or odd.
# Method: pictures as text of running servers, plain or over TLS and by Unix socket; servers made up by the test; the screen
# and its keys where script(1) lends a terminal.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

plan skip_all => 'this Perl lacks a module of its own: CPAN::Meta::YAML' unless eval { require CPAN::Meta::YAML };
my $SCRIPTS = "$FindBin::Bin/../scripts";
my $TOP = "$SCRIPTS/damemtop";
my $dir = TestServer::scratch();
mkdir "$dir/$_" for 'home', 'home/.damemtop';
$ENV{HOME} = "$dir/home";
my $certs = $ENV{SSL_TEST} ? do { require TestCerts; TestCerts::ensure() } : undef;
my $TRUST = $certs ? "tls:\n    ca: $certs/ca.crt\n" : '';
my $TLS = $certs ? 'tls://' : '';
sub address { my ($server) = @_; return $server->path // "${TLS}127.0.0.1:" . $server->port }

# A configuration of these lines, besides what TLS needs.
sub configured { my (@lines) = @_; return TestServer::write_file("$dir/home/.damemtop/damemtop.yaml", join("\n", @lines, '') . $TRUST) }
sub top { return TestServer->run({ bare => 1, binary => $TOP, seconds => 20 }, @_) }

# The pictures of an output: { heading, rows => { name => { column => text } }, order => [names], missing => { name => why } }.
# A row of a slab class is called by its server and number.
sub pictures {
    my ($text) = @_;
    my @pictures;
    for my $part (grep { /^damemtop/ } split /^(?=damemtop  \d)/m, $text) {
        my ($heading, undef, $columns, @lines) = split /\n/, $part;
        my %picture = (heading => $heading, rows => {}, order => [], missing => {});
        my @columns = split ' ', $columns // '';
        my $below = 0;
        for my $line (grep { $_ ne '' } @lines) {
            if ($below == 2) { $picture{missing}{$1} = $2 if $line =~ /^(\S+)  (.*)/; next }
            $below++ if $line =~ /^(?:TOTAL|AVERAGE):/;
            my @cells = split ' ', $line;
            my %row;
            @row{ $below ? grep({ !/^(?:class|chunk_size|age)$/ } @columns) : @columns } = @cells;
            my $name = defined $row{class} ? "$cells[0] $cells[1]" : $cells[0];
            $picture{rows}{$name} = \%row;
            push @{ $picture{order} }, $name;
        }
        push @pictures, \%picture;
    }
    return @pictures;
}
sub picture { return (pictures(top('--pictures', '1', '--delay', '5', @_)->{stdout}))[0] }

# two servers
my $one = TestServer->start('-t', '1');
my $other = TestServer::has_feature('unix') ? TestServer->start({ unix => 1 }, '-t', '1') : TestServer->start('-t', '1');
my ($c, $d) = map { $_->client } $one, $other;
$c->set($_, 'x' x 1000) for 'a', 'b';
$d->set('a', 'x' x 200_000);
$c->get($_) for 'a', 'b', 'a', 'c';
my @BOTH = (address($one), address($other));
configured('delay: 5', 'top_mode:', '    columns: [hostname, hit_rate, fill_rate, all_cmd_get, cmd_set, all_version, all_nonsense]');
my $run = top('--pictures', '1', @BOTH);
is($run->{status}, 0, 'a picture');
is($run->{stderr}, '', 'without complaints');
my ($picture) = pictures($run->{stdout});
like($picture->{heading}, qr/^damemtop  \d\d:\d\d:\d\d  every 5 s  servers: 2$/, 'has its heading');
my ($first, $second, $total, $average) = @{ $picture->{rows} }{ @BOTH, 'TOTAL:', 'AVERAGE:' };
is($first->{hit_rate}, '75.0%', 'the share of hits');
is($second->{hit_rate}, '-', 'is none without gets');
is($total->{hit_rate}, '75.0%', 'and is of all gets together');
is($first->{all_cmd_get}, 4, 'an amount');
is_deeply([ map { $_->{all_cmd_get} } $second, $total, $average ], [ 0, 4, 2 ], 'its sum and its average');
is($first->{fill_rate}, sprintf('%.1f%%', 100 * $one->stat('bytes') / $one->stat('limit_maxbytes')), 'the share of memory');
is($first->{all_version}, $one->stat('version'), 'a text');
is($first->{all_nonsense}, '-', 'a name that nobody knows');
like($first->{cmd_set}, qr/^[\d.]+$/, 'a rate');

# what happens between pictures
configured('top_mode:', '    columns: [hostname, hit_rate, cmd_get, bytes_written, all_cmd_get]');
my $connections = $one->stat('total_connections');
open my $pipe, '-|', $TOP, '--pictures', '200', '--delay', '0.3', @BOTH or die $!;
my $next = sub {
    my $text = '';
    while (defined(my $line = <$pipe>)) { $text .= $line; last if $line =~ /^AVERAGE/ }
    return (pictures($text))[0]{rows}{ $BOTH[1] };
};
is($next->()->{hit_rate}, '-', 'the first picture is of the time before');
$d->ask('get a'), $d->bytes(200_007) for 1 .. 40;
my @then;
do { push @then, $next->() } until $then[-1]{all_cmd_get} == 40;
is($then[-1]{hit_rate}, '100.0%', 'the next shows hits since then');
my $sum = 0;
$sum += 0.3 * $_->{cmd_get} for @then;
ok($sum > 10 && $sum < 100, 'and gets a second') or diag("they make $sum in all");
like($then[-1]{bytes_written}, qr/^[\d.]+M$/, 'traffic in millions');
is($next->()->{cmd_get}, 0, 'another is of a quiet time');
is($one->stat('total_connections'), $connections + 1, 'a connection is kept from picture to picture');
close $pipe;
is($? >> 8, 1, 'the end of those who read it is its end');

like(`'$TOP' --pictures 1 --delay 5 '$BOTH[1]' 2>&1 >/dev/full`, qr/^damemtop: standard output: No space left on device$/, 'a full disk is told');

# order
configured('top_mode:', '    sort_column: all_cmd_get', '    sort_order: desc', '    columns:', '        - hostname', '        - all_cmd_get');
is_deeply(picture(@BOTH)->{order}, [ $BOTH[1], $BOTH[0], 'TOTAL:', 'AVERAGE:' ], 'sorted by a column, largest first');
configured('top_mode:', '    sort_column: all_cmd_get');
is_deeply(picture(@BOTH)->{order}, [ @BOTH, 'TOTAL:', 'AVERAGE:' ], 'and smallest first');

# slab classes
my $classes = picture('--mode', 'c', @BOTH);
my ($slabs, $items) = map { $one->stats($_) } qw(slabs items);
for my $class (grep { defined } map { /^(\d+):chunk_size/ ? $1 : undef } keys %$slabs) {
    my $row = $classes->{rows}{"$BOTH[0] $class"};
    is_deeply([ @$row{qw(chunk_size pages items fill_rate)} ], [ $slabs->{"$class:chunk_size"}, $slabs->{"$class:total_pages"},
            $items->{"items:$class:number"} // 0, sprintf '%.1f%%', 100 * $slabs->{"$class:used_chunks"} / $slabs->{"$class:total_chunks"} ],
        "class $class");
}
is($classes->{rows}{'TOTAL:'}{items}, 3, 'all items') if !TestServer::is_old();

# servers that are missing
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
my $nobody = '127.0.0.1:' . $silent->sockport;
configured('top_mode:', '    columns: [hostname, all_pid]');
$run = top('--pictures', '1', '--delay', '2', $BOTH[0], '127.0.0.1:1', '/nonexistent/socket', 'no.such.host.invalid', $nobody);
is($run->{status}, 1, 'missing servers are told by the status');
my ($with_gaps) = pictures($run->{stdout});
is_deeply($with_gaps->{order}, [ $BOTH[0], 'TOTAL:', 'AVERAGE:' ], 'those that are there are shown');
like($with_gaps->{heading}, qr/servers: 5, missing: 4$/, 'the others counted');
my $missing = $with_gaps->{missing};
is($missing->{'127.0.0.1:1'}, 'Connection refused', 'and each has its reason: refused');
is($missing->{'/nonexistent/socket'}, 'No such file or directory', 'no socket');
ok($missing->{'no.such.host.invalid'}, 'no such host');
is($missing->{$nobody}, 'no answer', 'silence');

# servers of our own: each connection is answered by the next of these
sub answering {
    my (@answers) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        alarm TestServer::patience(60);
        for my $answer (@answers) {
            my $client = $listener->accept;
            sysread $client, my $request, 1000;
            local $SIG{PIPE} = 'IGNORE';
            for (1 .. (ref $answer ? $answer->[0] : 1)) { syswrite $client, ref $answer ? $answer->[1] : $answer or last }
        }
        POSIX::_exit(0);
    }
    return '127.0.0.1:' . $listener->sockport;
}
sub of { my (%stats) = @_; return join '', map({ "STAT $_ $stats{$_}\r\n" } keys %stats), "END\r\nEND\r\nEND\r\n" }
configured('top_mode:', '    columns: [hostname, cmd_get, all_version]');
my $restarted = answering(of(pid => 1, uptime => 10, cmd_get => 700), of(pid => 2, uptime => 5, cmd_get => 45));
my @twice = pictures(top('--pictures', '2', '--delay', '0.1', $restarted)->{stdout});
is_deeply([ map { $_->{rows}{$restarted}{cmd_get} } @twice ], [ 70, 9 ], 'a connection that ended is replaced, a new process counts from its start');
my $rude = answering("STAT version \e[2Jx\r\nEND\r\nEND\r\nEND\r\n");
is(picture($rude)->{rows}{$rude}{all_version}, '?[2Jx', 'a server cannot steer the terminal');
my $unwilling = answering("ERROR not for you\r\n");
is(picture($unwilling)->{missing}{$unwilling}, 'ERROR not for you', 'what it says instead of statistics is shown');
my $endless = answering([ 10_000, 'x' x 65_536 ]);
is(picture($endless)->{missing}{$endless}, 'it does not stop answering', 'one that talks for ever is left');

# old damemtop's way of asking
$c->answers_like(\"stats \nstats items\nstats slabs\n", qr/(?:(?:STAT [^\n]*\r\n)+END\r\n){3}/, 'a blank behind stats, and LF alone, are taken');

# configurations
configured('mode: c', 'servers:', map { "    - $_" } @BOTH);
is(picture()->{rows}{"$BOTH[0] 1"} ? 1 : 0, exists $slabs->{'1:chunk_size'} ? 1 : 0, 'servers and mode of the file at home');
my $elsewhere = TestServer::write_file("$dir/elsewhere.yaml", "top_mode:\n    columns:\n        - all_pid\nservers: [$BOTH[1]]\n");
is(top('--config', $elsewhere, '--pictures', '1')->{stdout} =~ /^all_pid\n *(\d+)\n/m ? $1 : undef, $other->pid, '--config names another');
my $sample = top('--config', "$SCRIPTS/damemtop.yaml", '--pictures', '1', '/nonexistent/socket');
is($sample->{stderr}, '', 'the sample can be read');
for my $row ([ 'dely: 3', qr/: there is no setting dely$/ ], [ 'top_mode: x', qr/, top_mode: names and values are expected$/ ],
    [ 'mode: x', qr/mode is t or c: x$/ ], [ 'delay: inf', qr/delay is a number of seconds: inf$/ ],
    [ 'delay: 0', qr/delay is a number of seconds: 0$/ ], [ 'delay: [1]', qr/delay is a number/ ], [ 'rubbish', qr/yaml: .*'rubbish'/ ],
    [ "delay:\n    - 1", qr/: delay is one value$/ ],
    [ "top_mode:\n    sort_order: up", qr/sort_order is asc or desc: up$/ ], [ "servers:\n    - a: b", qr/: servers is a list of words$/ ],
    [ '', qr/there are no servers: name some, here or in .*bad\.yaml$/ ])
{
    my ($text, $complaint) = @$row;
    my $run = top('--config', TestServer::write_file("$dir/bad.yaml", "$text\n"), '--pictures', '1', $text eq '' ? () : '127.0.0.1:1');
    is($run->{status}, 1, 'a configuration: ' . TestClient::visible($text));
    like($run->{stderr}, qr/^damemtop: .*$complaint/, 'is refused');
    is($run->{stdout}, '', 'before anything is shown');
}
is(top('--config', "$dir/none.yaml")->{status}, 1, 'one that is not there');
is(top('--nonsense')->{status}, 1, 'an option that is none');
is(top('--pictures', '0', 'h')->{status}, 1, 'no pictures');
like(top('--help')->{stdout}, qr/^Usage: damemtop /, '--help');

# TLS
if ($certs) {
    for my $row ([ 1, 'another authority', "ca: $certs/foreign-ca.crt" ],
        [ 1, 'another name', "ca: $certs/ca.crt\n    name: elsewhere.example" ],
        [ 0, 'the name asked for', "ca: $certs/ca.crt\n    name: localhost" ], [ 0, 'no check', 'verify: no' ])
    {
        my ($status, $name, $lines) = @$row;
        my $file = TestServer::write_file("$dir/tls.yaml", "tls:\n    $lines\n");
        my $run = top('--config', $file, '--pictures', '1', '--delay', '5', $BOTH[0]);
        is($run->{status}, $status, "TLS: $name") or diag($run->{stdout});
    }
    my $strict = TestServer->start('-t', '1', '-o', "ssl_ca_cert=$certs/ca.crt,ssl_verify_mode=2");
    my $file = TestServer::write_file("$dir/tls.yaml", "tls:\n    ca: $certs/ca.crt\n    cert: $certs/client.crt\n    key: $certs/client.key\n");
    is(top('--config', $file, '--pictures', '1', '--delay', '5', address($strict))->{status}, 0, 'a certificate is shown to who asks');
}

# the screen
SKIP: {
    skip 'script(1) is not installed', 6 unless TestServer::program('script');
    skip 'there are no terminals to be had, as where /dev/pts is empty', 6 if system('script -qec true /dev/null >/dev/null 2>&1 </dev/null');
    configured('delay: 5', 'servers:', map { "    - $_" } @BOTH);
    my $pid = open2(my $screen, my $keys, 'script', '-qec', "stty rows 12 cols 60; '$TOP'; echo status \$?; stty -a", '/dev/null');
    TestServer::watch_over("watch $pid");
    my $seen = '';
    my $shows = sub {
        my ($pattern) = @_;
        my $select = IO::Select->new($screen);
        return TestServer::wait_until(sub {
            sysread $screen, $seen, 65_536, length $seen if $select->can_read(0);
            return $seen =~ /$pattern/ && ($seen = substr $seen, $+[0], length $seen) . 'seen';
        });
    };
    ok($shows->(qr/\e\[\?1049h.*AVERAGE:/s), 'the screen shows servers');
    syswrite $keys, 'h';
    ok($shows->(qr/q +quit/), 'h: help');
    syswrite $keys, 'c';
    ok($shows->(qr/chunk_size.*AVERAGE:/s), 'c: slab classes');
    syswrite $keys, 't';
    ok($shows->(qr/hit_rate.*AVERAGE:/s), 't: servers');
    syswrite $keys, 'q';
    ok($shows->(qr/\e\[\?1049l.*status 0/s), 'q: the end');
    ok($shows->(qr/ icanon.* echo\b/s), 'the terminal is as it was');
    close $keys;
    waitpid $pid, 0;
    TestServer::watch_over("forget $pid");
}

done_testing;
