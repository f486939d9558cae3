#!/usr/bin/perl
# Goal: every example in doc/tls.txt is true.
# Method: each section's commands ("$ …") run one after the other in a folder of their own, by sh, with the server of
# the build folder as memcached; ports are exchanged for free ones. What a command prints must be the lines under it,
# where "..." stands for any text. A command that ends with & goes on running, and its ports are waited for.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);
use TestServer;

TestServer::need_feature('tls');
TestServer::need_new('it has not all of these options');
my $python = system('python3 -c "import ssl" >/dev/null 2>&1') == 0;

sub free_ports {
    my ($count) = @_;
    my @sockets = map { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') // die "no port: $!" } 1 .. $count;
    return map { $_->sockport } @sockets;
}

# [ heading, [ command, expected lines… ]… ] for each section that has commands.
sub sections {
    open my $document, '<', "$FindBin::Bin/../doc/tls.txt" or die "cannot read doc/tls.txt: $!";
    chomp(my @lines = <$document>);
    my @sections = [''];
    for (my $at = 0; $at < @lines; $at++) {
        my $line = $lines[$at];
        if ($line =~ /^-+$/) {
            push @sections, [ $lines[ $at - 1 ] ];
        } elsif ($line =~ s/^    \$ //) {
            if ($line =~ /<<'(\w+)'/) {
                my $end = $1;
                do { $line .= "\n" . $lines[ ++$at ] =~ s/^    //r } until $lines[$at] eq "    $end";
            }
            my @wanted;
            push @wanted, $lines[ ++$at ] =~ s/^    //r while ($lines[ $at + 1 ] // '') =~ /^    (?!\$ )/;
            push @{ $sections[-1] }, [ $line, @wanted ];
        }
    }
    return grep { @$_ > 1 } @sections;
}

# A folder with the commands that the examples take for granted.
sub commands {
    my $dir = TestServer::scratch() . '/bin';
    mkdir $dir or die "$dir: $!";
    my $server = TestServer::build_dir() . '/memcached';
    my $user = $> == 0 ? ' -u root' : '';
    script("$dir/memcached", "#!/bin/sh\nexec '$server'$user \"\$@\"\n");
    script("$dir/nc", <<'END') if system('command -v nc >/dev/null 2>&1') != 0;
#!/usr/bin/perl
use IO::Socket::INET;
my $conn = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die "nc: $!\n";
print $conn do { local $/; <STDIN> };
$conn->flush;
print while <$conn>;
END
    return $dir;
}

sub script {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!";
    print $file $text;
    close $file or die "$path: $!";
    chmod 0755, $path;
}

my @running;

sub stop_all {
    kill 'TERM', @running;
    waitpid $_, 0 for @running;
    @running = ();
}

sub start {
    my ($command, $log) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', $log or die;
        open STDERR, '>&', \*STDOUT or die;
        exec 'sh', '-c', "exec $command" or die;
    }
    push @running, $pid;
    my $deadline = time + 20;
    for my $port ($command =~ /127\.0\.0\.1:(\d+)/g) {
        until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
            return 0 if waitpid($pid, WNOHANG) != 0 || time > $deadline;
            sleep 0.02;
        }
    }
    return 1;
}

sub matches {
    my ($got, $wanted) = @_;
    my $pattern = join '.*', map { quotemeta } split /\.\.\./, $wanted, -1;
    return defined $got && $got =~ /^$pattern$/;
}

my $bin = commands();
$ENV{PATH} = "$bin:$ENV{PATH}";
my @sections = sections();
cmp_ok(scalar @sections, '>=', 6, 'the document has examples');

for my $section (@sections) {
    my ($heading, @examples) = @$section;
    my $dir = TestServer::scratch() . '/' . ($heading =~ s/\W+/-/gr);
    mkdir $dir or die "$dir: $!";
    chdir $dir or die "$dir: $!";
    my (%port, $is_left_out);
    @port{ 11211 .. 11213 } = free_ports(3);
    for my $example (@examples) {
        my ($command, @wanted) = map { s/\b(1121[123])\b/$port{$1}/gr } @$example;
        my ($name) = "$heading: $example->[0]" =~ /^(.{1,110})/;
        if ($command =~ s/^(memcached .*) &$/$1/) {
            ok(start($command, "$dir/server.log"), $name) or diag(TestServer::slurp("$dir/server.log"));
            next;
        }
    SKIP: {
            # What comes behind it shows what it has done.
            $is_left_out ||= $command =~ /^python3/ && !$python;
            skip 'no python3', 1 if $is_left_out;
            system('timeout', '30', 'sh', '-c', "{ $command\n} >'$dir/output' 2>&1");
            my @got = map { s/\r?\n$//r } split /(?<=\n)/, TestServer::slurp("$dir/output");
            my $same = @got == @wanted && !grep { !matches($got[$_], $wanted[$_]) } 0 .. $#wanted;
            ok($same, $name) or diag("printed:\n@{[ map { qq(  $_\n) } @got ]}wanted:\n@{[ map { qq(  $_\n) } @wanted ]}");
        }
    }
    stop_all();
}
chdir '/';

END { my $status = $?; stop_all(); $? = $status }

done_testing;
