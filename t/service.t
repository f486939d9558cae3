#!/usr/bin/perl
# Goal: a service manager starts the server with the line of its unit and needs to hear nothing from it: the process that it has
# started is the server, stays in front, writes to the manager's journal or to nobody, and ends when it is told to.
# Method: the line and the variables of scripts/memcached.service, made words as systemd does (Type=simple), under a parent that
# gives it what systemd gives: no terminal, a session of its own, the root directory, little environment, a socket for output.

use strict;
use warnings;
use IO::Socket::UNIX;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $SCRIPTS = "$FindBin::Bin/../scripts";
my $SERVER = TestServer::production_path() // TestServer::server_path();
my $dir = TestServer::scratch();
chmod 0755, $dir;
mkdir "$dir/run";
chmod 0777, "$dir/run";

my ($line) = TestServer::slurp("$SCRIPTS/memcached.service") =~ /^ExecStart=(.*)$/m;
unlike(TestServer::slurp("$SCRIPTS/memcached.service"), qr/^Type=(?!simple)/m, 'the unit is a simple service');

# Words as systemd makes them: ${NAME} is within one, $NAME is as many as it has.
sub words {
    my (%variables) = @_;
    return map { /^\$(\w+)$/ ? split(' ', $variables{$1}) : s/\$\{(\w+)\}/$variables{$1}/gr } split ' ', $line;
}

# Starts it so; the end of the journal comes with it.
my $count = 0;
sub start_service {
    my (%changes) = @_;
    my %variables = TestServer::slurp("$SCRIPTS/memcached.sysconfig") =~ /^(\w+)="?(.*?)"?$/mg;
    %variables = (%variables, PORT => -1, USER => 'nobody', OPTIONS => '-l 127.0.0.1', %changes);
    my ($path, $id) = ("$dir/journal." . ++$count, $count);
    my $journal = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!";
    my @words = words(%variables);
    is($words[0], '/usr/bin/memcached', 'the unit starts the server');
    my %environment = (%variables, PATH => '/usr/bin:/bin', LANG => 'C.UTF-8', INVOCATION_ID => '0' x 32, JOURNAL_STREAM => '8:1',
        MEMCACHED_PORT_FILENAME => "$dir/run/ports.$id");
    my $manager = TestServer::write_file("$dir/manager.$id", <<"END");
#!$^X
use IO::Socket::UNIX;
use POSIX ();
my \$log = IO::Socket::UNIX->new(Peer => '$path') or die;
open STDOUT, '>&', \$log or die;
open STDERR, '>&', \$log or die;
POSIX::setsid();
chdir '/';
\%ENV = (@{[ join ', ', map { "'$_' => '$environment{$_}'" } sort keys %environment ]});
exec { '$SERVER' } @{[ join ', ', map { "'$_'" } @words ]};
END
    chmod 0755, $manager;
    my $server = TestServer->start({ binary => $manager, user => undef, tls => 0, ready => 0 }, '-p', '-1');
    my $reader = $journal->accept or die "accept: $!";
    $server->{port_file} = "$dir/run/ports.$id";
    ok($server->wait_ready, 'it starts') or BAIL_OUT('no service');
    return ($server, $reader);
}

my ($server, $reader) = start_service();
is($server->stats->{pid}, $server->pid, 'the process that was started is the server');
is($server->settings->{maxconns}, 1024, 'with the variables of the file');
SKIP: {
    skip 'no /proc here', 4 unless -e "/proc/$$/stat";
    my $proc = '/proc/' . $server->pid;
    my @stat = split ' ', TestServer::slurp("$proc/stat") =~ s/.*\)//r;
    is($stat[4], 0, 'it has no terminal');
    is($stat[3], $server->pid, 'and the session that it was given');
    is(TestServer::slurp("$proc/cmdline") =~ tr/\0/ /r, join(' ', words(PORT => -1, USER => 'nobody', CACHESIZE => 64, MAXCONN => 1024, OPTIONS => '-l 127.0.0.1')) . ' ',
        'its words are those of the unit');
    is((stat "$proc/fd/2")[2] & 0170000, 0140000, 'its output goes to the journal');
}
$server->signal('HUP');
is($server->client->ask('mn'), 'MN', 'a reload does not end it');
$server->client->set('k', 'value');
is($server->stop, 0, 'it ends with 0 when it is told to');
my $said = join '', <$reader>;
is($said, '', 'and has said nothing');

# Output that somebody reads, and output that nobody reads any more.
($server, $reader) = start_service(OPTIONS => '-l 127.0.0.1 -vv -t 2');
is($server->settings->{num_threads}, 2, 'options of the file are words');
$server->client->ask('get told');
my $text = '';
$text .= readline $reader until $text =~ /^<\d+ get told$/m;
like($text, qr/^slab class   1: /m, 'the journal has all of it');
close $reader;
my $c = $server->client;
is($c->ask("get k$_"), 'END', 'without a journal it serves') for 1 .. 3;
is($server->stop('USR1'), 0, 'and ends with 0');

done_testing;
