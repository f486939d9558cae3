#!/usr/bin/perl
# Goal: each list of statistics has its names, in their order, with values of their type, by whichever road it is asked for;
# tools look for names, and what is missing is a gap in somebody's graphs.
# Method: the tables of t/lib/TestStats.pm against servers that differ in what lines hang on, over text, binary, and both in
# datagrams, where a list is one numbered message; values that do not move are the same on all roads.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;
use TestStats;

my $old = TestServer::is_old();
my %READER = (text => \&TestStats::by_text, binary => \&TestStats::by_binary, 'text in datagrams' => \&TestStats::by_datagrams,
    'binary in datagrams' => \&TestStats::by_binary_datagrams);
# Text first: the others are held against it.
my @ROADS = ('text', 'binary', 'text in datagrams', 'binary in datagrams');
my @TEXT_ONLY = @ROADS[ 0, 2 ];
# What moves while somebody looks.
my $moving = join '|', qw(time uptime rusage_\w+ bytes_\w+ read_buf_\w+ response_obj_\w+ cmd_\w+ touch_\w+ lru_maintainer_juggles lru_crawler_\w+
    crawler_\w+ moves_\w+ total_connections curr_connections connection_structures time_since_\w+ malloc_fails);
my $MOVES = qr/^(?:$moving)$/;
my %built = (tls_build => TestServer::has_feature('tls'), seccomp => TestServer::has_feature('seccomp'), new => !$old, old => $old);

# Something of each kind has happened: two classes, hits and misses, and a client that stays.
sub live {
    my ($c) = @_;
    $c->set('small', '5');
    $c->set('large', 'x' x 1000, ttl => 1000);
    $c->talk([ 'get small none', 'touch small 0', 'incr small 1', 'decr small 1', 'cas none 0 0 1 1', 'x', 'delete gone', 'me small' ]);
}

# The list on each of these roads: names, looks, and the values that stay.
sub lists {
    my ($name, $clients, $group, $rows, @roads) = @_;
    my %still;
    for my $road (@roads ? @roads : @ROADS) {
        my @list = $READER{$road}->($clients->{ $road =~ /datagrams/ ? 'udp' : $road }, $group);
        my @rows = ref $rows eq 'CODE' ? $rows->(@list) : @$rows;
        is_deeply([ map { $_->[0] } @list ], [ map { $_->[0] } @rows ], "$name: names over $road");
        is_deeply([ TestStats::strange(\@rows, \@list) ], [], 'with values of their types');
        $still{$road} = { map { @$_ } grep { $_->[0] !~ $MOVES } @list };
        is_deeply($still{$road}, $still{text}, 'the same as over text') if $road ne 'text' && $still{text} && $group !~ /items|conns/;
    }
}

# Beginnings of names, in their order.
sub beginnings { my ($pattern, @list) = @_; my %seen; return grep { !$seen{$_}++ } map { $_->[0] =~ /^($pattern)/ ? $1 : () } @list }
sub items_of { my (%holds) = @_; return sub { TestStats::spread([ beginnings(qr/items:\d+:/, @_) ], TestStats::rows('items', %holds)) } }
sub slabs_of { return TestStats::spread([ beginnings(qr/\d+:/, @_) ], TestStats::rows('slabs')), TestStats::rows('slabs_sum') }

