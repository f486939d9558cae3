package TestWatch;

# Clients that watch a server, and their lines taken apart, for the tests in t/.
#
#   my $watcher = watch($server, 'fetchers mutations');     # a TestClient, or what it was answered instead of OK
#   my $event = event($watcher);                            # { text, ts, gid, type, key, … }
#   is(text($watcher), 'type=deleted key=k …', …);          # the line behind ts and gid
#   my $event = next_of($watcher, 'eviction');              # skips lines of other types

use strict;
use warnings;
use Exporter qw(import);
use Socket qw(sockaddr_in);

our @EXPORT_OK = qw(watch event text next_of watchers port_of);

sub watch {
    my ($on, $kinds) = @_;
    my $watcher = $on->client;
    my $answer = $watcher->ask($kinds ? "watch $kinds" : 'watch');
    return $answer eq 'OK' ? $watcher : $answer;
}

# The next line of a watcher, taken apart; nothing in time is a line, too.
sub event {
    my ($watcher, $seconds) = @_;
    my $line = $watcher->through("\n", $seconds // 10) // return { type => 'nothing' };
    chomp $line;
    return { skipped => $1 } if $line =~ /\Askipped=(\d+)\z/;
    my ($ts, $gid, $rest) = $line =~ /\Ats=(\d+\.\d{6}) gid=(\d+) (type=.*)\z/ or return { type => "unreadable: $line" };
    my $fields = $rest;
    my $msg = $fields =~ s/ msg=(.*)\z// ? $1 : undef;
    return { ts => $ts, gid => $gid, text => $rest, msg => $msg, map { split /=/, $_, 2 } split / /, $fields };
}

sub text { return event(@_)->{text} // '' }

# The next event of this type.
sub next_of {
    my ($watcher, $type) = @_;
    for (1 .. 1_000) {
        my $event = event($watcher);
        return $event if ($event->{type} // '') =~ /\A(?:$type|nothing)\z/;
    }
    return { type => 'none of a thousand' };
}

# Polls until so many watch.
sub watchers { my ($on, $count) = @_; return $on->wait_stat('log_watchers', $count) }

# The port that a client has come from.
sub port_of { return (sockaddr_in(getsockname $_[0]->socket))[0] }

1;
