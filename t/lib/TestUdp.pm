package TestUdp;

# A client that speaks UDP, for the tests in t/.
#
#   my $udp = $server->udp_client;
#   $udp->answers("get a\r\n", [ "END\r\n" ], 'a miss');   # a Test::More assertion: the messages, in order
#   my @messages = $udp->ask("stats\r\n", 1);              # so many messages, each put together and checked
#   $udp->send($id, $payload);  $udp->send_raw($bytes);
#   my ($id, $sequence, $total, $payload) = $udp->datagram;
#
# Payloads are bytes as they are. Every wait has a deadline.

use strict;
use warnings;
use Socket qw(:all);
use Test::More ();
use Time::HiRes qw(time);

use TestClient;

my $DEADLINE = 10;
my $HEADER = 8;
our $DATAGRAM_MAX = 1400;

sub new {
    my ($class, %options) = @_;
    my $six = $options{host} =~ /:/;
    socket(my $socket, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
    my $address = $six
        ? pack_sockaddr_in6($options{port}, inet_pton(AF_INET6, $options{host}))
        : pack_sockaddr_in($options{port}, inet_aton($options{host}));
    # Room for long answers, or the kernel drops them before anybody reads.
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 1 << 22;
    connect $socket, $address or die "connect: $!";
    return bless { socket => $socket, next => 1 }, $class;
}

sub socket { return $_[0]{socket} }

# Its own port.
sub port { return (unpack_sockaddr_in(getsockname $_[0]{socket}))[0] }

sub send_raw {
    my ($self, $bytes) = @_;
    my $sent = CORE::send $self->{socket}, $bytes, 0;
    return defined $sent && $sent == length $bytes;
}

sub frame { my ($id, %of) = @_; return pack 'n4', $id, $of{sequence} // 0, $of{total} // 1, $of{reserved} // 0 }

sub send { my ($self, $id, $payload) = @_; return $self->send_raw(frame($id) . $payload) }

# The next datagram as it is, or undef when none comes in time.
sub raw {
    my ($self, $seconds) = @_;
    my $ready = '';
    vec($ready, fileno $self->{socket}, 1) = 1;
    $seconds //= $DEADLINE;
    return undef unless select $ready, undef, undef, $ENV{VALGRIND_TEST} ? $seconds * 10 : $seconds;
    my $bytes = '';
    return defined(recv $self->{socket}, $bytes, 65_536, 0) ? $bytes : undef;
}

# The parts of the next datagram; nothing when none comes in time.
sub datagram {
    my ($self, $seconds) = @_;
    my $bytes = $self->raw($seconds) // return;
    die 'a datagram of ' . length($bytes) . " bytes\n" if length $bytes <= $HEADER || length $bytes > $DATAGRAM_MAX;
    my ($id, $sequence, $total, $reserved) = unpack 'n4', $bytes;
    die "the reserved bytes are $reserved\n" if $reserved;
    return ($id, $sequence, $total, substr $bytes, $HEADER);
}

# One message of this number, put together, or undef. All its datagrams must come, in order.
sub message {
    my ($self, $id, $seconds) = @_;
    my ($message, $expected, $total) = ('', 0);
    do {
        my ($got, $sequence, $of, $payload) = $self->datagram($seconds) or return undef;
        die "number $got, not $id\n" if $got != $id;
        die "datagram $sequence, not $expected\n" if $sequence != $expected;
        die "a total of $of, not $total\n" if $of != ($total //= $of);
        die "a datagram that is not full amid a message\n"
            if $sequence + 1 < $total && length $payload < $DATAGRAM_MAX - $HEADER;
        $message .= $payload;
    } while (++$expected < $total);
    return $message;
}

# Sends the payload and takes so many messages (one).
sub ask {
    my ($self, $payload, $count) = @_;
    my $id = $self->{next}++ & 0xffff;
    $self->send($id, $payload);
    my @messages = map { $self->message($id) } 1 .. $count // 1;
    return wantarray ? @messages : $messages[0];
}

# Asserts that the payload is answered with exactly these messages.
sub answers {
    my ($self, $payload, $messages, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = $self->ask($payload, scalar @$messages);
    return TestClient::same_bytes(join('|', map { $_ // '(nothing)' } @got), join('|', @$messages), $name);
}

# True when nothing comes for a moment.
sub silent {
    my ($self, $seconds) = @_;
    return !defined $self->raw($seconds // 0.05);
}

# Asserts that another request is served as if nothing had been, and that nothing came before.
sub goes_on {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->answers("mn\r\n", ["MN\r\n"], $name);
}

1;
