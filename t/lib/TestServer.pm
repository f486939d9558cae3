package TestServer;

# Starts, watches and stops the servers that the tests in t/ talk to.
#
#   my $server = TestServer->start('-t', '1');      # arguments as on the command line
#   my $server = TestServer->start({ unix => 1 }, '-M');
#   my $client = $server->client;                   # a TestClient
#   my $udp    = $server->udp_client;               # a TestUdp, with -U -1
#   my $stats  = $server->stats;                    # name => value
#   $server->advance_clock(10);                     # the debug server's clock, ten seconds on
#   my $run    = TestServer->run('-Q');             # for command lines that must end by themselves
#
# A server listens on a port of 127.0.0.1 that the kernel chose, or on a Unix socket with
# { unix => 1 }, unless the arguments say -l, -p or -s themselves. Servers that a test leaves behind
# are stopped when it ends; one that does not end with status 0 then makes the test fail.
#
# Environment:
#   MEMCACHED_BUILDDIR  where memcached-debug and t/certs are (the current directory)
#   MEMCACHED_SERVER    another executable to test; a server older than 1.6.45 skips what it answers
#                       differently, one that is not a debug server what needs its clock moved
#   SSL_TEST            every TCP server and client speaks TLS
#   VALGRIND_TEST       servers run under valgrind, an error of which makes the test fail;
#                       VALGRIND_ARGS adds arguments of valgrind
#   DROP_PRIVILEGES     servers run with -o drop_privileges, and debug servers without -o relaxed_privileges
#   TLS_ON_WORKERS      TLS servers make handshakes on their workers (-o ssl_handshake_threads=0)
#   KEEP_TEST_OUTPUT    leave the scratch directory of each test in place

use strict;
use warnings;
use Cwd qw(getcwd abs_path);
use Errno ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(sleep time);

use TestClient;

our @EXPORT_OK = qw(server_path production_path build_dir scratch patience
    has_feature to_come is_old older_than need_feature need_debug need_new wait_until);

# Whoever runs the tests behind a shell's back heeds none of these; what a test starts does.
$SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT);

my $BUILD_DIR = abs_path($ENV{MEMCACHED_BUILDDIR} || getcwd());
my $LIB_DIR = abs_path(dirname(__FILE__));
my $TEST_PID = $$;
my $VALGRIND_FAILED = 99;
my (%live, $watchdog, $scratch, $count);

sub build_dir { return $BUILD_DIR }

# The executable under test.
sub server_path {
    my $path = $ENV{MEMCACHED_SERVER} || "$BUILD_DIR/memcached-debug";
    return $path if -x $path && !-d $path;
    Test::More::BAIL_OUT("no server to test at $path: build it, or set MEMCACHED_BUILDDIR or MEMCACHED_SERVER");
}

# The server as it is installed, undef where it was not built.
sub production_path {
    my $path = $ENV{MEMCACHED_SERVER} || "$BUILD_DIR/memcached";
    return -x $path && !-d $path ? $path : undef;
}

# A directory of this test alone, removed when it ends.
sub scratch {
    return $scratch //= tempdir('memcached-test-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{KEEP_TEST_OUTPUT});
}

# Seconds to wait for what takes `$seconds` at the very most on a busy machine.
sub patience {
    my ($seconds) = @_;
    return $ENV{VALGRIND_TEST} ? $seconds * 10 : $seconds;
}

# A pattern for what may be left of so many seconds a moment after they were set.
sub left {
    my ($seconds) = @_;
    return '(?:' . join('|', $seconds - patience(1) .. $seconds) . ')';
}

# The path of a program, where it is installed.
sub program {
    my ($name) = @_;
    my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin';
    return $path;
}

