package TestCerts;

# Certificates for the TLS tests, made with openssl(1) once for a build directory, in its t/certs.
#
#   my $dir = TestCerts::ensure();         # "$dir/server.crt" …
#
# From the command line: perl -It/lib -MTestCerts -e 'TestCerts::ensure()'. What is there:
#
#   ca.crt              the authority that servers and clients of the tests trust
#   foreign-ca.crt      one that they do not
#   server.crt .key     the servers' (P-256); server.der the key as DER
#   server2.crt .key    another pair of the same authority
#   rsa.crt .key        a pair with an RSA key; rsa-locked.key the key behind a pass phrase
#   chain.crt .key      a pair under an intermediate authority, whose certificate follows in the file
#   expired.crt .key    a server's pair that ran out
#   future.crt .key     a server's pair that is not valid yet
#   client.crt .key     a client's; also client-expired, client-future, client-foreign
#   named.crt .key      a client's with names of each type: CN workload, DNS:web-7.cache.example,
#                       URI:spiffe://corp/ns/prod/sa/web, EMAIL:joe@corp.example
#   revoked.crt .key    a client's that the authority has revoked, says crl.pem
#   crl.pem             the authority's revocation list; crl-before.pem one in which nobody is
#
# `t/server_crt.pem` and `t/server_key.pem` beside the directory are copies of the first pair.

use strict;
use warnings;
use Cwd qw(getcwd abs_path);
use Fcntl qw(:flock);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use POSIX qw(strftime);

my $FORMAT = 3;    # to be raised when what is made here changes
my $known;

sub directory {
    my $build = abs_path($ENV{MEMCACHED_BUILDDIR} || getcwd());
    return "$build/t/certs";
}

# The directory, filled. Tests that run at the same time wait for the one that makes the files.
sub ensure {
    return $known if $known;
    my $dir = directory();
    make_path($dir);
    if (!-e "$dir/done.$FORMAT" || -M "$dir/done.$FORMAT" > 20) {
        open my $lock, '>>', "$dir/lock" or die "$dir/lock: $!";
        flock $lock, LOCK_EX or die "$dir/lock: $!";
        make($dir) if !-e "$dir/done.$FORMAT" || -M "$dir/done.$FORMAT" > 20;
    }
    return $known = $dir;
}

sub openssl {
    my (@args) = @_;
    my $text = do {
        open my $pipe, '-|', "@{[ map { quotemeta_shell($_) } 'openssl', @args ]} 2>&1" or die "openssl: $!";
        local $/;
        my $output = <$pipe>;
        close $pipe or die "openssl @args failed:\n$output";
        $output;
    };
    return $text;
}

sub quotemeta_shell { my ($word) = @_; $word =~ s/'/'\\''/g; return "'$word'" }

sub write_file {
    my ($path, @text) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file @text;
    close $file or die "$path: $!";
}

sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar <$file>;
}

# The certificate of that name as IO::Socket::SSL's arguments; 'none' for none.
sub client_pair {
    my ($name) = @_;
    my $dir = ensure();
    return $name eq 'none' ? () : (SSL_cert_file => "$dir/$name.crt", SSL_key_file => "$dir/$name.key");
}

# Validity as openssl-ca writes it, `$days` from now.
sub day { my ($days) = @_; return strftime('%Y%m%d%H%M%SZ', gmtime(time + $days * 86_400)) }

