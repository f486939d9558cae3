package TestClient;

# One connection to a server, plain, TLS or Unix, for the tests in t/.
#
#   $client->answers('get a', ['VALUE a 0 1', 'x', 'END'], 'a hit');    # a Test::More assertion
#   my $line = $client->ask('version');                                 # one line, without its CR LF
#   $client->send("set a 0 0 5\r\nhel");  $client->silent;  $client->send("lo\r\n");
#   my $bytes = $client->bytes(8);
#
# In requests and replies a list is lines, each to be ended by CR LF; a string is one line, and a
# reference to a string the bytes as they are. Every wait has a deadline: what does not come in time
# is undef or false, never a hang.

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR EINPROGRESS);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(:all);
use Test::More ();
use Time::HiRes qw(time);

my $DEADLINE = 10;

# A peer that has gone is an error of the write, in a TLS handshake, too. A handler, unlike IGNORE, does not pass on
# to the servers that a test starts.
$SIG{PIPE} = sub { };

# Whether Perl can speak TLS here.
sub tls_available { return eval { require IO::Socket::SSL; 1 } ? 1 : 0 }

sub deadline {
    my ($seconds) = @_;
    $seconds //= $DEADLINE;
    return time + ($ENV{VALGRIND_TEST} ? $seconds * 10 : $seconds);
}

# ---------------------------------------------------------------------------------------------------
# Opening and closing

sub can_connect_unix {
    my ($path) = @_;
    return defined $path && -S $path && IO::Socket::UNIX->new(Peer => $path) ? 1 : 0;
}

sub connect_unix {
    my ($class, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path);
    if (!$socket) { $@ = "$path: $!"; return undef }
    return $class->wrap($socket);
}

# Options: host, port, tls (false, 1, or a hash of IO::Socket::SSL's arguments), receive_buffer.
sub connect_tcp {
    my ($class, %options) = @_;
    my $family = $options{host} =~ /:/ ? AF_INET6 : AF_INET;
    socket(my $socket, $family, SOCK_STREAM, 0) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, $options{receive_buffer}) if $options{receive_buffer};
    my $address = $family == AF_INET6
        ? pack_sockaddr_in6($options{port}, inet_pton(AF_INET6, $options{host}))
        : pack_sockaddr_in($options{port}, inet_aton($options{host}));
    if (!connect $socket, $address) { $@ = "$options{host}:$options{port}: $!"; return undef }
    setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
    return $class->wrap($socket) unless $options{tls};
    return $class->start_tls($socket, ref $options{tls} ? %{ $options{tls} } : ());
}

# Puts TLS on a connected socket; undef, and $@ the reason, when the handshake fails.
sub start_tls {
    my ($class, $socket, %arguments) = @_;
    require IO::Socket::SSL;
    require TestCerts;
    my $certs = TestCerts::ensure();
    my $tls = IO::Socket::SSL->start_SSL($socket,
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_PEER(),
        SSL_ca_file => "$certs/ca.crt",
        SSL_verifycn_scheme => 'none',
        Timeout => $ENV{VALGRIND_TEST} ? 100 : 10,
        %arguments,
    );
    if (!$tls) { $@ = $IO::Socket::SSL::SSL_ERROR . " ($!)"; return undef }
    my $self = $class->wrap($tls);
    $self->{tls} = 1;
    return $self;
}

sub wrap {
    my ($class, $socket) = @_;
    binmode $socket;
    $socket->blocking(0);
    return bless { socket => $socket, input => '', ended => 0 }, $class;
}

sub socket { return $_[0]{socket} }

# Closes the connection as a client does that has nothing more to say.
sub close {
    my ($self) = @_;
    my $socket = delete $self->{socket} or return;
    # No second close_notify dance: IO::Socket::SSL sends its own and closes.
    $socket->close;
}

# Closes with a reset instead of an orderly end.
sub abort {
    my ($self) = @_;
    my $socket = delete $self->{socket} or return;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    $self->{tls} ? $socket->close(SSL_no_shutdown => 1, SSL_fast_shutdown => 1) : $socket->close;
}

# Sends the end of the stream and goes on reading; plain connections only.
sub half_close { my ($self) = @_; return shutdown $self->{socket}, SHUT_WR }

# ---------------------------------------------------------------------------------------------------
# Bytes out

