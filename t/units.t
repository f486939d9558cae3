#!/usr/bin/perl
# Goal: what starts the server on a distribution does so: units, start-memcached, the init script, and the files beside them.
# Method: the lines that recipes edit, the edits themselves, systemd's own checks, and the scripts run for real, with
# their paths moved into a scratch directory.

use strict;
use warnings;
use File::Copy qw(copy);
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $SCRIPTS = "$FindBin::Bin/../scripts";
my $SERVER = TestServer::production_path() // TestServer::server_path();
my $dir = TestServer::scratch();
sub text { my ($name) = @_; return TestServer::slurp("$SCRIPTS/$name") }
sub run_sh { my ($command) = @_; my $out = `$command 2>&1`; return { status => $? >> 8, out => $out } }

# A copy of a file of scripts/, with paths replaced.
sub moved {
    my ($name, $to, %paths) = @_;
    my $text = text($name);
    my $any = join '|', map { quotemeta } sort { length $b <=> length $a } keys %paths;
    $text =~ s/($any)/$paths{$1}/g if %paths;
    TestServer::write_file("$dir/$to", $text);
    chmod +(stat "$SCRIPTS/$name")[2] & 0777, "$dir/$to";
    return "$dir/$to";
}

# everything that recipes take
for my $name (qw(memcached-tool memcached-tool.1 start-memcached memcached-init memcached.service memcached@.service
    memcached.socket memcached.sysconfig memcached.sysusers memcached.tmpfiles damemtop damemtop.1 damemtop.yaml README.damemtop))
{
    ok(-s "$SCRIPTS/$name", "scripts/$name is there");
    is(-x _ ? 1 : 0, text($name) =~ /^#!/ ? 1 : 0, 'and can be executed if it is a program');
}

# units
my @SANDBOX = qw(PrivateTmp=true ProtectSystem=full NoNewPrivileges=true PrivateDevices=true MemoryDenyWriteExecute=true
    ProtectKernelModules=true ProtectKernelTunables=true ProtectControlGroups=true RestrictRealtime=true RestrictNamespaces=true);
push @SANDBOX, 'CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SYS_RESOURCE', 'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX';
my $FENCE = <<'END';
--- a/memcached.service
+++ b/memcached.service
@@ -2,6 +2,7 @@
 [Unit]
 Description=memcached daemon
 After=network.target
+Before=httpd.service

 [Service]
 EnvironmentFile=/etc/sysconfig/memcached
END
for my $row ([ 'memcached.service', '${PORT}', [] ], [ 'memcached@.service', '%i', ['-/etc/sysconfig/memcached.%i'] ]) {
    my ($name, $port, $further) = @$row;
    my @lines = split /\n/, text($name);
    is_deeply([ @lines[ 0 .. 6 ] ], [ '', '[Unit]', 'Description=memcached daemon', 'After=network.target', '', '[Service]',
            'EnvironmentFile=/etc/sysconfig/memcached' ], "$name begins as recipes expect it");
    is_deeply([ map { /^ExecStart=(.*)/ } @lines ], ["/usr/bin/memcached -p $port -u \${USER} -m \${CACHESIZE} -c \${MAXCONN} \$OPTIONS"],
        'starts the server in the usual way');
    is_deeply([ map { /^EnvironmentFile=(.*)/ } @lines ], [ '/etc/sysconfig/memcached', @$further ], 'with its variables');
    for my $directive (@SANDBOX) { is(scalar(grep { $_ eq $directive } @lines), 1, $directive) }
    ok((grep { $_ eq 'WantedBy=multi-user.target' } @lines), 'and can be enabled');
    unlike(text($name), qr/safer/, 'nothing is behind a marker');

    # the edits of recipes
    my $unit = "'$SCRIPTS/$name'";
    is(`sed 's/^##safer##//' $unit`, text($name), 'taking the marker away changes nothing');
    my $elsewhere = () = `sed 's:/etc/sysconfig/memcached:/etc/conf.d/memcached:' $unit` =~ m{/etc/conf\.d/memcached}g;
    is($elsewhere, 1 + @$further, 'the variables can be moved elsewhere');
    is(() = `sed 's:^ExecStart=/usr/bin/:ExecStart=/usr/libexec/:' $unit` =~ m{^ExecStart=/usr/libexec/memcached }mg, 1, 'and the server');
}
SKIP: {
    skip 'patch is not installed', 2 unless TestServer::program('patch');
    moved('memcached.service', 'patched.service');
    TestServer::write_file("$dir/fence.patch", $FENCE);
    is(run_sh("patch --fuzz=0 '$dir/patched.service' '$dir/fence.patch'")->{status}, 0, 'a line can be put in behind After=');
    like(TestServer::slurp("$dir/patched.service"), qr/^After=network\.target\nBefore=httpd\.service\n\n\[Service\]\n/m, 'there');
}
SKIP: {
    skip 'systemd-analyze is not installed', 2 unless TestServer::program('systemd-analyze');
    for my $name (qw(memcached.service memcached@.service)) {
        # Other units of the system may have faults, too.
        my $run = run_sh("systemd-analyze --man=no verify '" . moved($name, $name, '/usr/bin/memcached' => $SERVER) . "'");
        is_deeply([ grep { /memcached/ } split /\n/, $run->{out} ], [], "systemd finds nothing wrong with $name");
    }
}

# the unit that tells systemd more, and the sockets that go with either
my $ours = TestServer::slurp("$SCRIPTS/../packaging/systemd/memcached.service");
is_deeply([ $ours =~ /^(Type=.*)/mg ], ['Type=notify'], 'our own unit waits until the server is ready');
unlike(text($_), qr/^Type=/m, "$_ does not") for qw(memcached.service memcached@.service);
for my $directive (@SANDBOX) { like($ours, qr/^\Q$directive\E$/m, "our own unit: $directive") }
is_deeply([ $ours =~ /^(ExecStart=.*)/mg ], [ text('memcached.service') =~ /^(ExecStart=.*)/mg ], 'it starts the server as the other does');
like(text('memcached.socket'), qr/^WantedBy=sockets\.target$/m, 'the sockets can be enabled');
is_deeply([ text('memcached.socket') =~ /^ListenStream=(.*)/mg ], [ '127.0.0.1:11211', '[::1]:11211' ], 'and let nobody in from elsewhere');
SKIP: {
    skip 'systemd-analyze is not installed', 2 unless TestServer::program('systemd-analyze');
    for my $unit ($ours, text('memcached.service')) {
        mkdir "$dir/activated";
        TestServer::write_file("$dir/activated/memcached.service", $unit =~ s{/usr/bin/memcached}{$SERVER}r);
        moved('memcached.socket', 'activated/memcached.socket');
        my $run = run_sh("systemd-analyze --man=no verify '$dir/activated/memcached.socket' '$dir/activated/memcached.service'");
        is_deeply([ grep { /memcached/ } split /\n/, $run->{out} ], [], 'systemd finds nothing wrong with the sockets');
    }
}

# the variables, and the start that they make
my $words = `/bin/sh -c '. "$SCRIPTS/memcached.sysconfig"; echo "\$PORT,\$USER,\$MAXCONN,\$CACHESIZE,\$OPTIONS"'`;
is($words, "11211,nobody,1024,64,\n", 'the variables have their defaults');
SKIP: {
    my $setpriv = TestServer::program('setpriv');
    skip 'needs root and setpriv', 3 unless $> == 0 && $setpriv && getpwnam 'nobody';
    chmod 0755, $dir;
    mkdir "$dir/run";
    chown +(getpwnam 'nobody')[2, 3], "$dir/run";
    # The sandbox's capabilities, under which root may not write to others' directories.
    my $fenced = TestServer::write_file("$dir/fenced", "#!/bin/sh\nexec $setpriv --bounding-set -all,+setgid,+setuid,+sys_resource "
            . "--inh-caps -all --no-new-privs '$SERVER' \"\$\@\"\n");
    chmod 0755, $fenced;
    skip 'setpriv may not take capabilities away', 3 if run_sh("'$fenced' -V")->{status};
    my $server = TestServer->start({ binary => $fenced, user => undef, tls => 0, env => { MEMCACHED_PORT_FILENAME => undef }, ready => 0 },
        '-s', "$dir/run/socket", '-u', 'nobody', '-m', '64', '-c', '1024', '-P', "$dir/run/pid");
    ok($server->wait_ready, 'the server starts with the capabilities of the units');
    ok(TestServer::wait_until(sub { TestServer::slurp("$dir/run/pid") =~ /^\d+$/ }), 'and writes its pid file as its user');
    is($server->stop, 0, 'and ends');
}

# users and directories
SKIP: {
    skip 'needs root, systemd-sysusers and systemd-tmpfiles', 3 unless $> == 0 && TestServer::program('systemd-sysusers') && TestServer::program('systemd-tmpfiles');
    mkdir "$dir/root";
    mkdir "$dir/root/etc";
    is(run_sh("systemd-sysusers --root='$dir/root' '$SCRIPTS/memcached.sysusers'")->{status}, 0, 'a user can be made');
    my ($uid) = TestServer::slurp("$dir/root/etc/passwd") =~ /^memcached:[^:]*:(\d+):/m;
    ok($uid, 'memcached');
    like(run_sh("systemd-tmpfiles --root='$dir/root' --create '$SCRIPTS/memcached.tmpfiles'")->{out}, qr/\A\z/, 'and its directory');
}

# start-memcached
sub living { my ($file) = @_; my ($pid) = TestServer::slurp($file) =~ /^(\d+)$/; return $pid && kill(0, $pid) ? $pid : undef }
sub command_of { my ($pid) = @_; return TestServer::slurp("/proc/$pid/cmdline") =~ tr/\0/ /r }
sub ended { my ($pid) = @_; return TestServer::wait_until(sub { !kill 0, $pid }) }
# The shell becomes the server a moment after its number is in the file.
sub server_of { my ($file) = @_; return TestServer::wait_until(sub { my $pid = living($file); $pid && command_of($pid) =~ /^\Q$SERVER\E / && $pid }) }

# What a failed test leaves behind.
END { kill 'KILL', grep { $_ } map { living($_) } glob "$dir/pid* $dir/var-run/*.pid" if $dir }

my $starter = moved('start-memcached', 'start-memcached', '/usr/bin/memcached' => $SERVER);
SKIP: {
    skip 'only root starts servers', 20 unless $> == 0;
    TestServer::write_file("$dir/conf", <<"END");
# a server
-d
-h
logfile $dir/log
-m 100  # megabytes

-s "$dir/a socket"
-u root
-D \\#
--daemon
-vv
not an option
END
    my $run = run_sh("umask 077; '$starter' '$dir/conf' '$dir/pid'");
    is($run->{status}, 0, 'start-memcached');
    is($run->{out}, "$dir/conf: this is no option: not an option\n", 'skips what it does not know, and says so');
    my $pid = server_of("$dir/pid");
    ok($pid, 'the pid file names the server') or skip 'there is no server', 17;
    is(command_of($pid), "$SERVER -m 100 -s $dir/a socket -u root -D # -vv ", 'which has the options of the file');
    ok(TestServer::wait_until(sub { TestClient::can_connect_unix("$dir/a socket") }), 'and serves');
    is((stat "$dir/pid")[2] & 0777, 0644, 'anyone may read the file');
    ok(TestServer::wait_until(sub { -s "$dir/log" }), 'output is in the log file');
    is(readlink("/proc/$pid/cwd"), '/', 'the server is in no directory');
    is((split ' ', TestServer::slurp("/proc/$pid/stat") =~ s/.*\)//r)[4], 0, 'and at no terminal');
    $run = run_sh("'$starter' '$dir/conf' '$dir/pid'");
    is($run->{status}, 0, 'a second start');
    is($run->{out}, "memcached is running already, as process $pid.\n", 'finds the first');
    kill 'TERM', $pid;
    ok(ended($pid), 'it ends');
    TestServer::write_file("$dir/conf", "-s $dir/socket\n-u root\n");
    is(run_sh("'$starter' '$dir/conf' '$dir/pid'")->{status}, 0, 'a start beside the pid file of a dead server');
    my $next = server_of("$dir/pid");
    isnt($next, undef, 'names another one') or skip 'there is no server', 6;
    kill 'TERM', $next;
    ok(ended($next), 'which ends');

    # what nobody should run: here something else runs in its place
    my $echo = TestServer::write_file("$dir/echo", "#!/bin/sh\necho \"\$\@\" > '$dir/words'\n");
    chmod 0755, $echo;
    my $shown = moved('start-memcached', 'start-echo', '/usr/bin/memcached' => $echo);
    TestServer::write_file("$dir/empty", "# nothing\n");
    is(run_sh("'$shown' '$dir/empty' '$dir/pid2'")->{status}, 0, 'a file without options');
    ok(TestServer::wait_until(sub { TestServer::slurp("$dir/words") eq "-u root\n" }), 'starts the server as root');
    unlink "$dir/words";
    $run = run_sh("'$shown' '$dir/missing' '$dir/pid3'");
    is($run->{out}, "$dir/missing does not exist: the server runs as root, with defaults.\n", 'and so does none, which is told');
    ok(TestServer::wait_until(sub { TestServer::slurp("$dir/words") eq "-u root\n" }), 'too');
    my $other = moved('start-memcached', 'start-nothing', '/usr/bin/memcached' => "$dir/nothing");
    isnt(run_sh("'$other' '$dir/empty' '$dir/pid4'")->{status}, 0, 'a server that is not there is a failure');
}
SKIP: {
    skip 'there is no other user', 2 if $> == 0 && !TestServer::program('setpriv');
    chmod 0755, $dir;
    my $as_other = $> == 0 ? TestServer::program('setpriv') . ' --reuid 65534 --clear-groups ' : '';
    my $run = run_sh("$as_other'$starter' '$dir/empty' '$dir/pid5'");
    is($run->{status}, 0, 'for others than root');
    is($run->{out}, "start-memcached is for root.\n", 'nothing is started');
}

# the init script
SKIP: {
    skip 'needs root, start-stop-daemon and the functions of the LSB', 20
        unless $> == 0 && TestServer::program('start-stop-daemon') && -e '/lib/lsb/init-functions';
    mkdir "$dir/$_" for qw(etc etc/default var-run);
    my $init = moved('memcached-init', 'init', '/usr/bin/memcached' => $SERVER, '/usr/share/memcached/scripts/start-memcached' => $starter,
        '/etc/' => "$dir/etc/", '/var/run/' => "$dir/var-run/");
    my $do = sub { return run_sh("'$init' @_")->{status} };
    my @files = map { "$dir/var-run/memcached$_.pid" } '', '_one', '_two';
    TestServer::write_file("$dir/etc/memcached.conf", "-s $dir/socket0\n-u root\n");
    is($do->('status'), 3, 'init: status without a server');
    is($do->('start'), 0, 'start');
    my $first = server_of($files[0]);
    ok($first, 'starts memcached');
    is($do->('status'), 0, 'status');
    is($do->('start'), 0, 'another start');
    is(living($files[0]), $first, 'changes nothing');
    is($do->('restart'), 0, 'restart');
    my $second = server_of($files[0]);
    isnt($second, $first, 'makes another server');
    kill 'KILL', $second;
    ended($second);
    is($do->('status'), 1, 'status of a server that died');
    is($do->('force-reload'), 0, 'force-reload starts one');
    ok(server_of($files[0]), 'it does');
    is($do->('stop'), 0, 'stop');
    ok(!-e $files[0], 'and its pid file are gone');
    is($do->('stop'), 0, 'stopping what does not run is no fault');

    TestServer::write_file("$dir/etc/memcached_$_.conf", "-s $dir/socket_$_\n-u root\n") for qw(one two);
    is($do->('start'), 0, 'with files of instances');
    ok(server_of($files[1]) && server_of($files[2]) && !-e $files[0], 'each is started, and no other');
    is($do->('stop one'), 0, 'one of them can be stopped');
    ok(!living($files[1]) && living($files[2]), 'alone');
    is($do->('status'), 3, 'status tells of the one that is missing');
    is($do->('status two'), 0, 'and of the other');
    is($do->('stop'), 0, 'all are stopped');
    TestServer::write_file("$dir/etc/default/memcached", "ENABLE_MEMCACHED=no\n");
    is($do->('start two'), 0, 'what is switched off');
    ok(!-e $files[2], 'is not started');
    my $run = run_sh("'$init' bogus");
    is($run->{status}, 1, 'an unknown verb');
    like($run->{out}, qr/^Usage: \S+ \{start\|stop\|status\|restart\|force-reload\}/, 'is told how');
    chmod 0644, $starter;
    is($do->('bogus'), 0, 'without its programs it does nothing');
}
for my $line ('# Provides:          memcached', '# Required-Start:    $remote_fs $syslog', '# Required-Stop:     $remote_fs $syslog',
    '# Default-Start:     2 3 4 5', '# Default-Stop:      0 1 6', '. /lib/lsb/init-functions')
{
    ok(text('memcached-init') =~ /^\Q$line\E$/m, "the init script says: $line");
}

done_testing;
