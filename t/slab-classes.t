#!/usr/bin/perl
# Goal: slab classes have the sizes they always had, for every option that shapes them.
# Method: the table printed at -vv against known tables; where an item of a given size goes.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my @default = (96, 120, 152, 192, 240, 304, 384, 480, 600, 752, 944, 1184, 1480, 1856, 2320, 2904, 3632, 4544, 5680, 7104, 8880,
    11104, 13880, 17352, 21696, 27120, 33904, 42384, 52984, 66232, 82792, 103496, 129376, 161720, 202152, 252696, 315872, 394840, 524288);
my @whole_pages = (@default[ 0 .. 37 ], 493552, 616944, 771184, 1048576);
my @n32 = (80, 104, 136, 176, 224, 280, 352, 440, 552, 696, 872, 1096, 1376, 1720, 2152, 2696, 3376, 4224, 5280, 6600, 8256, 10320,
    12904, 16136, 20176, 25224, 31536, 39424, 49280, 61600, 77000, 96256, 120320, 150400, 188000, 235000, 293752, 367192, 524288);

my @tables = (
    [ [], @default ],
    [ ['-C'], @default ],
    [ [ '-I', '512k' ], @default ],
    [ [ '-I', '2m' ], @default ],
    [ [ '-I', '4m' ], @default ],
    [ [ '-m', '1024', '-I', '128m' ], @default ],
    [ [ '-o', 'no_chunked_items' ], @whole_pages ],
    [ [ '-o', 'no_modern' ], @whole_pages ],
    [ [ '-o', 'slab_chunk_max=1024' ], @whole_pages ],
    [ [ '-I', '2m', '-o', 'no_modern' ], @default ],
    [ [ '-o', 'slab_chunk_max=16' ], @default[ 0 .. 21 ], 16384 ],
    [ [ '-f', '2' ], 96, 192, 384, 768, 1536, 3072, 6144, 12288, 24576, 49152, 98304, 196608, 524288 ],
    [ [ '-f', '1.08' ], 96, 104, 112, 120, 136, 152, 168, 184, 200, 216, 240, 264, 288, 312, 336, 368, 400, 432, 472, 512, 552, 600, 648,
        704, 760, 824, 896, 968, 1048, 1136, 1232, 1336, 1448, 1568, 1696, 1832, 1984, 2144, 2320, 2512, 2712, 2928, 3168, 3424, 3704,
        4000, 4320, 4672, 5048, 5456, 5896, 6368, 6880, 7432, 8032, 8680, 9376, 10128, 10944, 11824, 12776, 13800, 524288 ],
    [ [ '-f', '1.05', '-n', '8' ], 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 200, 216, 232, 248, 264,
        280, 296, 312, 328, 344, 368, 392, 416, 440, 464, 488, 512, 544, 576, 608, 640, 672, 712, 752, 792, 832, 880, 928, 976, 1024,
        1080, 1136, 1192, 1256, 1320, 1392, 1464, 1544, 1624, 1712, 1800, 1896, 1992, 2096, 2200, 524288 ],
    [ [ '-f', '1.01' ], (96) x 62, 524288 ],
    [ [ '-n', '1' ], 56, 72, @default ],
    [ [ '-n', '32' ], @n32 ],
    [ [ '-n', '200' ], 248, 312, 392, 496, 624, 784, 984, 1232, 1544, 1936, 2424, 3032, 3792, 4744, 5936, 7424, 9280, 11600, 14504,
        18136, 22672, 28344, 35432, 44296, 55376, 69224, 86536, 108176, 135224, 169032, 211296, 264120, 330152, 412696, 524288 ],
    [ [ '-n', '500' ], @n32[ 8 .. $#n32 ] ],
    [ [ '-n', '10000000' ], 524288 ],
    [ [ '-o', 'slab_sizes=100-200-300' ], 104, 200, 304, 524288 ],
    [ [ '-o', 'slab_sizes=100-109' ], 104, 112, 524288 ],
    [ [ '-n', '1', '-o', 'slab_sizes=8-100-200' ], 8, 104, 200, 524288 ],
);
for my $row (@tables) {
    my ($args, @sizes) = @$row;
    next if TestServer::is_old() && "@$args" =~ /chunk_max|-n 1$|-n 10000000|-I 2m -o|128m/;
    my $server = TestServer->start('-t', '1', '-vv', @$args);
    my @lines = grep { /^slab class/ } split /\n/, $server->stderr_text;
    my $id = 0;
    my @want = map { sprintf 'slab class %3d: chunk size %9u perslab %7u', ++$id, $_, int(1_048_576 / $_) } @sizes;
    is_deeply(\@lines, \@want, "classes of '@$args'");
    $server->kill_now;
}

# Where items go: total = 48 + key + 1 + value + 2 + 8 (cas number) + 4 (client flags).
sub class_of { my ($c, $key) = @_; return ($c->ask("me $key") =~ / cls=(\d+) /)[0] }
for my $row ([ [], 60 ], [ ['-C'], 52 ]) {
    my ($args, $overhead) = @$row;
    my $server = TestServer->start('-t', '1', @$args);
    my $c = $server->client;
    for my $i (0 .. $#default - 1) {
        my $fits = $default[$i] - $overhead;
        next if $fits < 0;
        $c->set('k', 'x' x $fits);
        is(class_of($c, 'k'), $i + 1, "@$args: $fits bytes fill a chunk of $default[$i]");
        $c->set('k', 'x' x ($fits + 1));
        is(class_of($c, 'k'), $i + 2, 'one more goes to the next class');
    }
    next if TestServer::is_old();
    $c->set('k', 'x' x (96 - $overhead - 4), flags => 1);
    is(class_of($c, 'k'), 1, "@$args: client flags take four bytes");
    $c->set('k', 'x' x (96 - $overhead - 3), flags => 1);
    is(class_of($c, 'k'), 2, 'no less');
}

# Chunks smaller than any item: the class is listed, nothing goes there, and items of all sizes are stored as ever.
{
    my $server = TestServer->start('-t', '1', '-n', '1', '-o', 'slab_sizes=8-24-48-100');
    my $c = $server->client;
    for my $length (0, 1, 40, 200, 700_000) {
        my $value = 'x' x $length;
        $c->set('k', $value);
        ok($c->get('k') eq $value, "a value of $length bytes comes back");
    }
    ok(!exists $server->stats('slabs')->{'1:chunk_size'}, 'a class of 8 bytes owns no page');
    ok(!grep { /^[123]:/ } keys %{ $server->stats('slabs') }, 'nor do the others that are too small');
}

done_testing;
