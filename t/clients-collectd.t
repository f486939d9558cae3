#!/usr/bin/perl
# Goal: collectd's memcached plugin reads the server without a word of complaint, and what it writes down is what happened.
# Method: collectd as Debian has it (collectd-core), every second, into files; it has its own folder, and ends with the test.

use strict;
use warnings;
use POSIX ();
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use TestServer;

my $collectd = TestServer::program('collectd') or plan skip_all => 'collectd is not installed';
my ($plugins) = grep { -e "$_/memcached.so" } qw(/usr/lib/collectd /usr/lib64/collectd) or plan skip_all => "collectd's plugin is not installed";
plan skip_all => "collectd's plugin to write files is not installed" unless -e "$plugins/csv.so" && -e "$plugins/logfile.so";

my $dir = TestServer::scratch();
my $server = TestServer->start({ tls => 0 }, '-t', '2');
my $c = $server->client;
$c->set('k', 'value');
$c->talk([ map { ("get k", "get none") } 1 .. 30 ]);
$c->talk([ 'set n 0 0 1', '1', 'incr n 1', 'incr none 1', 'decr n 1', 'touch k 0', 'flush_all 100000' ]);

TestServer::write_file("$dir/collectd.conf", <<"END");
Hostname "here"
FQDNLookup false
BaseDir "$dir"
PIDFile "$dir/collectd.pid"
PluginDir "$plugins"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel "info"
  File "$dir/collectd.log"
  PrintSeverity true
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "$dir/data"
</Plugin>
LoadPlugin memcached
<Plugin memcached>
  <Instance "ours">
    Address "127.0.0.1"
    Port "${\ $server->port}"
  </Instance>
</Plugin>
END

my $pid = fork // die "fork: $!";
if (!$pid) {
    open STDERR, '>', "$dir/collectd.stderr";
    exec { $collectd } $collectd, '-f', '-C', "$dir/collectd.conf" or POSIX::_exit(127);
}
my $running = 1;
END { my $status = $?; kill 'KILL', $pid and waitpid $pid, 0 if $running; $? = $status }

# The newest number of a file, by the name of the file.
sub newest {
    my ($name) = @_;
    my ($file) = reverse sort glob "$dir/data/here/memcached-ours/$name-2*" or return undef;
    my @lines = split /\n/, TestServer::slurp($file);
    return $lines[-1] =~ /,(-?[\d.]+(?:e[+-]\d+)?)(?:,|$)/ ? $1 : undef;
}
sub complaints { return join "\n", grep { /\[(?:error|warning)\]/ } split /\n/, TestServer::slurp("$dir/collectd.log") }

ok(TestServer::wait_until(sub { (newest('memcached_items-current') // 0) == 2 }, 20), 'items are written down')
    or diag(TestServer::slurp("$dir/collectd.stderr"), TestServer::slurp("$dir/collectd.log"));
my $before = $server->stat('bytes_read');
ok(TestServer::wait_until(sub { $server->stat('total_connections') >= 4 && $server->stat('bytes_read') > $before + 200 }, 20), 'it asks again and again');

my $stats = $server->stats;
is(newest('memcached_connections-current'), $stats->{curr_connections}, 'clients') if $stats->{curr_connections} == 2;
cmp_ok(abs(newest('df-cache') // -1), '>', 0, 'memory in use');
my %written = map { m{/([^/]+)-\d{4}-\d\d-\d\d$} ? ($1 => 1) : () } glob "$dir/data/here/memcached-ours/*";
for my $name (qw(df-cache memcached_command-flush memcached_command-get memcached_command-set memcached_command-touch
    memcached_connections-current memcached_items-current memcached_octets memcached_ops-decr_hits memcached_ops-decr_misses
    memcached_ops-evictions memcached_ops-hits memcached_ops-incr_hits memcached_ops-incr_misses memcached_ops-misses
    percent-hitratio ps_count ps_cputime total_events-listen_disabled))
{
    ok(delete $written{$name}, "$name is there");
}
note(join ' ', 'and also', sort keys %written) if %written;
my $asks = sub { $c->get('k'); $c->get('none'); my $ratio = newest('percent-hitratio'); return defined $ratio && abs($ratio - 50) <= 25 };
ok(TestServer::wait_until($asks), 'half of all gets are hits: that is their ratio');
is(complaints(), '', 'without an error or a warning');

kill 'TERM', $pid;
waitpid $pid, 0;
$running = 0;
is($? >> 8, 0, 'collectd ends in order');
is(complaints(), '', 'to the end');
ok($server->wait_stat('curr_connections', 2), 'and leaves no connection');

done_testing;
