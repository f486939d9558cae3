#!/usr/bin/perl
# Goal: the recipes in packaging/ make packages that hold what they should.
# Method: dpkg-buildpackage and rpmbuild, where they are installed, on the tarball, with a cargo that compiles nothing; and what can
# be read of the others.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Packaging qw(HERE tarball copy run sh slurp scratch files_below);

my $dir = scratch();
# The compiler itself: packagers' tools move HOME, below which rustup's stand-in would look for it.
chomp(my $sysroot = `rustc --print sysroot`);
my %env = (CARGO => HERE . '/cargo', RUSTC => "$sysroot/bin/rustc", CARGO_HOME => undef);
sub has { my ($program) = @_; return system("command -v '$program' >/dev/null 2>&1") == 0 }
my $LIBRARIES = has('pkg-config') && -e '/usr/include/sasl/sasl.h' && system('pkg-config --exists libevent_openssl libseccomp') == 0;

# Debian's unit is that of scripts/, but for where the options come from.
my $tree = copy();
my %unit = map { $_ => [ grep { /^(?!#)\S/ && !/^(?:Documentation|EnvironmentFile|ExecStart|PIDFile|Restart)=/ } split /\n/, slurp("$tree/$_") ] }
    qw(scripts/memcached.service packaging/debian/memcached.service);
is_deeply($unit{'packaging/debian/memcached.service'}, $unit{'scripts/memcached.service'}, 'the unit of the package has the sandbox of that in scripts/');

# its start line
my $wrapper = slurp("$tree/packaging/debian/systemd-memcached-wrapper") =~ s{/usr/bin/memcached}{printf '%s\\n'}r;
my $shown = Packaging::write_program("$dir/wrapper", $wrapper);
sub options_of { my ($text) = @_; Packaging::write_program("$dir/conf", $text); return [ split /\n/, sh($dir, "'$shown' '$dir/conf'")->{out} ] }
is_deeply(options_of(slurp("$tree/packaging/debian/memcached.conf")),
    [ qw(-m 64 -p 11211 -l 127.0.0.1 -l ::1 -u memcache -P /run/memcached/memcached.pid) ], 'the options of /etc/memcached.conf');
is_deeply(options_of("-d\nlogfile /x\n  -m 7 # seven\n-h\n--daemon\n-s \"/a b\"\n-D \\#\n# -v\nwords\n-vv\n--help-me\n"),
    [ '-m', '7', '-s', '/a b', '-D', '#', '-vv', '--help-me' ], 'and those that need care');
is_deeply(options_of("# nothing\n"), [ '-u', 'root' ], 'without any the server runs as root');
isnt(sh($dir, "'$shown' '$dir/none'")->{status}, 0, 'a file that is not there is a failure');

SKIP: {
    skip 'systemd-analyze is not installed', 1 unless has('systemd-analyze');
    my $text = slurp("$tree/packaging/debian/memcached.service") =~ s{^ExecStart=\S+}{ExecStart=/bin/true}mr;
    Packaging::write_program("$dir/memcached.service", $text);
    chmod 0644, "$dir/memcached.service";
    is_deeply([ grep { /memcached/ } split /\n/, sh($dir, 'systemd-analyze --man=no verify ./memcached.service')->{out} ], [],
        'systemd finds nothing wrong with it');
}
SKIP: {
    skip 'shellcheck is not installed', 1 unless has('shellcheck');
    run($tree, 'shellcheck -s sh packaging/debian/systemd-memcached-wrapper packaging/debian/tests/service packaging/debian/tests/tls '
            . 'packaging/debian/tests/headers packaging/alpine/memcached.pre-install tools/vendor tools/version-m4 tools/fill-version');
}

my @SHARED = qw(usr/bin/damemtop usr/bin/memcached usr/bin/memcached-tool usr/include/memcached/protocol_binary.h usr/include/memcached/xxhash.h);
SKIP: {
    skip 'the tools of Debian or libraries are not installed', 4 unless has('dpkg-buildpackage') && has('dh') && $LIBRARIES;
    rename "$tree/packaging/debian", "$tree/debian";
    run($tree, 'DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b -d', %env);
    my ($package) = glob "$tree/../memcached_*.deb";
    run($tree, "dpkg -x '$package' '$dir/deb' && dpkg -e '$package' '$dir/deb/DEBIAN'");
    is_deeply([ grep { !m{^usr/share/(?:doc|lintian)/|^DEBIAN/} } files_below("$dir/deb") ], [ sort @SHARED, qw(etc/default/memcached
            etc/init.d/memcached etc/memcached.conf lib/systemd/system/memcached.service usr/lib/sysusers.d/memcached.conf
            usr/lib/tmpfiles.d/memcached.conf usr/share/man/man1/damemtop.1.gz usr/share/man/man1/memcached-tool.1.gz
            usr/share/man/man1/memcached.1.gz usr/share/memcached/scripts/damemtop usr/share/memcached/scripts/damemtop.yaml
            usr/share/memcached/scripts/memcached-tool usr/share/memcached/scripts/start-memcached
            usr/share/memcached/scripts/systemd-memcached-wrapper) ], 'the package for Debian has these files');
    my @documents = qw(NEWS.gz README.damemtop README.md.gz changelog.Debian.gz changelog.gz copyright protocol.txt.gz tls.txt.gz);
    my %there = map { s/\.gz$//r => 1 } map { m{usr/share/doc/memcached/(.*)} ? $1 : () } files_below("$dir/deb");
    is_deeply([ grep { !$there{ s/\.gz$//r } } @documents ], [], 'and documents');
    like(slurp("$dir/deb/DEBIAN/conffiles"), qr{^/etc/memcached\.conf$}m, 'what is changed in /etc stays');
    like(slurp("$dir/deb/DEBIAN/postinst"), qr/systemd-sysusers.*memcached\.conf/s, 'its user is made');
    run($tree, 'debian/rules clean', %env);
}

SKIP: {
    skip 'rpmbuild or libraries are not installed', 3 unless has('rpmbuild') && $LIBRARIES;
    my $options = "--nodeps --without tests --define '_topdir $dir/rpm' --define 'debug_package %{nil}' --define '__strip /bin/true'";
    my $parsed = run($dir, "rpmspec -P '$tree/memcached.spec'");
    like($parsed, qr/^Name: +memcached$/m, 'rpm reads the spec file');
    run($dir, "rpmbuild -tb $options '@{[tarball()]}'", %env);
    my @packages = glob "$dir/rpm/RPMS/*/*.rpm";
    is(@packages, 2, 'which makes two packages');
    # Fedora compresses manual pages, Debian's rpm does not.
    my @listed = map { chomp; s{^/}{}r =~ s{\.1\.gz$}{.1}r } grep { !m{/doc/|/licenses/|\.build-id} } map { `rpm -qlp '$_' 2>/dev/null` } @packages;
    is_deeply([ grep { !m{/man1?$} && !m{memcached/?$} || m{bin/|sysconfig/} } sort @listed ], [ sort @SHARED,
        qw(etc/sysconfig/memcached usr/lib/systemd/system/memcached.service usr/lib/systemd/system/memcached@.service
            usr/lib/sysusers.d/memcached.conf), (map { "usr/share/man/man1/$_.1" } qw(damemtop memcached memcached-tool)) ],
        'with these files');
}

# Alpine's is read by a shell, as abuild does.
my $apk = run($tree, q(. packaging/alpine/APKBUILD && echo "$pkgname $pkgver" && for step in build check package tool; do command -v $step; done; ls $install >/dev/null 2>&1; echo $source));
like($apk, qr/^memcached \d+\.\d+\.\d+\S*\nbuild\ncheck\npackage\ntool\nmemcached-\S+\.tar\.gz memcached\.initd memcached\.confd$/m, 'a shell reads the APKBUILD');
ok(-s "$tree/packaging/alpine/$_", "$_ is beside it") for qw(memcached.initd memcached.confd memcached.pre-install);

# All of them build the same rooms; Debian's has no file of passwords.
for my $recipe (qw(packaging/debian/rules packaging/alpine/APKBUILD packaging/container/Containerfile memcached.spec)) {
    my ($path) = grep { -e } "$tree/$recipe", "$tree/" . $recipe =~ s{^packaging/}{}r;
    my %switches = map { $_ => 1 } slurp($path) =~ /--enable-([\w-]+)/g;
    delete $switches{'sasl-pwdb'};
    is_deeply([ sort keys %switches ], [ qw(metrics-tls sasl seccomp tls) ], "the switches of $recipe");
}

done_testing;
