package TestWire;

# A TLS client whose bytes on the wire are in the test's hands: the TLS object works on memory, the test
# moves bytes between it and the socket. For records of any size, cut anywhere, damaged or held back.
#
#   my $wire = TestWire->connect($port);            # handshake done
#   my $records = $wire->seal('get a', "\r\n");     # one TLS record for each string, not yet sent
#   $wire->put(substr $records, 0, 3);              # bytes onto the socket
#   my $text = $wire->take(12);                     # that many bytes of what the server said
#   $wire->record_sizes;                            # sizes of the application records received
#
# Options of `connect`: version ('1.2', '1.3'), session (one to be resumed), handshake (0: leave it undone),
# cert and key (files), small_window (a small receive buffer of the socket).

use strict;
use warnings;
use IO::Select;
use Net::SSLeay;
use Socket qw(:all);
use TestServer;
use Time::HiRes qw(time);

Net::SSLeay::load_error_strings();
Net::SSLeay::SSLeay_add_ssl_algorithms();
Net::SSLeay::randomize();

my %VERSION = ('1.2' => 0x0303, '1.3' => 0x0304);
my $APPLICATION_DATA = 23;

sub connect {
    my ($class, $port, %options) = @_;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 4096) if $options{small_window};
    connect($socket, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) or die "connect: $!";
    setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);

    my $context = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_client_method()) or die 'CTX_new';
    my $version = $VERSION{ $options{version} // '1.3' };
    Net::SSLeay::CTX_set_min_proto_version($context, $version);
    Net::SSLeay::CTX_set_max_proto_version($context, $version);
    if ($options{cert}) {
        Net::SSLeay::CTX_use_certificate_chain_file($context, $options{cert}) or die 'certificate';
        Net::SSLeay::CTX_use_PrivateKey_file($context, $options{key}, Net::SSLeay::FILETYPE_PEM()) or die 'key';
    }
    my $ssl = Net::SSLeay::new($context) or die 'SSL_new';
    Net::SSLeay::set_session($ssl, $options{session}) if $options{session};
    my ($in, $out) = map { Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()) } 1 .. 2;
    Net::SSLeay::set_bio($ssl, $in, $out);
    Net::SSLeay::set_connect_state($ssl);
    my $self = bless { socket => $socket, context => $context, ssl => $ssl, in => $in, out => $out, text => '', raw => '',
        sizes => [], received => 0 }, $class;
    return $self if exists $options{handshake} && !$options{handshake};
    return $self->handshake ? $self : undef;
}

# Finishes the handshake; false when the server ends it.
sub handshake {
    my ($self) = @_;
    my $deadline = time + TestServer::patience(10);
    while (time < $deadline) {
        Net::SSLeay::ERR_clear_error();
        my $done = Net::SSLeay::do_handshake($self->{ssl});
        $self->put($self->sealed);
        if ($done == 1) {
            $self->{open} = 1;
            # The server's first words may have come with its last of the handshake.
            $self->open_records;
            return 1;
        }
        if (Net::SSLeay::get_error($self->{ssl}, $done) != Net::SSLeay::ERROR_WANT_READ()) { $self->note_errors; return 0 }
        $self->receive($deadline - time) or return 0;
    }
    return 0;
}

# What the TLS object wants on the wire.
sub sealed {
    my ($self) = @_;
    my $bytes = '';
    while (Net::SSLeay::BIO_pending($self->{out})) { $bytes .= Net::SSLeay::BIO_read($self->{out}) }
    return $bytes;
}

# The first flight of the handshake, not sent.
sub hello { my ($self) = @_; Net::SSLeay::do_handshake($self->{ssl}); return $self->sealed }

# Strings as TLS records, one each (more where one is longer than a record).
sub seal {
    my ($self, @strings) = @_;
    my $records = '';
    for my $string (@strings) {
        my $n = Net::SSLeay::write($self->{ssl}, $string);
        die 'SSL_write' unless defined $n && $n == length $string;
        $records .= $self->sealed;
    }
    return $records;
}

# Puts bytes onto the socket; false when the server has closed it.
sub put {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $done = 0;
    while ($done < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $done, $done;
        return 0 unless defined $n;
        $done += $n;
    }
    return 1;
}

# Sends strings as records, each with a write of its own.
sub say { my ($self, @strings) = @_; $self->put($self->seal($_)) or return 0 for @strings; return 1 }

