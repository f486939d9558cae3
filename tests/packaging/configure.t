#!/usr/bin/perl
# Goal: configure takes every switch and variable that packagers pass, does what it says or stops and says why, and hands all of
# it to cargo.
# Method: configure of the tarball, many times, in folders of its own, and make with a cargo that only notes its words.

use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Packaging qw(HERE copy run sh slurp scratch write_program calls);

my $source = copy();
my $dir = scratch();
my $tried = 0;
my %STAND_IN = (CARGO => HERE . '/cargo', CARGO_HOME => undef);
# The compiler itself, not what rustup puts in its place, which looks for it below HOME.
chomp(my $RUSTC = `rustc --print sysroot`);
$RUSTC .= '/bin/rustc';

# configure in a folder of its own.
sub configure {
    my ($switches, %env) = @_;
    my $folder = "$dir/build" . ++$tried;
    mkdir $folder;
    my $run = sh($folder, "'$source/configure' $switches", %STAND_IN, %env);
    return { %$run, folder => $folder, makefile => slurp("$folder/Makefile") };
}
sub variable { my ($run, $name) = @_; my ($value) = $run->{makefile} =~ /^\Q$name\E = ?(.*)$/m; return $value // '' }
# How make calls cargo for the server.
sub call_of_make {
    my ($run, $words, %env) = @_;
    my $notes = "$run->{folder}/calls";
    unlink $notes;
    unlink "$run->{folder}/memcached";
    run($run->{folder}, "make $words", %env, CARGO_CALLS => $notes);
    my @calls = calls($notes);
    return $calls[0];
}

# switches that do their work
my ($sasl) = grep { -e "$_/sasl/sasl.h" } qw(/usr/include /usr/local/include);
for my $row (
    [ '', '' ],
    [ '--enable-tls', '--features tls' ],
    [ '--enable-tls --enable-metrics-tls', '--features tls,metrics-tls' ],
    [ '--disable-unix-socket', '--no-default-features' ],
    [ '--enable-large-client-flags', '--features large-client-flags' ],
    [ '--enable-tls --disable-unix-socket --enable-large-client-flags', '--no-default-features --features tls,large-client-flags' ],
    $sasl ? ([ '--enable-sasl', '--features sasl' ], [ '--enable-sasl-pwdb', '--features sasl-pwdb' ],
        [ '--enable-sasl --enable-sasl-pwdb --enable-tls', '--features tls,sasl-pwdb' ]) : (),
) {
    my ($switches, $features) = @$row;
    my $run = configure($switches);
    is($run->{status}, 0, "configure $switches") or diag $run->{out};
    is(variable($run, 'CARGO_FEATURES'), $features, 'has the features');
    unlike($run->{out}, qr/WARNING/, 'and no doubts');
    like($run->{out}, qr/^    ignored +\(nothing\)$/m, 'nor anything that it ignores');
}
is(variable(configure('--enable-static'), 'EXTRA_RUSTFLAGS') =~ s/^ //r, '-Ctarget-feature=+crt-static', '--enable-static');
like(variable(configure('--enable-static'), 'CARGO_TARGET_FLAGS'), qr/^--target \S+$/, 'names a target, so that build scripts are spared');
is(variable(configure('--enable-werror'), 'EXTRA_RUSTFLAGS') =~ s/^ //r, '-Dwarnings', '--enable-werror');
for my $switches ('--enable-64bit', '--disable-coverage', '--enable-coverage', '--disable-docs', '--disable-extstore',
    '--disable-proxy', '--disable-dtrace', '--disable-asan')
{
    my $run = configure($switches);
    is($run->{status}, 0, "configure $switches");
    unlike($run->{out}, qr/WARNING/, 'has no doubts');
}

# switches for what is not there
for my $name (qw(extstore proxy proxy-uring dtrace asan)) {
    my $run = configure("--enable-$name");
    is($run->{status}, 0, "--enable-$name is taken");
    is(() = $run->{out} =~ /configure: WARNING: .*--enable-$name is ignored/g, 1, 'with one warning');
    like($run->{out}, qr/^    ignored +--enable-$name$/m, 'and told again at the end');
    is(variable($run, 'CARGO_FEATURES'), '', 'and does nothing');
}
like(configure('--enable-proxy --enable-extstore --enable-tls')->{out}, qr/^    ignored +--enable-extstore --enable-proxy$/m,
    'several are one list');
my $unknown = configure('--enable-nonsense --with-nonsense=1');
is($unknown->{status}, 0, 'unknown switches are taken');
like($unknown->{out}, qr/WARNING: unrecognized options: --enable-nonsense, --with-nonsense/, 'with a warning');
my $refused = configure('--enable-proxy-tls');
is($refused->{status}, 1, '--enable-proxy-tls alone stops');
like($refused->{out}, qr/--enable-proxy-tls requires --enable-tls/, 'and says why');
$refused = configure('--enable-metrics-tls');
is($refused->{status}, 1, '--enable-metrics-tls alone stops');
like($refused->{out}, qr/--enable-metrics-tls requires --enable-tls/, 'and says why');
is(configure('--enable-proxy-tls --enable-tls')->{status}, 0, 'but not with --enable-tls');

# what packagers pass to every configure
my $everything = configure('--build=x86_64-pc-linux-gnu --host=x86_64-pc-linux-gnu --prefix=/usr --exec-prefix=/usr --bindir=/usr/bin '
        . '--sbindir=/usr/sbin --libdir=/usr/lib64 --includedir=/usr/include --mandir=/usr/share/man --datarootdir=/usr/share '
        . '--sysconfdir=/etc --localstatedir=/var --infodir=/usr/share/info --libexecdir=/usr/libexec --docdir=/usr/share/doc/memcached '
        . '--program-prefix= --disable-silent-rules --disable-dependency-tracking --disable-maintainer-mode --disable-option-checking '
        . '--cache-file=config.cache -q ac_cv_c_endian=little', HOME => '/dev/null/nowhere', RUSTC => $RUSTC);
is($everything->{status}, 0, 'all that packagers pass is taken, with HOME pointing nowhere') or diag $everything->{out};
is(variable($everything, 'CARGO_TARGET_FLAGS'), '', '--build and --host that are the same are no cross build');

# tools and libraries that are missing or too old: what, and which package has it
my $pkg_config = write_program("$dir/pkg-config", <<'END');
#!/bin/sh
case "$*" in
    *--version) echo 1.8 ;;
    '--modversion libevent'*) test -n "$LIBEVENT_SAYS" && echo "$LIBEVENT_SAYS" ;;
    '--exists libevent_extra') test -z "$NO_LIBEVENT_EXTRA" ;;
    '--exists openssl') test -n "$OPENSSL_SAYS" ;;
    '--modversion openssl') echo "$OPENSSL_SAYS" ;;
    '--atleast-version=1.1.0 openssl') test "$OPENSSL_SAYS" != 1.0.2 ;;
    *) exit 1 ;;