# Sends the bytes, taking in meanwhile what the server sends. False when the connection ended first.
sub send {
    my ($self, $bytes, $seconds) = @_;
    my $deadline = deadline($seconds // 30);
    my $done = 0;
    while ($done < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, 65_536 > length($bytes) - $done ? length($bytes) - $done : 65_536, $done;
        if (defined $n) { $done += $n; next }
        next if $! == EINTR;
        return 0 unless $! == EAGAIN || $! == EWOULDBLOCK;
        return 0 if time > $deadline;
        $self->fill(0.05, 1);
    }
    return 1;
}

# Sends each byte by itself.
sub send_slowly {
    my ($self, $bytes) = @_;
    $self->send($_) or return 0 for split //, $bytes;
    return 1;
}

# ---------------------------------------------------------------------------------------------------
# Bytes in

# Waits at most `$seconds` for input (or, with `$or_writable`, for room to send) and takes it in.
# True when bytes came.
sub fill {
    my ($self, $seconds, $or_writable) = @_;
    return 0 if $self->{ended};
    my $socket = $self->{socket};
    my $want_write = 0;
    my $deadline = time + $seconds;
    while (1) {
        my $n = sysread $socket, $self->{input}, 65_536, length $self->{input};
        if ($n) { return 1 }
        if (defined $n) { $self->{ended} = 'closed'; return 0 }
        if ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) { $self->{ended} = "$!" || 'error'; return 0 }
        if ($self->{tls}) { $want_write = $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_WRITE() }
        my $left = $deadline - time;
        return 0 if $left <= 0;
        my ($read, $write) = ('', '');
        vec($read, fileno $socket, 1) = 1;
        vec($write, fileno $socket, 1) = 1 if $want_write || $or_writable;
        my $ready = select $read, $write, undef, $left;
        return 0 if $ready > 0 && $or_writable && vec $write, fileno $socket, 1;
    }
}

# Takes in input until `$enough` is satisfied with the buffer; false at the end of the stream or when
# `$seconds` are over.
sub read_until {
    my ($self, $enough, $seconds) = @_;
    my $deadline = deadline($seconds);
    until ($enough->()) {
        return 0 if $self->{ended} || time > $deadline;
        $self->fill($deadline - time);
    }
    return 1;
}

# Exactly `$n` bytes, or undef.
sub bytes {
    my ($self, $n, $seconds) = @_;
    return undef unless $self->read_until(sub { length $self->{input} >= $n }, $seconds);
    return substr $self->{input}, 0, $n, '';
}

# Everything up to and including `$mark`, or undef.
sub through {
    my ($self, $mark, $seconds) = @_;
    my ($from, $at) = (0, -1);
    $self->read_until(sub {
        $at = index $self->{input}, $mark, $from;
        $from = length($self->{input}) - length($mark) + 1;
        $from = 0 if $from < 0;
        return $at >= 0;
    }, $seconds) or return undef;
    return substr $self->{input}, 0, $at + length $mark, '';
}

# One line without its CR LF, or undef.
sub line {
    my ($self, $seconds) = @_;
    my $line = $self->through("\r\n", $seconds);
    return defined $line ? substr($line, 0, -2) : undef;
}

# Everything until the server closes; undef when it does not.
sub rest {
    my ($self, $seconds) = @_;
    $self->read_until(sub { $self->{ended} }, $seconds);
    return undef unless $self->{ended};
    return substr $self->{input}, 0, length $self->{input}, '';
}

# What has come so far and nobody has read.
sub pending { return $_[0]{input} }

# True when the server closes (or resets) without sending anything more.
sub closed {
    my ($self, $seconds) = @_;
    my $rest = $self->rest($seconds);
    return defined $rest && $rest eq '' ? 1 : 0;
}