sub make {
    my ($dir) = @_;
    my $work = "$dir/work";
    remove_tree($work);
    make_path($work);

    my $key = sub {
        my ($name, $kind) = @_;
        openssl('genpkey', '-out', "$dir/$name.key",
            $kind eq 'rsa' ? ('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048')
            : ('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'));
    };

    # One openssl-ca configuration an authority; the authority signs itself when it has no issuer.
    my $issue = sub {
        my ($name, %want) = @_;
        my $issuer = $want{issuer} // $name;
        my $home = "$work/$issuer";
        make_path($home);
        write_file("$home/index.txt", '') unless -e "$home/index.txt";
        write_file("$home/index.txt.attr", "unique_subject = no\n");
        write_file("$home/serial", "1000\n") unless -e "$home/serial";
        write_file("$home/crlnumber", "01\n") unless -e "$home/crlnumber";
        write_file("$home/$name.cnf", <<"END");
[ca]
default_ca = authority
[authority]
database = $home/index.txt
serial = $home/serial
crlnumber = $home/crlnumber
new_certs_dir = $home
default_md = sha256
policy = policy
x509_extensions = extensions
email_in_dn = no
[policy]
commonName = supplied
organizationName = optional
[req]
distinguished_name = subject
prompt = no
[subject]
O = memcached tests
CN = $want{cn}
[extensions]
subjectKeyIdentifier = hash
@{[ $want{authority} ? "basicConstraints = critical,CA:true\nkeyUsage = critical,keyCertSign,cRLSign"
    : "basicConstraints = CA:false\nsubjectAltName = " . ($want{names} // "DNS:localhost,DNS:$want{cn},IP:127.0.0.1,IP:::1") ]}
END
        $key->($name, $want{kind} // 'ec');
        openssl('req', '-new', '-config', "$home/$name.cnf", '-key', "$dir/$name.key", '-out', "$home/$name.csr");
        openssl('ca', '-batch', '-notext', '-config', "$home/$name.cnf", '-in', "$home/$name.csr", '-out', "$dir/$name.crt",
            '-startdate', day($want{from} // -1), '-enddate', day($want{to} // 30),
            $want{issuer} ? ('-cert', "$dir/$issuer.crt", '-keyfile', "$dir/$issuer.key")
            : ('-selfsign', '-keyfile', "$dir/$name.key"));
    };

    $issue->('ca', cn => 'tests CA', authority => 1);
    $issue->('foreign-ca', cn => 'foreign CA', authority => 1);
    $issue->('middle-ca', cn => 'middle CA', authority => 1, issuer => 'ca');
    $issue->('server', cn => 'localhost', issuer => 'ca');
    $issue->('server2', cn => 'second.localhost', issuer => 'ca');
    $issue->('rsa', cn => 'rsa.localhost', issuer => 'ca', kind => 'rsa');
    $issue->('chain', cn => 'chain.localhost', issuer => 'middle-ca');
    $issue->('expired', cn => 'expired.localhost', issuer => 'ca', from => -20, to => -2);
    $issue->('future', cn => 'future.localhost', issuer => 'ca', from => 10, to => 20);
    $issue->('client', cn => 'client one', issuer => 'ca');
    $issue->('client-expired', cn => 'client expired', issuer => 'ca', from => -20, to => -2);
    $issue->('client-future', cn => 'client future', issuer => 'ca', from => 10, to => 20);
    $issue->('client-foreign', cn => 'client foreign', issuer => 'foreign-ca');
    $issue->('named', cn => 'workload', issuer => 'ca',
        names => 'DNS:web-7.cache.example,URI:spiffe://corp/ns/prod/sa/web,email:joe@corp.example');
    $issue->('revoked', cn => 'client revoked', issuer => 'ca');
    my @authority = ('ca', '-config', "$work/ca/ca.cnf", '-cert', "$dir/ca.crt", '-keyfile', "$dir/ca.key");
    openssl(@authority, '-gencrl', '-crldays', 30, '-out', "$dir/crl-before.pem");
    openssl(@authority, '-revoke', "$dir/revoked.crt");
    openssl(@authority, '-gencrl', '-crldays', 30, '-out', "$dir/crl.pem");
    write_file("$dir/chain.crt", read_file("$dir/chain.crt") . read_file("$dir/middle-ca.crt"));
    openssl('pkey', '-in', "$dir/server.key", '-outform', 'DER', '-out', "$dir/server.der");
    openssl('pkey', '-in', "$dir/rsa.key", '-aes128', '-passout', 'pass:secret', '-out', "$dir/rsa-locked.key");
    copy("$dir/server.crt", "$dir/../server_crt.pem") or die "server_crt.pem: $!";
    copy("$dir/server.key", "$dir/../server_key.pem") or die "server_key.pem: $!";
    remove_tree($work);
    unlink glob "$dir/done.*";
    write_file("$dir/done.$FORMAT", '');
}

1;