esac
END
my $no_compiler = write_program("$dir/no-compiler", "#!/bin/sh\necho 'crt1.o is missing' >&2\nexit 1\n");
my $rustc = write_program("$dir/rustc", <<'END');
#!/bin/sh
case "$*" in
    --version) echo "rustc ${RUSTC_SAYS:-1.85.0} (0000000 2025-01-01)" ;;
    -vV) echo "host: ${RUSTC_HOST:-x86_64-unknown-linux-gnu}" ;;
    *target-libdir*) echo "${RUSTC_LIBRARY:-/}" ;;
esac
END
mkdir "$dir/bin";
# A PATH with all that configure needs of a system but for compilers.
for my $tool (qw(sh sed grep egrep awk cat rm mv cp ln ls mkdir rmdir expr uname
    tr sort chmod test sleep touch install make env dirname basename cmp diff find head printf echo date tar as ld))
{
    my ($path) = grep { -x } map { "$_/$tool" } split /:/, $ENV{PATH};
    symlink $path, "$dir/bin/$tool" if $path;
}
my %FAULTS = (
    'cargo that is too old' => [ { CARGO_SAYS => '1.84.1' }, '', qr/cargo 1\.84\.1 is too old, 1\.85 or later is required/, qw(cargo-web cargo) ],
    'rustc that is too old' => [ { RUSTC => $rustc, RUSTC_SAYS => '1.63.0' }, '', qr/rustc 1\.63\.0 is too old, 1\.85/, qw(rustc-web rust) ],
    'cargo that does not run' => [ { CARGO => '/dev/null/nowhere/cargo' }, '', qr/--version does not work/, qw(cargo-web cargo) ],
    'no cargo' => [ { CARGO => undef, PATH => "$dir/bin", HOME => '/dev/null/nowhere', CC => '/usr/bin/cc', PKG_CONFIG => $pkg_config }, '',
        qr/cargo is required, 1\.85 or later/, qw(cargo-web cargo) ],
    'no rustc' => [ { PATH => "$dir/bin", HOME => '/dev/null/nowhere', CC => '/usr/bin/cc', PKG_CONFIG => $pkg_config }, '',
        qr/rustc is required, 1\.85 or later/, qw(rustc-web rust) ],
    'no C compiler' => [ { PATH => "$dir/bin" }, '', qr/a C compiler is required/, qw(gcc libc6-dev musl-dev) ],
    'a C compiler without a C library' => [ { CC => $no_compiler }, '', qr/makes no programs/, qw(gcc libc6-dev musl-dev) ],
    'no pkg-config' => [ { PATH => "$dir/bin", CC => '/usr/bin/cc' }, '', qr/pkg-config is required/, qw(pkgconf pkgconf-pkg-config) ],
    'no libevent' => [ { PKG_CONFIG => $pkg_config }, '', qr/libevent is required, 2\.1 or later; --with-libevent=DIR/, qw(libevent-dev libevent-devel) ],
    'libevent 1.4' => [ { PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '1.4.14' }, '', qr/libevent2 is required/, qw(libevent-dev libevent-devel) ],
    'libevent without its second half' => [ { PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '2.1.12', NO_LIBEVENT_EXTRA => 1 }, '',
        qr/libevent_extra is required beside libevent_core/, qw(libevent-dev libevent-devel) ],
    'no OpenSSL' => [ { PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '2.1.12' }, '--enable-tls', qr/libssl is required.*at least 1\.1\.0/,
        qw(libssl-dev openssl-devel openssl-dev) ],
    'OpenSSL 1.0.2' => [ { PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '2.1.12', OPENSSL_SAYS => '1.0.2' }, '--enable-tls',
        qr/at least 1\.1\.0: 1\.0\.2 is too old/, qw(libssl-dev openssl-devel openssl-dev) ],
    'no libevent_openssl' => [ { PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '2.1.12', OPENSSL_SAYS => '3.0.0' }, '--enable-tls --enable-metrics-tls',
        qr/--enable-metrics-tls requires libevent_openssl/, qw(libevent-dev libevent-devel) ],
    'no libsasl2' => [ { CPPFLAGS => '-Dsasl_server_init=nothing -include sasl/missing.h' }, '--enable-sasl', qr/makes no programs|sasl.* is required for --enable-sasl/ ],
    'no standard library of the target' => [ { RUSTC => $rustc, RUSTC_LIBRARY => '/dev/null/nowhere', RUST_TARGET => 'riscv64gc-unknown-linux-gnu' }, '',
        qr/has no standard library for riscv64gc-unknown-linux-gnu/, qw(libstd-rust-dev rust-std-static) ],
    'no compiler of the target' => [ { RUSTC => $rustc }, '--host=loongarch64-linux-gnu', qr/a C compiler for loongarch64-linux-gnu is required/,
        qw(gcc-loongarch64-linux-gnu) ],
    'a target that nobody knows' => [ { RUSTC => $rustc, CC => '/usr/bin/cc' }, '--host=vax-dec-ultrix', qr/no Rust target is known for .*: set RUST_TARGET/ ],
    'a 32-bit machine with --enable-64bit' => [ {}, '--build=i686-linux-gnu --host=i686-linux-gnu --enable-64bit', qr/--enable-64bit does not go with/ ],
);
for my $name (sort keys %FAULTS) {
    my ($env, $switches, $message, @packages) = @{ $FAULTS{$name} };
    my $run = configure($switches, %$env);
    is($run->{status}, 1, "$name: configure stops");
    my ($error) = $run->{out} =~ /^configure: error: (.*)$/m;
    like($error // $run->{out}, $message, 'and says why');
    like($error // '', qr/\b\Q$_\E\b/, "and where it is: $_") for @packages;
    ok(!$run->{makefile}, 'and makes nothing');
}

# libraries in other places
for my $lib (qw(lib lib64)) {
    my $place = "$dir/event-$lib";
    mkdir $_ for $place, "$place/$lib", "$place/$lib/pkgconfig";
    write_program("$place/$lib/pkgconfig/libevent_core.pc", "libdir=$place/$lib\nName: libevent_core\nDescription: x\nVersion: 2.1.99\nLibs: -L\${libdir} -levent_core\n");
    my $elsewhere = configure("--with-libevent='$place'");
    like($elsewhere->{out}, qr/checking for libevent\.\.\. 2\.1\.99 in \Q$place\E\/$lib$/m, "--with-libevent=DIR looks into DIR/$lib");
    is(variable($elsewhere, 'LIBEVENT_RPATH'), "-Wl,-rpath,$place/$lib", 'programs will find it');
    like(variable($elsewhere, 'CARGO_ENV'), qr/PKG_CONFIG_PATH='\Q$place\E/, 'and so will cargo');
}
my $nowhere = configure("--with-libevent='$dir/nowhere' --with-libssl='$dir/nowhere' --enable-tls");
is($nowhere->{status}, 0, 'a DIR that is not there is passed over');
like($nowhere->{out}, qr/WARNING: --with-libevent: there is no folder/, 'with a warning');
mkdir $_ for "$dir/ssl", "$dir/ssl/include", "$dir/ssl/include/openssl";
write_program("$dir/ssl/include/openssl/ssl.h", '');
my %no_ssl = (PKG_CONFIG => $pkg_config, LIBEVENT_SAYS => '2.1.12');
like(variable(configure("--enable-tls --with-libssl='$dir/ssl'", %no_ssl), 'CARGO_ENV'), qr/OPENSSL_DIR='\Q$dir\E\/ssl'/,
    '--with-libssl=DIR is for systems whose pkg-config knows no OpenSSL');
unlike(variable(configure("--enable-tls --with-libssl='$dir/ssl'", %no_ssl, OPENSSL_SAYS => '3.0.0'), 'CARGO_ENV'), qr/OPENSSL_DIR/, 'and for no others');
like(variable(configure('--enable-tls', %no_ssl, OPENSSL_CFLAGS => '-I/opt/ssl/include', OPENSSL_LIBS => '-L/opt/ssl/lib -lssl -lcrypto'),
        'CARGO_ENV'), qr{OPENSSL_LIB_DIR='/opt/ssl/lib' OPENSSL_INCLUDE_DIR='/opt/ssl/include'}, 'OPENSSL_CFLAGS and OPENSSL_LIBS go before both');
like(variable(configure('--enable-tls'), 'CARGO_ENV'), qr/OPENSSL_NO_VENDOR='1'/, 'no crate may bring an OpenSSL of its own');

# variables on their way to cargo
my $plain = configure('--enable-tls');
my $call = call_of_make($plain, 'memcached');
like($call->{line}, qr/^cargo build --locked --offline /, 'make builds without network') or diag explain $call;
like($call->{line}, qr/--config source\.vendored-sources\.directory="vendor"/, 'from the crates of the tarball');
like($call->{line}, qr/--features tls --release --bin memcached$/, 'what was configured');
like($call->{line}, qr/--config build\.rustflags=\["--remap-path-prefix=/, 'without telling where');
is($call->{env}{RUSTFLAGS}, undef, 'RUSTFLAGS stays as it was');
is($call->{env}{CARGO_HOME}, "$plain->{folder}/cargo-home", 'and writes nowhere else');
is($call->{env}{CARGO_TARGET_DIR}, "$plain->{folder}/target", 'in the build folder');
is(run($plain->{folder}, 'make memcached', CARGO_CALLS => "$dir/none") =~ /CARGO/ ? 1 : 0, 0, 'a second make calls no cargo');
is(-e "$dir/none" ? 1 : 0, 0, 'not at all');
unlike($call->{line}, qr/--verbose/, 'without V=1 it is silent');
like(call_of_make($plain, 'memcached V=1')->{line}, qr/--verbose/, 'V=1 shows all');
like(call_of_make($plain, '-s memcached')->{line}, qr/--quiet/, 'make -s shows nothing');
like(call_of_make($plain, 'memcached CARGO_BUILD_FLAGS=--future-incompat-report')->{line}, qr/ --future-incompat-report /, 'CARGO_BUILD_FLAGS are passed on');
like(call_of_make($plain, 'memcached LDFLAGS="-Wl,-z,now -Wl,--as-needed" LIBS=-lm')->{env}{MEMCACHED_LDFLAGS}, qr/^-Wl,-z,now -Wl,--as-needed -lm$/,
    'LDFLAGS of make reach the linker');
my $flags = call_of_make($plain, 'memcached RUSTFLAGS="-C target-cpu=native"');
like($flags->{env}{RUSTFLAGS}, qr/^-C target-cpu=native --remap-path-prefix=/, 'RUSTFLAGS of make are kept, with more behind them');
unlike($flags->{line}, qr/build\.rustflags/, 'and not set twice');
my $given = configure('--enable-tls', RUSTFLAGS => '-C debuginfo=1', CFLAGS => '-O3 -fstack-clash-protection', LDFLAGS => '-Wl,-O1', CC => 'cc -std=gnu11',
    CARGO_HOME => "$dir/crates");
my $recorded = call_of_make($given, 'memcached', RUSTFLAGS => undef, CFLAGS => undef, LDFLAGS => undef, CC => undef);
like($recorded->{env}{RUSTFLAGS}, qr/^-C debuginfo=1 /, 'RUSTFLAGS of configure are remembered');
is($recorded->{env}{CFLAGS}, '-O3 -fstack-clash-protection', 'and CFLAGS');
is($recorded->{env}{CC}, 'cc -std=gnu11', 'and CC');
is($recorded->{env}{MEMCACHED_LDFLAGS}, '-Wl,-O1', 'and LDFLAGS');
is($recorded->{env}{CARGO_HOME}, "$dir/crates", 'and CARGO_HOME');
like($recorded->{env}{RUSTFLAGS}, qr{--remap-path-prefix=\Q$dir\E/crates=/usr/src/cargo}, 'whose place is not told');

# programs tell no folder, whichever lies in the other
mkdir "$source/inner";
my $inner = sh("$source/inner", '../configure', %STAND_IN);
is($inner->{status}, 0, 'a build folder in the sources') or diag $inner->{out};
is(slurp("$source/inner/Makefile") =~ /^OWN_FOLDERS = (.*)$/m ? $1 : '', "$source $source/inner", 'is the inner one');

# cross builds
my @CROSS = (
    [ 'aarch64-linux-gnu', 'aarch64-unknown-linux-gnu' ], [ 'x86_64-linux-gnu', 'x86_64-unknown-linux-gnu' ],
    [ 'powerpc64le-linux-gnu', 'powerpc64le-unknown-linux-gnu' ], [ 's390x-linux-gnu', 's390x-unknown-linux-gnu' ],
    [ 'loongarch64-linux-gnu', 'loongarch64-unknown-linux-gnu' ], [ 'i686-linux-gnu', 'i686-unknown-linux-gnu' ],
    [ 'i586-linux-gnu', 'i686-unknown-linux-gnu' ], [ 'riscv64-linux-gnu', 'riscv64gc-unknown-linux-gnu' ],
    [ 'arm-linux-gnueabihf', 'armv7-unknown-linux-gnueabihf' ], [ 'arm-linux-gnueabi', 'armv5te-unknown-linux-gnueabi' ],
    [ 'mips64el-linux-gnuabi64', 'mips64el-unknown-linux-gnuabi64' ], [ 'aarch64-alpine-linux-musl', 'aarch64-unknown-linux-musl' ],
);
mkdir "$dir/cross";
for my $row (@CROSS) {
    my ($host, $target) = @$row;
    write_program("$dir/cross/$host-$_", qq(#!/bin/sh\nexec $_ "\$@"\n)) for qw(gcc pkg-config);
    my $run = configure("--build=sparc64-unknown-linux-gnu --host=$host --enable-tls", PATH => "$dir/cross:$ENV{PATH}", RUSTC => $rustc);
    is($run->{status}, 0, "configure --host=$host") or diag $run->{out};
    my $call = call_of_make($run, 'memcached', PATH => "$dir/cross:$ENV{PATH}") // { line => '', env => {} };
    like($call->{line}, qr/ --target \Q$target\E /, "builds for $target");
    my $name = uc $target =~ tr/-/_/r;
    is($call->{env}{"CARGO_TARGET_${name}_LINKER"}, "$host-gcc", 'with the linker');
    is($call->{env}{TARGET_CC}, "$host-gcc", 'and the C compiler of the host');
    is($call->{env}{CC}, undef, 'build scripts have their own');
    is($call->{env}{PKG_CONFIG}, "$dir/cross/$host-pkg-config", 'its pkg-config');
    is($call->{env}{PKG_CONFIG_ALLOW_CROSS}, 1, 'which may be used');
    like(slurp("$run->{folder}/memcached"), qr/memcached of a stand-in/, 'and the program is found');
}
my $named = configure('--build=sparc64-unknown-linux-gnu --host=aarch64-linux-gnu', PATH => "$dir/cross:$ENV{PATH}", RUSTC => $rustc,
    RUST_TARGET => 'aarch64-unknown-linux-gnu_ilp32');
is(variable($named, 'CARGO_TARGET_FLAGS'), '--target aarch64-unknown-linux-gnu_ilp32', 'RUST_TARGET goes before the table');

done_testing;