# True when nothing arrives for a moment, and the connection stays.
sub silent {
    my ($self, $seconds) = @_;
    my $deadline = time + ($seconds // 0.05);
    while ($self->{input} eq '' && !$self->{ended}) {
        my $left = $deadline - time;
        return 1 if $left <= 0;
        $self->fill($left);
    }
    return 0;
}

# ---------------------------------------------------------------------------------------------------
# Requests and replies

# A string, a list of lines or a reference to bytes, as bytes.
sub wire {
    my ($what) = @_;
    return $$what if ref $what eq 'SCALAR' || ref $what eq 'REF';
    return join '', map { "$_\r\n" } ref $what ? @$what : $what;
}

# Bytes in a form that can be read: control bytes escaped, long text cut in the middle.
sub visible {
    my ($bytes) = @_;
    return '(nothing in time)' unless defined $bytes;
    my $text = length $bytes > 1_200
        ? substr($bytes, 0, 600) . '<' . (length($bytes) - 1_200) . ' bytes>' . substr($bytes, -600) : $bytes;
    $text =~ s/\\/\\\\/g;
    $text =~ s/\r/\\r/g;
    $text =~ s/\n/\\n/g;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    return $text;
}

# Sends one line, returns one line.
sub ask {
    my ($self, $request) = @_;
    $self->send(wire($request));
    return $self->line;
}

# Everything the request is answered with. The request must leave the connection ready for a command;
# an `mn` behind it shows where its replies end, behind the `$marks` that the request has itself.
sub talk {
    my ($self, $request, $marks) = @_;
    return undef unless $self->send(wire($request) . "mn\r\n");
    my $reply = '';
    for (0 .. $marks // 0) {
        my $part = $self->through("MN\r\n") // return undef;
        $reply .= $part;
    }
    return substr $reply, 0, -4;
}

# Asserts that the request is answered with exactly this reply ([] for none).
sub answers {
    my ($self, $request, $reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $want = wire($reply);
    my $marks = () = $want =~ /MN\r\n/g;
    return same_bytes($self->talk($request, $marks), $want, $name);
}

# As `answers`, but the reply is a pattern for all its bytes.
sub answers_like {
    my ($self, $request, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply = $self->talk($request);
    return Test::More::ok(1, $name) if defined $reply && $reply =~ /\A$pattern\z/s;
    Test::More::ok(0, $name);
    Test::More::diag('got:  ' . visible($reply) . "\nlike: $pattern");
    return 0;
}

# As `answers`, for behaviour that servers before 1.6.45 do not have; skipped there.
sub answers_now {
    my ($self, $request, $reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->answers($request, $reply, $name) unless TestServer::is_old();
    Test::More->builder->skip("differs before 1.6.45: $name");
    return 1;
}

# An assertion about bytes that shows them readably.
sub same_bytes {
    my ($got, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::ok(1, $name) if defined $got && $got eq $want;
    Test::More::ok(0, $name);
    Test::More::diag('got:  ' . visible($got) . "\nwant: " . visible($want));
    return 0;
}

# Logs in, where a password file asks for that; the answer.
sub log_in {
    my ($self, $user, $password) = @_;
    my $token = "$user $password";
    return $self->ask([ 'set login 0 0 ' . length $token, $token ]);
}

# Stores, and dies where that fails: for preparing a test.
sub set {
    my ($self, $key, $value, %options) = @_;
    my $header = join ' ', 'set', $key, $options{flags} // 0, $options{ttl} // 0, length $value;
    $self->send("$header\r\n$value\r\n");
    my $answer = $self->line // 'nothing';
    die "set $key: $answer\n" unless $answer eq 'STORED';
}

# The value, or undef for a miss.
sub get {
    my ($self, $key) = @_;
    my $line = $self->ask("get $key") // die "get $key: no answer\n";
    return undef if $line eq 'END';
    my ($length) = $line =~ /^VALUE \S+ \d+ (\d+)$/ or die "get $key: $line\n";
    my $block = $self->bytes($length + 7) // die "get $key: the value is cut short\n";
    return substr $block, 0, $length;
}

# The cas number of a key, undef for a miss.
sub cas {
    my ($self, $key) = @_;
    return $self->ask("mg $key c") =~ /^HD c(\d+)/ ? $1 : undef;
}

# One list of statistics as name => value; `stats_list` keeps order, as [name, value].
sub stats { my ($self, $group) = @_; return { map { @$_ } $self->stats_list($group) } }

sub stats_list {
    my ($self, $group) = @_;
    $self->send(defined $group ? "stats $group\r\n" : "stats\r\n");
    my @list;
    while (defined(my $line = $self->line)) {
        return @list if $line eq 'END';
        $line =~ /^STAT (\S+)(?: (.*))?$/ or die "stats: $line\n";
        push @list, [ $1, $2 // '' ];
    }
    die "stats: no answer\n";
}

1;