# Takes one read from the socket, if it comes in time, and opens what is complete. False at the end.
sub receive {
    my ($self, $seconds) = @_;
    IO::Select->new($self->{socket})->can_read($seconds) or return 0;
    my $n = sysread $self->{socket}, my $bytes, $self->{chunk} // 65_536;
    if (!$n) { $self->{ended} = 1; return 0 }
    $self->{received} += $n;
    $self->note_records($bytes);
    Net::SSLeay::BIO_write($self->{in}, $bytes);
    $self->open_records;
    return 1;
}

# Decrypts what has come.
sub open_records {
    my ($self) = @_;
    return unless $self->{open};
    Net::SSLeay::ERR_clear_error();
    while (1) {
        my $text = Net::SSLeay::read($self->{ssl}, 65_536);
        last unless defined $text && length $text;
        $self->{text} .= $text;
    }
    $self->note_errors;
    $self->{notified} = 1 if Net::SSLeay::get_shutdown($self->{ssl}) & 2;
    $self->put($self->sealed);
}

sub note_errors {
    my ($self) = @_;
    while (my $code = Net::SSLeay::ERR_get_error()) { $self->{alert} .= Net::SSLeay::ERR_error_string($code) . ' ' }
}

# Sizes of application records, from their headers.
sub note_records {
    my ($self, $bytes) = @_;
    $self->{raw} .= $bytes;
    while (length $self->{raw} >= 5) {
        my ($type, undef, $length) = unpack 'Cnn', $self->{raw};
        last if length $self->{raw} < 5 + $length;
        push @{ $self->{sizes} }, $length if $type == $APPLICATION_DATA;
        substr $self->{raw}, 0, 5 + $length, '';
    }
}

# Payload sizes of the application records since the last call; what encryption adds is taken off.
sub record_sizes {
    my ($self) = @_;
    my $sizes = $self->{sizes};
    $self->{sizes} = [];
    my $added = Net::SSLeay::version($self->{ssl}) == 0x0304 ? 17 : Net::SSLeay::get_cipher($self->{ssl}) =~ /CHACHA/ ? 16 : 24;
    return map { $_ - $added } @$sizes;
}

# Exactly `$n` bytes of text, or what there is when the time is over.
sub take {
    my ($self, $n, $seconds) = @_;
    my $deadline = time + TestServer::patience($seconds // 10);
    while (length $self->{text} < $n && time < $deadline) {
        last if !$self->receive($deadline - time) && $self->{ended};
    }
    return substr $self->{text}, 0, $n, '';
}

# Everything until the server ends the connection; undef when it does not.
sub rest {
    my ($self, $seconds) = @_;
    my $deadline = time + ($seconds // 10);
    while (!$self->{ended} && time < $deadline) { $self->receive($deadline - time) }
    return undef unless $self->{ended};
    return substr $self->{text}, 0, length $self->{text}, '';
}

# Whether the server has ended the connection, and whether it said so by close_notify.
sub ended { return $_[0]{ended} ? 1 : 0 }
sub notified { return $_[0]{notified} ? 1 : 0 }

# What OpenSSL said about the alert that ended the handshake or the connection, '' without one.
sub alert { my ($self) = @_; return $self->{alert} // '' }

sub resumed { my ($self) = @_; return Net::SSLeay::session_reused($self->{ssl}) ? 1 : 0 }
sub session { my ($self) = @_; return Net::SSLeay::get1_session($self->{ssl}) }
sub socket { return $_[0]{socket} }

# A session of a connection to that port that was served; undef when it was not.
sub session_of {
    my ($class, $port, @options) = @_;
    my $wire = $class->connect($port, @options) or return undef;
    $wire->say("mn\r\n");
    return undef if $wire->take(4) ne "MN\r\n";
    my $session = $wire->session;
    # The client's library would not offer a session again whose connection just broke off.
    $wire->notify;
    return $session;
}

# What becomes of a session that is offered there: 'resumed', 'full' (handshake) or 'refused'.
sub offered {
    my ($class, $port, $session, @options) = @_;
    my $wire = $class->connect($port, session => $session, @options) or return 'refused';
    $wire->say("mn\r\n");
    return 'refused' if $wire->take(4, 5) ne "MN\r\n";
    $wire->notify;
    return $wire->resumed ? 'resumed' : 'full';
}

# Says close_notify; the socket stays.
sub notify { my ($self) = @_; Net::SSLeay::shutdown($self->{ssl}); return $self->put($self->sealed) }

sub close {
    my ($self) = @_;
    close $self->{socket} if $self->{socket};
    delete $self->{socket};
}

sub DESTROY {
    my ($self) = @_;
    Net::SSLeay::free($self->{ssl}) if $self->{ssl};
    Net::SSLeay::CTX_free($self->{context}) if $self->{context};
}

1;
