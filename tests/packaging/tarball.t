#!/usr/bin/perl
# Goal: the tarball has all that a build without network and git needs, nothing that a distribution objects to, and is the same
# every time.
# Method: its list of files, and autoreconf, configure, install, uninstall and distclean in it, with a cargo that compiles nothing.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Packaging qw(HERE tarball copy run sh slurp scratch files_below);

my $dir = scratch();
my $source = copy();
my ($version) = slurp("$source/version.m4") =~ /\[(\d+\.\d+\.\d+[^\]]*)\]\)/;
ok($version, 'version.m4 is there, and tells a version') or BAIL_OUT('no version');

# what is there
my @listed = map { chomp; $_ } `tar -tf '@{[tarball()]}'`;
is((grep { !m{^memcached-\Q$version\E/} } @listed), 0, 'all of it is in one folder');
my %there = map { s{^[^/]+/}{}r => 1 } @listed;
for my $name (
    # inputs, and what autotools made of them
    qw(configure Makefile.in doc/Makefile.in aclocal.m4 config.guess config.sub install-sh missing compile configure.ac Makefile.am
    doc/Makefile.am Cargo.toml Cargo.lock build.rs bindings/libevent.rs .cargo/config.toml src/main.rs tools/version-m4),
    # what recipes name
    qw(AUTHORS COPYING LICENSE LICENSE.bipbuffer NEWS ChangeLog README.md CHANGELOG.md doc/CONTRIBUTORS doc/memcached.1 doc/protocol.txt
    doc/tls.txt memcached.spec include/protocol_binary.h include/xxhash.h t/getset.t t/lib/TestServer.pm),
    (map { "scripts/$_" } qw(memcached-tool memcached-tool.1 start-memcached memcached-init memcached.service memcached@.service
        memcached.sysconfig damemtop damemtop.yaml README.damemtop)),
    # ready for use
    qw(packaging/debian/changelog packaging/debian/copyright packaging/debian/rules packaging/alpine/APKBUILD packaging/container/Containerfile),
) { ok($there{$name}, "$name is there") }
is_deeply([ grep { m{^(?:core|\.git|config\.(?:log|status)|Makefile|doc/Makefile|target|cargo-home)(?:/|$)|~$|\.orig$|\.rej$|\.bak$} } keys %there ], [],
    'and nothing that was left behind');
is_deeply([ grep { m{\.(?:dll|lib|so|a|o|obj|exe|pem|p12|der)$}i && !m{^t/} } keys %there ], [], 'nor prebuilt libraries and keys');
my %prebuilt = map { chomp; $_ => 1 } `find '$dir/vendor' -type f -exec sh -c 'head -c 4 "\$0" | grep -q ELF && echo "\$0"' {} \\;`;
is_deeply([ keys %prebuilt ], [], 'under whatever name');
is_deeply([ grep { length > 250 } @listed ], [], 'no name is too long for file systems');

# every crate of Cargo.lock, whole, but for what tools/vendor leaves out
my %wanted = slurp("$source/Cargo.lock") =~ /^name = "([^"]+)"\nversion = "([^"]+)"\nsource = /mg;
my @missing = grep { !-d "$source/vendor/$_" && !-d "$source/vendor/$_-$wanted{$_}" } sort keys %wanted;
is_deeply(\@missing, [], 'every crate of Cargo.lock is there');
my (@gone, @unlisted);
for my $list (glob "$source/vendor/*/.cargo-checksum.json") {
    my ($folder) = $list =~ m{(.*)/};
    my ($files) = slurp($list) =~ /"files":\{(.*?)\}/;
    my %sums = $files =~ /"([^"]+)":"([0-9a-f]{64})"/g;
    push @gone, grep { !-e } map { "$folder/$_" } keys %sums;
}
is_deeply(\@gone, [], 'cargo will look for nothing that was left out');
my $copyright = slurp("$source/packaging/debian/copyright");
is_deeply([ grep { $copyright !~ m{^(?:Files:| {6}) \Qvendor/$_/\E\*$}m } map { m{([^/]+)$} } grep { -d } glob "$source/vendor/*" ], [],
    'and its licence is told');

