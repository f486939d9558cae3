package Packaging;

# What the files in tests/packaging share: the tarball of `make dist`, unpacked, and commands run in copies of it. MEMCACHED_TARBALL
# names it; `make packaging_check` makes it and sets that.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use Test::More ();

our @EXPORT_OK = qw(HERE scratch tarball copy run sh slurp write_program files_below calls);

use constant HERE => abs_path(dirname(__FILE__));

my ($scratch, $unpacked, $count);
sub scratch { return $scratch //= tempdir('memcached-packaging-XXXXXXXX', TMPDIR => 1, CLEANUP => 1) }

sub tarball {
    my $path = $ENV{MEMCACHED_TARBALL} or Test::More::plan(skip_all => 'MEMCACHED_TARBALL names no tarball: make packaging_check');
    return abs_path($path);
}

# A command line of the shell, in a folder, with that environment beside the usual one. undef takes a variable away.
sub sh {
    my ($folder, $command, %env) = @_;
    local %ENV = (%ENV, %env);
    delete @ENV{ grep { !defined $ENV{$_} } keys %ENV };
    delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
    my $out = `cd '$folder' && { $command\n} 2>&1 </dev/null`;
    return { status => $? >> 8, out => $out };
}

# The same, and it has to succeed.
sub run {
    my ($folder, $command, %env) = @_;
    my $run = sh($folder, $command, %env);
    my $words = $command =~ s/\s+/ /gr;
    Test::More::is($run->{status}, 0, length $words > 120 ? substr($words, 0, 117) . '...' : $words) or Test::More::diag($run->{out});
    return $run->{out};
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar <$file> // '';
}

sub write_program {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file;
    chmod 0755, $path;
    return $path;
}

# A fresh copy of the unpacked tarball. The crates, which nobody writes to, are there once.
sub copy {
    my $dir = scratch();
    if (!$unpacked) {
        system('tar', '-xzf', tarball(), '-C', $dir) == 0 or Test::More::BAIL_OUT('the tarball cannot be unpacked');
        ($unpacked) = grep { -d } glob "$dir/memcached-*";
        rename "$unpacked/vendor", "$dir/vendor";
    }
    my $to = "$dir/" . ++$count . '/' . basename($unpacked);
    mkdir dirname($to);
    system('cp', '-Rp', $unpacked, $to) == 0 or Test::More::BAIL_OUT('the tree cannot be copied');
    symlink "$dir/vendor", "$to/vendor" or die "$to/vendor: $!\n" if -d "$dir/vendor";
    return $to;
}

# Files and links below a folder, by their names from there.
sub files_below {
    my ($folder) = @_;
    return sort map { chomp; s{^\./}{}r } `cd '$folder' && find . ! -type d`;
}

# How the stand-in for cargo was called: [{ line => ..., env => { NAME => VALUE } }, ...]
sub calls {
    my ($file) = @_;
    my @calls;
    for (split /\n/, slurp($file)) {
        if (/^    (\w+)=(.*)/) { $calls[-1]{env}{$1} = $2 }
        elsif (/^cargo /) { push @calls, { line => $_, env => {} } }
    }
    return @calls;
}

1;