# Polls until `$claim` returns a true value; undef when it still does not after `$seconds`.
sub wait_until {
    my ($claim, $seconds) = @_;
    my $deadline = time + patience($seconds // 10);
    my $pause = 0.002;
    while (1) {
        my $answer = $claim->();
        return $answer if $answer;
        return undef if time > $deadline;
        sleep $pause;
        $pause *= 1.5 if $pause < 0.05;
    }
}

# ---------------------------------------------------------------------------------------------------
# What the executable is

my ($help, $version, $debug);

sub help_text {
    $help //= qx('${\ server_path()}' -h 2>&1);
    return $help;
}

sub version_text {
    return $version //= qx('${\ server_path()}' -V) =~ /^memcached (\S+)/m ? $1 : '';
}

# An error of the system, such as 'EADDRINUSE', in the C library's words: musl's are others than glibc's.
sub words {
    my ($name) = @_;
    local $! = Errno->can($name)->();
    return "$!";
}

# 'debug' (clock and items can be steered), or what -h tells of the build: 'tls', 'unix', 'seccomp', 'metrics-tls'.
sub has_feature {
    my ($feature) = @_;
    if ($feature eq 'debug') {
        return $debug //= (system("'${\ server_path()}' -o relaxed_privileges -V >/dev/null 2>&1") == 0 ? 1 : 0);
    }
    my %word = (tls => qr/enable-ssl/i, sasl => qr/sasl/i, unix => qr/unix-socket/i, seccomp => qr/no_drop_privileges/i,
        'metrics-tls' => qr/metrics_tls/);
    return help_text() =~ $word{$feature} ? 1 : 0;
}

# Descriptors that a server holds for threads which tell clients things, four each, the last of them the debug server's: the
# limit on open files is -c and these.
sub host_descriptors { return is_old() ? 0 : has_feature('debug') ? 12 : 8 }

# Rooms that this project has still to build. What tests expect of them is left out as long as they stand here.
my %TO_COME = map { $_ => 1 } qw(restart);

sub to_come {
    my ($room) = @_;
    return !$ENV{MEMCACHED_SERVER} && $TO_COME{$room} ? 1 : 0;
}

# Whether the server is older than `$version`.
sub older_than {
    my @want = split /\./, $_[0];
    my @have = split /\./, version_text();
    for my $i (0 .. $#want) {
        my $part = ($have[$i] // 0) =~ /^(\d+)/ ? $1 : 0;
        return $part < $want[$i] ? 1 : 0 if $part != $want[$i];
    }
    return 0;
}

# Whether the server answers as releases before 1.6.45 do.
sub is_old { return older_than('1.6.45') }

# The rest of the file is skipped unless the server has the feature.
sub need_feature {
    my ($feature) = @_;
    Test::More::plan(skip_all => "this server is built without $feature") unless has_feature($feature);
    return unless $feature eq 'tls';
    Test::More::plan(skip_all => 'IO::Socket::SSL is not installed') unless TestClient::tls_available();
}

# The rest of the file is skipped unless the server's clock can be moved.
sub need_debug {
    Test::More::plan(skip_all => 'this is not a debug server') unless has_feature('debug');
}

# The rest of the file is skipped on servers older than 1.6.45.
sub need_new {
    my ($why) = @_;
    Test::More::plan(skip_all => "memcached ${\ version_text()}: $why") if is_old();
}

# ---------------------------------------------------------------------------------------------------
# Starting

# A process of its own that ends the servers when this one dies without doing so. It is started before
# the first server, so that it holds none of this process's sockets.
sub watch_over {
    my ($line) = @_;
    if (!$watchdog) {
        pipe(my $reader, my $writer) or die "pipe: $!";
        my $parent = $$;
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            POSIX::setsid();
            for my $fd (0 .. 255) { POSIX::close($fd) unless $fd == fileno $reader }
            my %servers;
            while (defined(my $order = <$reader>)) {
                $servers{$1} = 1 if $order =~ /^watch (\d+)/;
                delete $servers{$1} if $order =~ /^forget (\d+)/;
            }
            kill 'KILL', keys %servers if %servers;
            POSIX::_exit(0);
        }
        close $reader;
        $writer->autoflush(1);
        $watchdog = { pipe => $writer, pid => $pid, owner => $parent };
    }
    print { $watchdog->{pipe} } "$line\n" if $watchdog->{owner} == $$;
}

sub tls_arguments {
    require TestCerts;
    my $certs = TestCerts::ensure();
    return ('-Z', '-o', "ssl_chain_cert=$certs/server.crt,ssl_key=$certs/server.key");
}

# The command line around the test's own arguments.
sub command {
    my ($options, @args) = @_;
    my @command = ($options->{binary} // server_path());
    # valgrind lets nobody raise the limit of descriptors. The debug server goes on without, others would not start.
    if ($ENV{VALGRIND_TEST} && !$options->{binary}) {
        my $log = scratch() . '/valgrind.' . ($options->{id} // 0);
        unshift @command, 'valgrind', '--quiet', "--error-exitcode=$VALGRIND_FAILED", '--leak-check=full',
            '--show-leak-kinds=definite', '--errors-for-leak-kinds=definite',
            "--suppressions=$LIB_DIR/../valgrind.supp", "--log-file=$log", split ' ', $ENV{VALGRIND_ARGS} // '';
        $options->{valgrind_log} = $log;
    }
    push @command, '-u', 'root' if $> == 0 && !exists $options->{user} && !grep { /^-u|^--user/ } @args;
    push @command, '-o', 'relaxed_privileges' if !$options->{binary} && !$ENV{DROP_PRIVILEGES} && has_feature('debug');
    # The test's own words come later. A server refuses a filter beside SASL, whose mechanisms may call anything; so may
    # valgrind.
    push @command, '-o', 'drop_privileges'
        if $ENV{DROP_PRIVILEGES} && $command[0] !~ /valgrind/ && !grep { /^-S|^--enable-sasl/ } @args;
    return (@command, @args);
}

# What a service manager would say, to a server that is not to hear it.
my @MANAGER = qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC);

# Puts sockets where a service manager puts them, and tells this process so: pairs of a handle and its name, undef for none.
sub hand_over {
    my (@sockets) = @_;
    my ($first, $aside) = (3, 256);
    POSIX::dup2(fileno $sockets[$_][0], $aside + $_) // POSIX::_exit(126) for 0 .. $#sockets;
    POSIX::close($_) for $first .. $aside - 1;
    for my $i (0 .. $#sockets) {
        POSIX::dup2($aside + $i, $first + $i) // POSIX::_exit(126);
        POSIX::close($aside + $i);
    }
    @ENV{qw(LISTEN_PID LISTEN_FDS)} = ($$, scalar @sockets);
    $ENV{LISTEN_FDNAMES} = join ':', map { $_->[1] } @sockets if @sockets && defined $sockets[0][1];
}

# Forks and executes; output goes to files of the scratch directory.
sub spawn {
    my ($options, @command) = @_;
    my $id = $options->{id};
    my ($out, $err) = map { scratch() . "/$_.$id" } qw(stdout stderr);
    watch_over('');
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        delete @ENV{qw(MEMCACHED_PORT_FILENAME MEMCACHED_HASH_BULK_MOVE T_MEMD_INITIAL_MALLOC POSIXLY_CORRECT), @MANAGER};
        chdir $options->{dir} or POSIX::_exit(126) if $options->{dir};
        open STDIN, '<', '/dev/null' or POSIX::_exit(126);
        open STDERR, '>', $err or POSIX::_exit(126);
        open STDOUT, '>', $out or POSIX::_exit(126);
        hand_over(@{ $options->{sockets} }) if $options->{sockets};
        # What this process inherited would count against the server's -c.
        POSIX::close($_) for 3 + @{ $options->{sockets} // [] } .. 255;
        %ENV = (%ENV, %{ $options->{env} // {} });
        { no warnings 'exec'; exec { $command[0] } @command; }
        print STDERR "exec $command[0]: $!\n";
        POSIX::_exit(127);
    }
    watch_over("watch $pid");
    return ($pid, $out, $err);
}

# Starts a server and waits until it serves. Options: unix, tls (1 or 0 against SSL_TEST), env, user
# (undef leaves -u out), binary, ready (0: do not wait), sockets (those of `hand_over`, in place of an address).
sub start {
    my ($class, @args) = @_;
    my %options = ref $args[0] eq 'HASH' ? %{ shift @args } : ();
    my $self = bless { id => ++$count, options => \%options, args => [@args], host => '127.0.0.1' }, $class;
    $options{id} = $self->{id};
    my $where = join ' ', grep { /^-[lps]|^--(?:listen|port|unix-socket)/ } @args;
    my $given_unix = $where =~ /(?:^| )(?:-s|--unix)/;
    if ($options{unix} && !$given_unix) {
        $self->{path} = scratch() . "/sock.$self->{id}";
        push @args, '-s', $self->{path};
    }
    elsif (!$given_unix) {
        push @args, '-l', '127.0.0.1' unless $options{sockets} || $where =~ /(?:^| )(?:-l|--listen)/;
        push @args, '-p', '-1' unless $options{sockets} || $where =~ /(?:^| )(?:-p|--port)/;
        $self->{tls} = $options{tls} // ($ENV{SSL_TEST} ? 1 : 0);
        if ($self->{tls} && !grep { /^-Z|^--enable-ssl/ } @args) {
            die "SSL_TEST is set, and this server is built without TLS\n" unless has_feature('tls');
            unshift @args, tls_arguments();
        }
        $self->{port_file} = scratch() . "/ports.$self->{id}";
        $options{env}{MEMCACHED_PORT_FILENAME} = $self->{port_file};
    }
    else {
        my ($glued) = grep { s/^-s(?=.)//r ne $_ } @args;
        for my $i (0 .. $#args) { $self->{path} = $args[ $i + 1 ] if $args[$i] =~ /^(?:-s|--unix-socket)$/ }
        $self->{path} //= $glued =~ s/^-s//r if $glued;
    }
    push @args, '-o', 'ssl_handshake_threads=0'
        if $ENV{TLS_ON_WORKERS} && (grep { /^-Z|^--enable-ssl/ } @args) && !grep { /ssl_handshake_threads/ } @args;
    my @command = command(\%options, @args);
    @$self{qw(pid stdout_file stderr_file)} = spawn(\%options, @command);
    $self->{command} = "@command";
    $live{ $self->{id} } = $self;
    return $self if exists $options{ready} && !$options{ready};
    return $self if $self->wait_ready;
    $self->show_output;
    $self->kill_now;
    die "the server did not start: $self->{command}\n";
}

# True once the server has opened its sockets, false when it ended instead.
sub wait_ready {
    my ($self) = @_;
    my $ready = wait_until(sub {
        return 'gone' if $self->has_ended;
        return $self->{port_file} ? -e $self->{port_file} : TestClient::can_connect_unix($self->{path});
    }, 20);
    return 0 if !$ready || $ready eq 'gone';
    $self->read_ports if $self->{port_file};
    return 1;
}

sub read_ports {
    my ($self) = @_;
    open my $file, '<', $self->{port_file} or die "$self->{port_file}: $!";
    chomp(my @lines = <$file>);
    $self->{port_lines} = \@lines;
    $self->{ports} = [ map { /^TCP INET6?: (\d+)$/ ? $1 : () } @lines ];
    ($self->{port}) = @{ $self->{ports} };
    ($self->{udp_port}) = map { /^UDP INET6?: (\d+)$/ ? $1 : () } @lines;
}

# Runs a command line that must end by itself: { status, signal, stdout, stderr, stderr_file }, and running => 1 when
# it did not end within three seconds and had to be killed. Options: bare (no -u root, no
# relaxed_privileges), seconds, and those of `start`.
sub run {
    my ($class, @args) = @_;
    my %options = ref $args[0] eq 'HASH' ? %{ shift @args } : ();
    $options{id} = ++$count;
    my @command = $options{bare} ? ($options{binary} // server_path(), @args) : command(\%options, @args);
    my ($pid, $out, $err) = spawn(\%options, @command);
    my $ended = wait_until(sub { waitpid($pid, WNOHANG) == $pid }, $options{seconds} // 3);
    my $status = $?;
    if (!$ended) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
    watch_over("forget $pid");
    return {
        running => $ended ? 0 : 1,
        status => $ended ? $status >> 8 : undef,
        signal => $ended ? $status & 127 : undef,
        stdout => slurp($out),
        stderr => slurp($err),
        stderr_file => $err,
    };
}

# A file with these bytes.
sub write_file {
    my ($path, $content) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file $content;
    close $file or die "$path: $!";
    return $path;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return <$file> // '';
}

# ---------------------------------------------------------------------------------------------------
# Talking

sub pid { return $_[0]{pid} }
sub port { return $_[0]{port} }
sub udp_port { return $_[0]{udp_port} }
sub ports { return @{ $_[0]{ports} } }
sub port_lines { return @{ $_[0]{port_lines} } }
sub path { return $_[0]{path} }
# Its resident memory in KiB.
sub resident { my ($self) = @_; return slurp("/proc/$self->{pid}/status") =~ /^VmRSS:\s*(\d+)/m ? $1 : 0 }

# Nanoseconds that each thread has run, by its number.
sub thread_times {
    my ($self) = @_;
    return { map { m{task/(\d+)/} ? ($1 => (split ' ', slurp($_))[0] // 0) : () } glob "/proc/$self->{pid}/task/*/schedstat" };
}

# Times that each thread of this name has gone to sleep, by its number.
sub thread_sleeps {
    my ($self, $name) = @_;
    my %sleeps;
    for my $task (glob "/proc/$self->{pid}/task/*") {
        next unless slurp("$task/comm") eq "$name\n";
        $sleeps{$1} = $2 if "$task\n" . slurp("$task/status") =~ m{(\d+)\n.*^voluntary_ctxt_switches:\s*(\d+)}ms;
    }
    return \%sleeps;
}

# Polls until the workers are asleep at twenty looks in a row, which threads that spin never are.
sub workers_rest {
    my ($self) = @_;
    my $quiet = 0;
    return wait_until(sub {
        my @workers = grep { /\(mc-worker\)/ } map { slurp($_) } glob "/proc/$self->{pid}/task/*/stat";
        $quiet = @workers && !grep({ !/\) S / } @workers) ? $quiet + 1 : 0;
        return $quiet == 20;
    });
}

sub stderr_text { return slurp($_[0]{stderr_file}) }
sub stdout_text { return slurp($_[0]{stdout_file}) }

# A new connection. Options: port, host, tls (0, or 1, or a hash of IO::Socket::SSL's arguments).
sub client {
    my ($self, %options) = @_;
    my $client = $self->try_client(%options);
    return $client if $client;
    $self->show_output;
    die "cannot connect: $@\n";
}

# A new UDP client (a TestUdp). Options: port, host.
sub udp_client {
    my ($self, %options) = @_;
    require TestUdp;
    return TestUdp->new(host => $options{host} // $self->{host}, port => $options{port} // $self->{udp_port});
}

# As `client`, but undef (and $@ the reason) where connecting or the handshake fails.
sub try_client {
    my ($self, %options) = @_;
    return TestClient->connect_unix($self->{path}) if $self->{path} && !$options{port};
    return TestClient->connect_tcp(
        host => $options{host} // $self->{host},
        port => $options{port} // $self->{port},
        tls => $options{tls} // $self->{tls},
    );
}

# What becomes of a client with these options: 'served', 'refused' at the handshake or later, or what it was answered
# instead.
sub outcome {
    my ($self, %options) = @_;
    my $client = $self->try_client(%options) or return 'refused';
    $client->send("mn\r\n");
    my $line = $client->line(5);
    return 'served' if defined $line && $line eq 'MN';
    return $client->pending eq '' ? 'refused' : 'answered: ' . TestClient::visible($client->pending);
}

# The connection that `stats` and the clock use; it stays open.
sub admin { return $_[0]{admin} //= $_[0]->client }

sub stats { my ($self, $group) = @_; return $self->admin->stats($group) }
sub stat { my ($self, $name, $group) = @_; return $self->stats($group)->{$name} }
sub settings { return $_[0]->stats('settings') }

# Looks for keys by `$client` until some watcher of fetchers, which does not read, has lost lines. How much the kernel takes
# for one is the kernel's affair, and events that come too fast never get so far as to be a line.
sub overrun_watcher {
    my ($self, $client) = @_;
    my $key = 'k' x 240;
    return wait_until(sub {
        $client->send(join('', map { "mg $key-$_\r\n" } 1 .. 200) . "mn\r\n");
        $client->through("MN\r\n");
        return $self->stat('log_watcher_skipped') > 0;
    }, 60);
}

# Polls until the statistic is `$want` (a value, or a sub called with the value); true when it is.
sub wait_stat {
    my ($self, $name, $want, $seconds, $group) = @_;
    my $value;
    my $met = wait_until(sub {
        $value = $self->stat($name, $group);
        return ref $want ? $want->($value) : defined $value && $value eq $want;
    }, $seconds);
    Test::More::diag("$name is still " . ($value // 'absent')) unless $met;
    return $met ? 1 : 0;
}

# Polls until the text appears on the server's stderr.
sub wait_stderr {
    my ($self, $pattern, $seconds) = @_;
    return wait_until(sub { $self->stderr_text =~ $pattern }, $seconds) ? 1 : 0;
}

# ---------------------------------------------------------------------------------------------------
# The clock
#
# A debug server's clock jumps by the whole offset that `debugtime` has accumulated. The helper stops
# the clock first, so that a test's seconds pass only when it says so, and then asks for the difference.

sub freeze_clock {
    my ($self) = @_;
    return if $self->{frozen}++;
    $self->{offset} //= 0;
    $self->debug_command('debugtime p');
}

# The clock runs again, from real time plus what was added last.
sub thaw_clock {
    my ($self) = @_;
    $self->{frozen} = 0;
    $self->debug_command('debugtime r');
}

# Moves the clock by exactly `$seconds`; it stands still before and after.
sub advance_clock {
    my ($self, $seconds) = @_;
    if (!has_feature('debug')) {
        # Another server: let the time pass, where the test is about a few seconds.
        die "the clock of this server cannot be moved\n" if $seconds > 5;
        return sleep $seconds + 1.1;
    }
    $self->freeze_clock;
    my $before = $self->stat('uptime');
    $self->debug_command('debugtime ' . ($seconds - $self->{offset}));
    $self->{offset} = $seconds;
    my $moved = $self->stat('uptime') - $before;
    die "the clock moved by $moved seconds, not by $seconds\n" unless $moved == $seconds;
}

sub debug_command {
    my ($self, $line) = @_;
    my $answer = $self->admin->ask($line);
    die "$line: " . ($answer // 'no answer') . "\n" unless ($answer // '') eq 'OK';
}

# ---------------------------------------------------------------------------------------------------
# Stopping

sub signal { my ($self, $name) = @_; return kill $name, $self->{pid} }

# True once the process has ended; its status is then in `exit_status` and `exit_signal`.
sub has_ended {
    my ($self) = @_;
    return 1 if $self->{ended};
    return 0 unless waitpid($self->{pid}, WNOHANG) == $self->{pid};
    $self->{ended} = 1;
    $self->{exit_status} = $? >> 8;
    $self->{exit_signal} = $? & 127;
    watch_over("forget $self->{pid}");
    delete $live{ $self->{id} };
    return 1;
}

# The exit status once the server has ended by itself; 'running' when it does not end, 'signal N' when
# one killed it.
sub wait_exit {
    my ($self, $seconds) = @_;
    return 'running' unless wait_until(sub { $self->has_ended }, $seconds // 10);
    return $self->{exit_signal} ? "signal $self->{exit_signal}" : $self->{exit_status};
}

# Sends the signal (TERM) and returns as `wait_exit` does.
sub stop {
    my ($self, $signal) = @_;
    return $self->wait_exit(0) if $self->{ended};
    delete $self->{admin};
    $self->signal($signal // 'TERM');
    return $self->wait_exit;
}

# Ends the server at once, whatever it does; nothing is checked.
sub kill_now {
    my ($self) = @_;
    return if $self->{ended};
    $self->signal('KILL');
    $self->wait_exit;
}

sub show_output {
    my ($self) = @_;
    Test::More::diag("command: $self->{command}");
    my $log = $self->{options}{valgrind_log};
    for my $text (slurp($self->{stderr_file}), $log ? slurp($log) : ()) {
        $text = '[...]' . substr $text, -20_000 if length $text > 20_000;
        Test::More::diag($text) if $text ne '';
    }
}

END {
    if ($$ == $TEST_PID) {
        my $failed = $?;
        my @servers = sort { $a->{id} <=> $b->{id} } values %live;
        delete $_->{admin} for @servers;
        $_->has_ended or $_->signal('TERM') for @servers;
        for my $server (@servers) {
            my $status = $server->wait_exit(15);
            next if $status eq '0';
            Test::More::diag("a server ended with: $status");
            $server->show_output;
            $server->kill_now;
            $failed ||= 1;
        }
        if (!Test::More->builder->is_passing) {
            $_->show_output for @servers;
        }
        if ($watchdog && $watchdog->{owner} == $$) {
            close $watchdog->{pipe};
            waitpid $watchdog->{pid}, 0;
        }
        $? = $failed;
    }
}

1;