my %usual = (%built, maxconns_fast => 1, mover => 1, crawler => 1, maintainer => 1, tls => $ENV{SSL_TEST});
my @cases = (
    [ 'as it is', [], %usual ],
    [ 'no_maxconns_fast', [], %usual, maxconns_fast => 0 ],
    [ 'idle_timeout=1000', [], %usual, idle_timeout => 1 ],
    [ 'no_slab_reassign', [], %usual, mover => 0 ],
    [ 'no_lru_crawler', [], %usual, crawler => 0 ],
    [ 'no_lru_crawler,no_lru_maintainer', [], %usual, crawler => 0, maintainer => 0 ],
    [ 'temporary_ttl=60', [], %usual, temp => 1 ],
    [ 'no_modern', [], %usual, maxconns_fast => 0, mover => 0, crawler => 0, maintainer => 0 ],
    [ 'ssl_session_cache', [], %usual, session_cache => 1 ],
);
for my $case (@cases) {
    my ($name, $args, %holds) = @$case;
    next if $name =~ /^ssl/ && !$holds{tls_build};
    my $server = TestServer->start('-t', '1', '-U', '-1', $name =~ /=|_/ ? ('-o', $name) : (), @$args);
    my $c = $server->client;
    my %clients = (text => $c, binary => $server->client, udp => $server->udp_client);
    live($c);
    $server->wait_stat('lru_crawler_running', sub { defined $_[0] }) if $holds{crawler};
    my $general = [ TestStats::rows('general', %holds) ];
    lists("$name: stats", \%clients, '', $general);
    lists("$name: items", \%clients, 'items', items_of(%holds));
    lists("$name: slabs", \%clients, 'slabs', \&slabs_of);
    next if $old;
    lists("$name: settings", \%clients, 'settings', [ TestStats::rows('settings', %holds) ]);
    if ($name eq 'as it is') {
        my $count = $holds{tls} ? 96 : 93;
        is(scalar @$general, $count, "$count names by default, which other tools count");
        is(scalar(TestStats::rows('general', %holds, crawler => 0, maintainer => 0)), $count - 9, 'nine less without crawler and maintainer');
    }
}

# What is not there by binary, and by which words.
my $server = TestServer->start('-t', '1', '-U', '-1', '-o', 'track_sizes');
my $c = $server->client;
my %clients = (text => $c, binary => $server->client, udp => $server->udp_client);
live($c);
my $sizes = sub { return map { [ $_->[0] =~ /^\d+$/ && $_->[0] % 32 == 0 ? $_->[0] : 'a multiple of 32', 'number' ] } @_ };
lists('sizes', \%clients, 'sizes', $sizes);
is(scalar($c->stats_list('sizes')), 2, 'one line for each size in use');
unless ($old) {
    my $untracked = TestServer->start('-t', '1', '-U', '-1');
    my %others = (text => $untracked->client, binary => $untracked->client, udp => $untracked->udp_client);
    lists('no sizes', \%others, 'sizes', [ [ sizes_status => 'text' ] ]);
    my $conns = sub {
        my %is_udp = map { $_->[0] =~ /^(\d+:)UDP$/ ? ($1 => 1) : () } @_;
        my %has_end = map { $_->[0] =~ /^(\d+:)listen_addr$/ ? ($1 => 1) : () } @_;
        return map { TestStats::spread([$_], TestStats::rows('conns', udp => $is_udp{$_}, client => $has_end{$_})) } beginnings(qr/\d+:/, @_);
    };
    lists('conns', \%clients, 'conns', $conns, @TEXT_ONLY);
    my %asking = map { @$_ } TestStats::by_datagrams($clients{udp}, 'conns');
    my ($me) = map { /^(\d+):UDP$/ ? $1 : () } keys %asking;
    is($asking{"$me:addr"}, 'udp:127.0.0.1:' . $clients{udp}->port, 'who asks in a datagram sees itself');
    is($asking{"$me:listen_addr"}, 'udp:127.0.0.1:' . $server->udp_port, 'and where it was heard');
    my %seen = map { @$_ } TestStats::by_text($c, 'conns');
    is($seen{"$me:addr"}, 'udp:127.0.0.1:' . $server->udp_port, 'others see the socket that waits');
    is(scalar(grep { /^$me:/ } keys %seen), 4, 'in four lines');
    for my $group (qw(nothing noreply extstore proxy sizes_enable malloc SETTINGS)) {
        is($clients{udp}->ask("stats $group\r\n"), "ERROR\r\n", "stats $group in a datagram");
    }
}
ok($clients{udp}->silent, 'no list was more than one message');

done_testing;