# what recipes do first
for my $name (qw(memcached.spec packaging/alpine/APKBUILD packaging/debian/changelog)) {
    unlike(slurp("$source/$name"), qr/\@[A-Z_]+\@/, "$name has no gaps");
    like(slurp("$source/$name"), qr/\Q$version\E/, 'and the version');
}
is(sh($source, 'sh -n packaging/alpine/APKBUILD packaging/debian/systemd-memcached-wrapper')->{out}, '', 'a shell reads those that are scripts');
unlink map { "$source/$_" } qw(configure aclocal.m4 Makefile.in doc/Makefile.in config.guess config.sub install-sh missing compile);
run($source, 'autoreconf -f -i', PATH => do { my $bin = "$dir/no-git"; mkdir $bin; symlink '/bin/false', "$bin/git"; "$bin:$ENV{PATH}" });
ok(-x "$source/configure", 'autoreconf -f -i alone makes configure, without git');

# beside sources that nobody may write to
my $build = "$dir/beside";
mkdir $build;
my %env = (CARGO => HERE . '/cargo', CARGO_CALLS => "$dir/calls", CARGO_HOME => undef);
run($dir, "chmod -R a-w '$source'");
my $before = run($source, q(find . -newer configure | sort; find . | sort | cksum));
run($build, "'$source/configure' --enable-tls", %env);
run($build, 'make -j2', %env);
ok(-x "$build/$_", "make builds $_") for qw(memcached memcached-debug sizes testapp timedrun);
run($build, 'make sbom', %env);
is(slurp("$build/memcached.cdx.json"), qq({"bom-ref":"/usr/src/memcached-$version#memcached"}\n), 'make sbom tells nothing of the folder');
like(slurp("$dir/calls"), qr/^cargo cyclonedx .*--features tls$/m, 'and asks for what is linked as configured');
run($build, "make install DESTDIR='$dir/installed' prefix=/usr mandir=/usr/share/man INSTALL='install -p' AM_UPDATE_INFO_DIR=no VERBOSE=1", %env);
my @FILES = qw(usr/bin/memcached usr/include/memcached/protocol_binary.h usr/include/memcached/xxhash.h usr/share/man/man1/memcached.1);
is_deeply([ files_below("$dir/installed") ], \@FILES, 'make install installs what it should, and no more');
is(sprintf('%04o', (stat "$dir/installed/$_")[2] & 07777), m{/bin/} ? '0755' : '0644', "$_ has its mode") for @FILES;
run($build, "make uninstall DESTDIR='$dir/installed' prefix=/usr mandir=/usr/share/man", %env);
is_deeply([ files_below("$dir/installed") ], [], 'make uninstall takes it all away');
ok(-d "$dir/installed/usr/include/memcached", 'but no folder');
run($build, 'make distclean', %env);
is_deeply([ files_below($build) ], [], 'make distclean leaves nothing');
is(run($source, q(find . -newer configure | sort; find . | sort | cksum)), $before, 'and the sources are as they were');
run($dir, "chmod -R u+w '$source'");

# the same again
my @tarballs = map {
    my $folder = "$dir/dist$_";
    mkdir $folder;
    run($folder, "umask 0$_; '$source/configure' && make dist", %env, SOURCE_DATE_EPOCH => 1_700_000_000);
    (glob "$folder/memcached-*.tar.gz")[0];
} 22, 27;
is(sh($dir, "cmp '$tarballs[0]' '$tarballs[1]'")->{out}, '', 'make dist makes the same tarball twice, with SOURCE_DATE_EPOCH');
my $list = sub { my ($path) = @_; return [ sort map { chomp; $_ } `tar -tf '$path'` ] };
is_deeply($list->($tarballs[0]), [ sort @listed ], 'and one with the same files');

done_testing;
