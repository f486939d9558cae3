package TestBinary;

# Frames of the binary protocol, for the tests in t/.
#
#   my $request = frame(set => 'key', flags => 7, ttl => 60, value => 'x', cas => 3);
#   my $answers = talk($client, $request, frame(getk => 'key'));     # [ 'set 0', 'getk 0 f7 kkey x' ]
#   answers($client, [ frame('noop') ], ['noop 0'], 'an assertion');
#   answers_and_closes($client, [ ... ], [ ... ], 'what ends the connection');
#
# An answer is shown as its command, its status in hex, then what there is of flags (fN), key (kKEY) and value, in this
# order. Ids come with { cas => 1 } in front, as cN. Every answer must repeat its request's opaque: the frames of one `talk`
# have the same, unless they bring their own.

use strict;
use warnings;
use Exporter qw(import);
use Test::More ();

use TestClient;

our @EXPORT_OK = qw(frame talk answers answers_and_closes read_answer store);

my @NAMES = qw(get set add replace delete incr decr quit flush getq noop version getk getkq append prepend stat setq addq replaceq
    deleteq incrq decrq quitq flushq appendq prependq verbosity touch gat gatq);
my %OPCODE = ((map { $NAMES[$_] => $_ } 0 .. $#NAMES), list => 0x20, auth => 0x21, step => 0x22, gatk => 0x23, gatkq => 0x24);
my %NAME = reverse %OPCODE;
my $OPAQUE = 'opaq';

# A frame, by a command's name or opcode. Of extras it has what the command wants, from flags, ttl, delta and initial, unless
# `extras` says otherwise; `key_length`, `extras_length` and `body_length` replace what would be true.
sub frame {
    my ($command, @rest) = @_;
    my $key = @rest % 2 ? shift @rest : '';
    my %given = @rest;
    my $opcode = $command =~ /^\d+$/ ? $command : $OPCODE{$command} // die "no such command: $command\n";
    my $extras = $given{extras} // wanted_extras($command, \%given);
    my $value = $given{value} // '';
    my $body = $given{body_length} // length($extras) + length($key) + length $value;
    return pack('CCnCCnNa4Q>', 0x80, $opcode, $given{key_length} // length $key, $given{extras_length} // length $extras, 0, 0,
        $body, $given{opaque} // $OPAQUE, $given{cas} // 0) . $extras . $key . $value;
}

sub wanted_extras {
    my ($command, $given) = @_;
    my ($flags, $ttl) = ($given->{flags} // 0, $given->{ttl} // 0);
    return pack 'NN', $flags, $ttl if $command =~ /^(?:set|add|replace)q?$/;
    return pack 'Q>Q>N', $given->{delta} // 1, $given->{initial} // 0, $ttl if $command =~ /^(?:incr|decr)q?$/;
    return pack 'N', $ttl if $command =~ /^(?:touch|gatk?q?)$/ || exists $given->{ttl};
    return '';
}

# One packet, of what `$take` gives when asked for so many bytes; undef when that gives none.
sub packet {
    my ($take) = @_;
    my $head = $take->(24) // return undef;
    my %packet = (head => $head);
    (@packet{qw(magic opcode)}, my $key_length, my $extras_length, @packet{qw(type status)}, my $body_length, @packet{qw(opaque cas)})
        = unpack 'CCnCCnNa4Q>', $head;
    my $body = $take->($body_length) // return undef;
    $packet{extras} = substr $body, 0, $extras_length, '';
    $packet{key} = substr $body, 0, $key_length, '';
    $packet{value} = $body;
    return \%packet;
}

# One answer as it is shown; undef when none comes in time.
sub read_answer {
    my ($client, %options) = @_;
    my $packet = packet(sub { $client->bytes($_[0], $options{seconds}) }) // return undef;
    return 'no answer: ' . TestClient::visible($packet->{head}) if $packet->{magic} != 0x81 || $packet->{type} != 0;
    my $opcode = $packet->{opcode};
    my $text = sprintf '%s %x', $NAME{$opcode} // sprintf('0x%02x', $opcode), $packet->{status};
    $text .= " c$packet->{cas}" if $options{cas};
    $text .= ' f' . join '.', unpack 'N*', $packet->{extras} if $packet->{extras} ne '';
    $text .= " k$packet->{key}" if $packet->{key} ne '';
    $text .= " $packet->{value}" if $packet->{value} ne '';
    $text .= " of another request: $packet->{opaque}" if $packet->{opaque} ne ($options{opaque} // $OPAQUE);
    return $text;
}

# All that the frames are answered with; a noop behind them shows where it ends.
sub talk {
    my ($client, @frames) = @_;
    my %options = ref $frames[0] eq 'HASH' ? %{ shift @frames } : ();
    return undef unless $client->send(join '', @frames, frame('noop', opaque => 'last'));
    my @answers;
    while (1) {
        my $answer = read_answer($client, %options) // return [ @answers, '(nothing in time)' ];
        return \@answers if $answer =~ /^noop 0(?: c0)? of another request: last$/;
        push @answers, $answer;
    }
}

# Asserts that these are the answers.
sub answers {
    my ($client, $frames, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is_deeply(talk($client, @$frames), $want, $name);
}

# Asserts that these are the answers, and that the server closes the connection then.
sub answers_and_closes {
    my ($client, $frames, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $client->send(join '', @$frames);
    my @got = map { read_answer($client) // '(nothing in time)' } @$want;
    return Test::More::is_deeply(\@got, $want, $name) && Test::More::ok($client->closed, "$name: closed");
}

# Stores, and dies where that fails: for preparing a test.
sub store {
    my ($client, $key, $value, %options) = @_;
    my $answers = talk($client, frame(setq => $key, value => $value, %options));
    die "set $key: @$answers\n" if @$answers;
}

1;
