#!/usr/bin/perl
# Goal: the recipes of distributions work on the tarball as they are: their edits, switches, targets and the files they take.
# Method: each recipe's steps, one after the other, in a fresh copy, with a cargo that compiles nothing; doc/packaging.md has the
# table. A line `run:` must succeed, `same:` names a file that its command must not change, `files:` what must be there.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Packaging qw(HERE copy run sh slurp scratch files_below calls);

my $SASL = -e '/usr/include/sasl/sasl.h';
my $SECCOMP = -e '/usr/include/seccomp.h';
my $DEBHELPER = '--build=x86_64-linux-gnu --prefix=/usr --includedir=\${prefix}/include --mandir=\${prefix}/share/man '
    . '--infodir=\${prefix}/share/info --sysconfdir=/etc --localstatedir=/var --disable-option-checking --disable-silent-rules '
    . '--libdir=\${prefix}/lib/x86_64-linux-gnu --runstatedir=/run --disable-maintainer-mode --disable-dependency-tracking';
my $RPM = '--build=x86_64-redhat-linux-gnu --host=x86_64-redhat-linux-gnu --program-prefix= --disable-dependency-tracking --prefix=/usr '
    . '--exec-prefix=/usr --bindir=/usr/bin --sbindir=/usr/sbin --sysconfdir=/etc --datadir=/usr/share --includedir=/usr/include '
    . '--libdir=/usr/lib64 --libexecdir=/usr/libexec --localstatedir=/var --sharedstatedir=/var/lib --mandir=/usr/share/man --infodir=/usr/share/info';
my @DOCUMENTS = qw(AUTHORS ChangeLog COPYING NEWS README.md doc/CONTRIBUTORS doc/protocol.txt);
my @STANDARD = qw(usr/bin/memcached usr/include/memcached/protocol_binary.h usr/include/memcached/xxhash.h usr/share/man/man1/memcached.1);

