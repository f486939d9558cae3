package TestPython;
# Client libraries in Python: where one is found, and what a script of checks says of it. Each claim of the script is a line
# `ok - what` or `not ok - what`.

use strict;
use warnings;
use FindBin;
use Test::More ();
use TestServer;

sub has_library { my ($python, $library) = @_; return system("'$python' -c 'import $library' >/dev/null 2>&1") == 0 }

# A Python that has the library, if there is one (several: with commas between them). `@packages` are the names for pip, which
# installs them once, into a virtual environment in the build directory, with CLIENT_TESTS=1 in the environment.
sub with {
    my ($library, @packages) = grep { defined } @_;
    my $own = TestServer::build_dir() . '/t/venv-' . join '-', @packages ? @packages : $library;
    for my $path ("$own/bin/python3", 'python3', '/usr/bin/python3') { return $path if has_library($path, $library) }
    return undef unless @packages && $ENV{CLIENT_TESTS};
    my $log = TestServer::scratch() . '/pip.log';
    my $install = join ' ', map { "'$_'" } "$own/bin/pip", 'install', '--quiet', @packages;
    return "$own/bin/python3" if system("{ python3 -m venv '$own' && $install; } >'$log' 2>&1") == 0;
    Test::More::diag(TestServer::slurp($log));
    return undef;
}

# Runs a script of t/lib; `$enough` looks at the number of its claims.
sub check {
    my ($name, $enough, $python, $script, @arguments) = @_;
    my $errors = TestServer::scratch() . '/python.stderr';
    my @command = ($python, "$FindBin::Bin/lib/$script", @arguments);
    open my $output, '-|', join(' ', map { "'$_'" } @command) . " 2>'$errors'" or die "python: $!";
    my $claims = 0;
    while (my $line = <$output>) {
        chomp $line;
        $line =~ /^(not )?ok - (.*)$/ or next;
        Test::More::ok(!$1, "$name: $2");
        $claims++;
    }
    Test::More::ok(close($output) && $enough->($claims), "$name: the script came to its end")
        or Test::More::diag(TestServer::slurp($errors));
}

1;