my @RECIPES = (
    [ 'Debian 12 and unstable, Ubuntu', <<"END" ],
run: rm -f configure aclocal.m4 && autoreconf -f -i
configure: $DEBHELPER --enable-sasl --enable-tls --enable-proxy
features: tls,sasl
run: make -j2
run: rm -f t/whitespace.t t/proxy*
output: make -s -n --no-print-directory test VERBOSE=1 TESTSUITEFLAGS=--verbose
install: AM_UPDATE_INFO_DIR=no
files: NEWS README.md doc/protocol.txt scripts/README.damemtop doc/memcached.1 ChangeLog
run: for script in start-memcached memcached-tool damemtop damemtop.yaml; do install -D -m 0755 scripts/\$script there/usr/share/memcached/scripts/\$script; done
run: install -D scripts/memcached-init there/etc/init.d/memcached && install -D scripts/memcached.service there/lib/systemd/system/memcached.service
run: ! grep '##safer##' scripts/memcached.service
run: find . -name '*.orig' -o -name '*~' | xargs rm -f; make distclean
END
    [ "Docker's official image", <<"END" ],
configure: --build=x86_64-linux-gnu --enable-extstore --enable-proxy --enable-sasl --enable-sasl-pwdb --enable-tls
features: tls,sasl-pwdb
run: make -j 2
output: make -n test PARALLEL=2
install:
run: make clean
END
    [ 'openSUSE', <<"END" ],
run: autoreconf -fi
configure: $RPM --disable-coverage --enable-sasl --enable-tls --enable-seccomp
features: tls,sasl
run: make -j2
install:
run: sed -e 's:/etc/sysconfig/memcached:/etc/sysconfig/memcached:' scripts/memcached.service > /dev/null
run: install -D -m 0755 scripts/memcached-tool there/usr/bin/memcached-tool
run: install -D -m 0644 scripts/memcached-tool.1 there/usr/share/man/man1/memcached-tool.1
run: install -D -m 0755 scripts/damemtop there/usr/bin/damemtop
END
    [ 'Fedora, RHEL', <<"END" ],
configure: $RPM --enable-sasl --enable-sasl-pwdb --enable-tls
features: tls,sasl-pwdb
run: sed -i 's/-Werror/ /' Makefile
run: make -j2
install: INSTALL='install -p'
run: rm -f there/usr/bin/memcached-debug
run: install -Dp -m0755 scripts/memcached-tool there/usr/bin/memcached-tool && install -Dp -m0644 scripts/memcached-tool.1 there/usr/share/man/man1/memcached-tool.1
run: install -Dp -m0644 scripts/memcached.service there/usr/lib/systemd/system/memcached.service
files: @DOCUMENTS there/usr/include/memcached/protocol_binary.h
run: rm -f t/whitespace.t t/daemonize.t t/watcher.t t/expirations.t
output: make -n test
END
    [ 'Azure Linux', <<"END" ],
configure: $RPM --enable-sasl --enable-sasl-pwdb --enable-tls
features: tls,sasl-pwdb
run: make -j2
install: INSTALL='install -p'
files: @DOCUMENTS LICENSE.bipbuffer
END
    [ 'Alpine', <<"END" ],
configure: --build=x86_64-alpine-linux-musl --host=x86_64-alpine-linux-musl --prefix=/usr --mandir=/usr/share/man --enable-sasl --enable-sasl-pwdb --enable-seccomp --enable-extstore --enable-tls
features: tls,sasl-pwdb
run: make CFLAGS='-Os -flto=auto'
output: make -n check
install:
END
    [ 'Arch', <<"END" ],
same: scripts/memcached.service sed -i 's/^##safer##//' scripts/*.service
same: scripts/memcached\@.service sed -i 's/^##safer##//' scripts/*.service
run: ./autogen.sh
configure: --prefix=/usr --enable-seccomp
run: make
output: make -n test
install:
run: for page in memcached-tool.1; do install -Dm644 scripts/\$page there/usr/share/man/man1/\$page; done; install -Dm755 scripts/memcached-tool there/usr/bin/memcached-tool
run: install -Dm644 -t there/usr/lib/systemd/system scripts/*.service
files: LICENSE
END
    [ 'Gentoo', <<"END" ],
run: sed -i -e 's,-Werror,,g' configure.ac && autoreconf -fi
configure: --prefix=/usr --build=x86_64-pc-linux-gnu --host=x86_64-pc-linux-gnu --mandir=/usr/share/man --disable-docs --disable-werror --enable-tls --enable-extstore --disable-proxy --disable-sasl --disable-seccomp --cache-file=config.cache
features: tls
run: make -j2
run: make testapp memcached-debug CFLAGS=-O2
output: make -n test
install:
files: scripts/memcached-tool scripts/memcached.service NEWS ChangeLog AUTHORS README.md
END
    [ 'Nix', <<"END" ],
configure: --prefix=/nix/store/memcached ac_cv_c_endian=little
run: make -j2
END
    [ 'Homebrew', <<"END" ],
configure: --prefix=/usr --disable-coverage --enable-tls --disable-debug --disable-dependency-tracking --disable-silent-rules
features: tls
run: make install prefix=/usr DESTDIR=\$PWD/elsewhere
END
    [ 'Wolfi', <<"END" ],
configure: --build=x86_64-unknown-linux-gnu --host=x86_64-unknown-linux-gnu --prefix=/usr --sysconfdir=/etc --libdir=/usr/lib --mandir=/usr/share/man --infodir=/usr/share/info --localstatedir=/var --enable-sasl --enable-tls
features: tls,sasl
run: make -j2 V=1
install:
run: grep -rq 'server listening' src
END
    [ 'Void', <<"END" ],
configure: --prefix=/usr --sysconfdir=/etc --sbindir=/usr/bin --bindir=/usr/bin --mandir=/usr/share/man --infodir=/usr/share/info --localstatedir=/var --disable-silent-rules --enable-sasl --enable-seccomp
features: sasl
run: make -j2
output: make -n check
install:
END
);

my $STAND_IN = HERE . '/cargo';
for my $row (@RECIPES) {
    my ($name, $steps) = @$row;
    subtest $name => sub {
        plan skip_all => 'libsasl2 is not installed' if $steps =~ /--enable-sasl/ && !$SASL;
        my $tree = copy();
        my $notes = "$tree.calls";
        my %env = (CARGO => $STAND_IN, CARGO_CALLS => $notes, CARGO_HOME => undef);
        for (split /\n/, $steps) {
            my ($verb, $rest) = /^(\w+): *(.*)/;
            if ($verb eq 'run') { run($tree, $rest, %env) }
            elsif ($verb eq 'same') {
                my ($file, $edit) = split ' ', $rest, 2;
                my $before = slurp("$tree/$file");
                run($tree, $edit);
                is(slurp("$tree/$file"), $before, "$file stays as it is");
            }
            elsif ($verb eq 'configure') {
                my $run = sh($tree, "./configure $rest", %env);
                if ($rest =~ /--enable-seccomp/ && !$SECCOMP && $run->{status}) {
                    like($run->{out}, qr/error: .*libseccomp/, 'configure stops where libseccomp is missing, and says so');
                    return;
                }
                is($run->{status}, 0, "configure $rest") or diag $run->{out};
                my ($end) = $run->{out} =~ /^    ignored +(.*)$/m;
                for my $switch ($rest =~ /--enable-(?:proxy|extstore|dtrace)\b/g) { like($end, qr/$switch\b/, "$switch is told to be ignored") }
            }
            elsif ($verb eq 'features') { like(slurp("$tree/Makefile"), qr/^CARGO_FEATURES = --features \Q$rest\E/m, "features $rest") }
            elsif ($verb eq 'output') {
                my $out = run($tree, $rest, %env);
                like($out, qr/\S/, 'shows what it would do');
                unlike($out, qr/No rule to make target/, 'and can');
            }
            elsif ($verb eq 'install') {
                unlink $notes;
                run($tree, "make install DESTDIR='$tree/there' $rest", %env);
                is_deeply([ calls($notes) ], [], 'nothing is compiled to install it');
                my @got = files_below("$tree/there");
                s{^usr/local/}{usr/}, s{^usr/man/}{usr/share/man/} for @got;
                is_deeply([ sort @got ], \@STANDARD, 'four files are installed');
            }
            elsif ($verb eq 'files') { ok(-s "$tree/$_", "$_ is there") for split ' ', $rest }
            else { die "$name: what is $_\n" }
        }
    };
}

done_testing;
