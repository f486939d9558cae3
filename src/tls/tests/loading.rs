//! Contexts from files: every refusal with its line, and refreshes that succeed as a whole or change nothing.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::ssl::SslVersion;

use super::{
    Client, Identity, KeyType, Served, Site, Visit, authority, connected, issue, issue_between,
    visit,
};
use crate::clock::RelTime;
use crate::tls::{Class, Current, TlsError};

/// Checks the line that a load or refresh gives: its beginning to the letter, then OpenSSL's reason.
#[track_caller]
fn assert_line(line: &str, start: &str, reasons: &[&str]) {
    let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{line}"));
    assert!(rest.starts_with("error:"), "{line}");
    assert!(!line.contains('\n'), "{line}");
    if !reasons.is_empty() {
        assert!(
            reasons.iter().any(|reason| rest.ends_with(reason)),
            "{line}"
        );
    }
}

#[test]
fn a_missing_option_is_named_null() {
    let mut site = Site::new();
    site.settings.key = None;
    assert_line(&site.refusal(), "Error loading the key: (null) : ", &[]);
    site.settings.chain_cert = None;
    let start = "Error loading the certificate chain: (null) : ";
    assert_line(&site.refusal(), start, &[]);
}

#[test]
fn a_bad_chain_file_is_refused() {
    let mut site = Site::new();
    let server = issue("localhost", &site.authority, KeyType::Ec);
    let pem = server.chain_pem();
    let cases = [
        (site.folder.path("absent"), "No such file or directory"),
        (site.folder.path(""), ""),
        (site.folder.put("empty", ""), "no start line"),
        (
            site.folder.put("key only", server.key_pem()),
            "no start line",
        ),
        (site.folder.put("cut", &pem[..pem.len() / 2]), ""),
        (String::new(), ""),
    ];
    for (path, reason) in cases {
        site.settings.chain_cert = Some(path.clone());
        let start = format!("Error loading the certificate chain: {path} : ");
        assert_line(&site.refusal(), &start, &[reason]);
    }
}

#[test]
fn a_bad_key_file_is_refused() {
    let mut site = Site::new();
    let server = issue("localhost", &site.authority, KeyType::Ec);
    let stranger = issue("localhost", &site.authority, KeyType::Ec);
    site.install(&server);
    let cases = [
        (site.folder.path("absent"), "No such file or directory"),
        (site.folder.path(""), ""),
        (site.folder.put("empty", ""), ""),
        (site.folder.put("no key", server.chain_pem()), ""),
        (
            site.folder.put("foreign", stranger.key_pem()),
            ":key values mismatch",
        ),
    ];
    for (path, reason) in cases {
        site.settings.key = Some(path.clone());
        let start = format!("Error loading the key: {path} : ");
        assert_line(&site.refusal(), &start, &[reason]);
    }
}

#[test]
fn a_key_of_another_type_does_not_validate() {
    for (certificate, key) in [(KeyType::Rsa, KeyType::Ec), (KeyType::Ec, KeyType::Rsa)] {
        let site = Site::with_key(certificate);
        let other = issue("localhost", &site.authority, key);
        site.folder.put("server.key", other.key_pem());
        assert_line(
            &site.refusal(),
            "Error validating the certificate: ",
            &[":no certificate assigned"],
        );
    }
}

#[test]
fn key_formats_are_pem_and_der() {
    let mut site = Site::new();
    let path = site.settings.key.clone().unwrap();
    for format in [0, 3, 4, -1, i32::MAX] {
        site.settings.key_format = format;
        assert_line(
            &site.refusal(),
            &format!("Error loading the key: {path} : "),
            &[":bad ssl filetype"],
        );
    }
    site.settings.key_format = 2;
    assert_line(
        &site.refusal(),
        &format!("Error loading the key: {path} : "),
        &[],
    );
    let server = issue("localhost", &site.authority, KeyType::Ec);
    site.install(&server);
    site.folder
        .put("server.key", server.key.private_key_to_der().unwrap());
    site.load();
    site.settings.key_format = 1;
    assert_line(
        &site.refusal(),
        &format!("Error loading the key: {path} : "),
        &[],
    );
}

#[test]
fn chain_and_key_may_share_a_file() {
    let mut site = Site::new();
    let server = issue("localhost", &site.authority, KeyType::Rsa);
    let mut pem = server.chain_pem();
    pem.extend(site.authority.chain_pem());
    pem.extend(server.key_pem());
    let path = site.folder.put("all.pem", pem);
    site.settings.chain_cert = Some(path.clone());
    site.settings.key = Some(path);
    let context = site.load().get();
    let (_served, stream) = connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    let chain = stream.ssl().peer_cert_chain().unwrap();
    assert_eq!(chain.len(), 2, "the intermediates are sent");
}

#[test]
fn a_bad_authorities_file_is_refused() {
    let mut site = Site::new().trusting(1);
    let pem = site.authority.chain_pem();
    let cases = [
        (site.folder.path("absent"), "No such file or directory"),
        (site.folder.path(""), ""),
        (site.folder.put("empty", ""), ""),
        (site.folder.put("key only", site.authority.key_pem()), ""),
        (site.folder.put("cut", &pem[..pem.len() / 2]), ""),
    ];
    for (path, reason) in cases {
        site.settings.ca_cert = Some(path.clone());
        let start = format!("Error loading the CA certificate: {path} : ");
        assert_line(&site.refusal(), &start, &[reason]);
    }
}

#[test]
fn a_cipher_list_must_leave_something() {
    let mut site = Site::new();
    for list in [
        "",
        "NOSUCH",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256:NOSUCH",
    ] {
        site.settings.ciphers = Some(list.to_owned());
        assert_eq!(
            site.refusal(),
            format!("Error setting the provided cipher(s): {list}")
        );
    }
    site.settings.ciphers = Some(String::from("ECDHE-ECDSA-AES128-GCM-SHA256"));
    let context = site.load().get();
    let (served, _stream) = connected(&context, Class::Default, &Client::of(SslVersion::TLS1_2));
    assert_eq!(
        served.session.facts().unwrap().cipher,
        "ECDHE-ECDSA-AES128-GCM-SHA256"
    );
}

#[test]
fn the_first_cause_is_named() {
    let mut site = Site::new();
    site.settings.ciphers = Some(String::new());
    assert!(matches!(load(&site), Err(TlsError::Ciphers(_))));
    site.settings.ca_cert = Some(site.folder.path("absent"));
    assert!(matches!(load(&site), Err(TlsError::Authorities(_))));
    site.folder.put(
        "server.key",
        issue("x", &site.authority, KeyType::Rsa).key_pem(),
    );
    assert!(matches!(load(&site), Err(TlsError::Pair(_))));
    site.settings.key = None;
    assert!(matches!(load(&site), Err(TlsError::Key(_))));
    site.settings.chain_cert = None;
    assert!(matches!(load(&site), Err(TlsError::Chain(_))));
    site.settings.min_version = 4;
    assert_eq!(load(&site).err(), Some(TlsError::MinVersion));
}

fn load(site: &Site) -> Result<Current, TlsError> {
    Current::load(&site.settings, site.counters, RelTime(62))
}

#[test]
fn kernel_tls_serves_as_before_where_the_kernel_cannot() {
    let mut site = Site::new();
    site.settings.kernel_tls = true;
    if cfg!(ossl300) {
        let context = site.load().get();
        let client = Client::of(SslVersion::TLS1_3);
        let full = Visit::Served { resumed: false };
        assert_eq!(visit(&context, Class::Default, &client), full);
    } else {
        assert_eq!(site.refusal(), "Kernel TLS offload is not available");
    }
}

#[test]
fn dates_only_warn() {
    let site = Site::new();
    assert_eq!(site.load().get().warning(), None);
    for (from, to) in [(-10, -1), (1, 10)] {
        let server = issue_between("localhost", &site.authority, from, to);
        site.install(&server);
        let context = site.load().get();
        let expected = format!(
            "WARNING: server certificate {} is not valid now (notBefore={} notAfter={})",
            site.settings.chain_cert.as_ref().unwrap(),
            server.certificate.not_before(),
            server.certificate.not_after(),
        );
        assert_eq!(context.warning(), Some(expected.as_str()));
        // It is served all the same.
        assert_eq!(served_name(&site.load()), "localhost");
    }
}

/// The common name of the certificate that a new client is shown.
fn served_name(current: &Current) -> String {
    let client = Client::of(SslVersion::TLS1_3);
    let (_served, stream) = connected(&current.get(), Class::Default, &client);
    common_name(&stream)
}

#[test]
fn a_refresh_serves_new_conns_and_leaves_old_ones_alone() {
    let site = Site::new();
    let current = site.load();
    assert_eq!(current.log().loaded_at, RelTime(62));
    let client = Client::of(SslVersion::TLS1_3);
    let (mut old, mut stream) = connected(&current.get(), Class::Default, &client);
    let (mut young, theirs) = Served::new(&current.get(), Class::Default);
    site.install(&issue("renewed", &site.authority, KeyType::Ec));
    let context = current.refresh(RelTime(100)).unwrap();
    assert_eq!(context.warning(), None);
    assert_eq!(served_name(&current), "renewed");
    // A handshake that was under way ends with the certificate it began with.
    let thread = thread::spawn(move || {
        let stream = Client::of(SslVersion::TLS1_2).connect(theirs).unwrap();
        common_name(&stream)
    });
    young.handshake().unwrap();
    assert_eq!(thread.join().unwrap(), "localhost");
    std::io::Write::write_all(&mut stream, b"ping").unwrap();
    assert_eq!(old.read_exact(4), b"ping");
    let log = current.log();
    assert_eq!(log.loaded_at, RelTime(100));
    assert_eq!((log.refreshes, log.failures), (1, 0));
    assert_eq!(log.last_error, None);
}

fn common_name<S>(stream: &openssl::ssl::SslStream<S>) -> String {
    let certificate = stream.ssl().peer_certificate().unwrap();
    let name = certificate.subject_name().entries().next().unwrap();
    name.data().to_string().unwrap()
}

#[test]
fn a_failed_refresh_changes_nothing() {
    let site = Site::new().trusting(1);
    let current = site.load();
    let before = current.get();
    let renewed = issue("renewed", &site.authority, KeyType::Ec);
    let stranger = issue("stranger", &site.authority, KeyType::Ec);
    let original = fs::read(site.folder.path("server.crt")).unwrap();
    let key = fs::read(site.folder.path("server.key")).unwrap();

    // A new chain with a key that is absent, foreign, or encrypted; a good pair with bad authorities.
    site.folder.put("server.crt", renewed.chain_pem());
    fs::remove_file(site.folder.path("server.key")).unwrap();
    let mut failures = 0;
    let mut fails = |start: &str| {
        let line = current.refresh(RelTime(200)).unwrap_err().to_string();
        assert!(line.starts_with(start), "{line}");
        failures += 1;
        let log = current.log();
        assert_eq!((log.refreshes, log.failures), (0, failures));
        assert_eq!(log.last_error, Some(line));
        assert_eq!(log.loaded_at, RelTime(62));
        assert!(std::sync::Arc::ptr_eq(&before, &current.get()));
        assert_eq!(served_name(&current), "localhost");
    };
    fails("Error loading the key: ");
    site.folder.put("server.key", stranger.key_pem());
    fails("Error loading the key: ");
    site.folder.put("server.key", renewed.encrypted_key_pem());
    fails("Error loading the key: ");
    site.install(&renewed);
    site.folder.put("ca.crt", "nothing");
    fails("Error loading the CA certificate: ");
    site.folder.put("ca.crt", site.authority.chain_pem());
    site.folder.put("server.crt", "nothing");
    fails("Error loading the certificate chain: ");

    site.folder.put("server.crt", original);
    site.folder.put("server.key", key);
    current.refresh(RelTime(300)).unwrap();
    let log = current.log();
    assert_eq!((log.refreshes, log.failures), (1, failures));
    assert!(log.last_error.is_some(), "kept after a later success");
}

#[test]
fn a_refresh_may_change_the_type_of_the_key() {
    let site = Site::with_key(KeyType::Rsa);
    let current = site.load();
    let rsa_only = Client::build(SslVersion::TLS1_2, |builder| {
        builder
            .set_cipher_list("ECDHE-RSA-AES256-GCM-SHA384")
            .unwrap();
    });
    let full = Visit::Served { resumed: false };
    assert_eq!(visit(&current.get(), Class::Default, &rsa_only), full);
    site.install(&issue("curve", &site.authority, KeyType::Ec));
    current.refresh(RelTime(70)).unwrap();
    assert_eq!(served_name(&current), "curve");
    // The old certificate is gone even for clients that would prefer it.
    assert!(matches!(
        visit(&current.get(), Class::Default, &rsa_only),
        Visit::Refused(_)
    ));
}

#[test]
fn refreshes_under_load_disturb_no_handshake() {
    let site = Site::new();
    let current = site.load();
    let pairs: Vec<Identity> = (0..2)
        .map(|n| issue(&format!("pair {n}"), &site.authority, KeyType::Ec))
        .collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for round in 0..2 {
            let (site, current, pairs, done) = (&site, &current, &pairs, &done);
            scope.spawn(move || {
                let mut refreshed = 0;
                while !done.load(Ordering::Relaxed) {
                    // Only one of them writes; a half-replaced pair fails for both and harms nobody.
                    if round == 0 {
                        site.install(&pairs[refreshed % 2]);
                    }
                    let _ = current.refresh(RelTime(100));
                    refreshed += 1;
                }
            });
        }
        let full = Visit::Served { resumed: false };
        for _ in 0..50 {
            for version in super::BOTH {
                let client = Client::of(version);
                assert_eq!(visit(&current.get(), Class::Default, &client), full);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(current.log().refreshes > 10);
    assert_eq!(site.counters.handshake_errors(), 0);
}

#[test]
fn an_authority_that_is_there_twice_is_taken_once() {
    let mut site = Site::new().trusting(2);
    let mut pem = site.authority.chain_pem();
    pem.extend(site.authority.chain_pem());
    pem.extend(authority("another").chain_pem());
    site.settings.ca_cert = Some(site.folder.put("twice.crt", pem));
    let identity = issue("client", &site.authority, KeyType::Ec);
    let client = Client::with(SslVersion::TLS1_2, &identity);
    assert_eq!(
        visit(&site.load().get(), Class::Default, &client),
        Visit::Served { resumed: false }
    );
}

#[test]
fn what_operators_watch_is_learnt_at_each_load() {
    let mut site = Site::new();
    let seconds = |identity: &Identity| {
        let epoch = Asn1Time::from_unix(0).unwrap();
        let since = epoch.diff(identity.certificate.not_after()).unwrap();
        i64::from(since.days) * 86_400 + i64::from(since.secs)
    };
    let soon = issue_between("soon", &site.authority, -1, 2);
    let mut chain = site.authority.chain_pem();
    chain.extend(soon.chain_pem());
    let server = issue_between("localhost", &site.authority, -3, 9);
    site.install(&server);
    let current = site.load();
    let facts = current.get().certificate().clone();
    assert_eq!(facts.not_after, seconds(&server));
    assert_eq!(facts.not_before, facts.not_after - 12 * 86_400);
    assert_eq!(facts.chain_not_after, facts.not_after);
    assert_eq!(facts.ca_not_after, None);
    let digest = server.certificate.digest(MessageDigest::sha256()).unwrap();
    let digest: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(facts.sha256, digest);
    let serial = server.certificate.serial_number().to_bn().unwrap();
    assert_eq!(facts.serial, serial.to_hex_str().unwrap().to_string());

    let mut whole = server.chain_pem();
    whole.extend(&chain);
    site.folder.put("server.crt", whole);
    let renewed = current.refresh(RelTime(70)).unwrap();
    assert_eq!(renewed.certificate().chain_not_after, seconds(&soon));
    assert_eq!(renewed.certificate().not_after, facts.not_after);

    site.settings.ca_cert = Some(site.folder.put("ca.crt", chain));
    let context = site.load().get();
    assert_eq!(context.certificate().ca_not_after, Some(seconds(&soon)));
}

#[test]
fn the_files_a_refresh_reads_are_known_by_absolute_paths() {
    let mut site = Site::new().trusting(1);
    let given = ["server.crt", "server.key", "ca.crt"].map(|name| site.folder.path(name));
    let named: Vec<_> = given.iter().map(std::path::PathBuf::from).collect();
    assert_eq!(Current::files(&site.settings), named);
    // A working directory that nobody can move under us: files are named by the way from there.
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    site.settings.chain_cert = Some(format!("{up}{}", &given[0][1..]));
    let files = Current::files(&site.settings);
    assert!(files.iter().all(|file| file.is_absolute()), "{files:?}");
}

#[cfg(ossl111)]
#[test]
fn suites_of_tls_1_3_are_chosen_beside_the_cipher_list() {
    let mut site = Site::new();
    site.settings.ciphers = Some(String::from("ECDHE-ECDSA-AES128-GCM-SHA256"));
    site.settings.ciphersuites = Some(String::from(
        "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
    ));
    let context = site.load().get();
    let cipher = |client: &Client| {
        let (served, _stream) = connected(&context, Class::Default, client);
        served.session.facts().unwrap().cipher
    };
    let of_1_3 = |suites: &'static str| {
        Client::build(SslVersion::TLS1_3, move |builder| {
            builder.set_ciphersuites(suites).unwrap();
        })
    };
    let small = of_1_3("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256");
    assert_eq!(cipher(&small), "TLS_AES_128_GCM_SHA256");
    let of_1_2 = Client::of(SslVersion::TLS1_2);
    assert_eq!(cipher(&of_1_2), "ECDHE-ECDSA-AES128-GCM-SHA256");
    let large = of_1_3("TLS_AES_256_GCM_SHA384");
    let outcome = visit(&context, Class::Default, &large);
    assert!(matches!(outcome, Visit::Refused(_)), "{outcome:?}");
}

#[test]
fn suites_of_tls_1_3_must_be_known() {
    let mut site = Site::new();
    for list in [
        "",
        ":",
        "NOSUCH",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_AES_128_GCM_SHA256:NOSUCH",
        "NOSUCH:TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256:",
    ] {
        site.settings.ciphersuites = Some(list.to_owned());
        assert_eq!(
            site.refusal(),
            format!("Error setting the provided TLS 1.3 cipher suite(s): {list}")
        );
    }
}

#[test]
fn no_file_makes_a_server_at_work_ask_for_a_pass_phrase() {
    let mut site = Site::new().trusting(1);
    site.settings.crl = Some(site.folder.path("crl.pem"));
    let block = |name: &str| {
        format!(
            "-----BEGIN {name}-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,\
             00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END {name}-----\n"
        )
    };
    site.folder.put("ca.crt", block("CERTIFICATE"));
    let line = site.refusal();
    assert!(
        line.starts_with("Error loading the CA certificate: "),
        "{line}"
    );
    assert!(line.ends_with(" : encrypted"), "{line}");
    let mut with_key = block("EC PRIVATE KEY").into_bytes();
    with_key.extend(site.authority.chain_pem());
    site.folder.put("ca.crt", with_key);
    site.folder.put("crl.pem", block("X509 CRL"));
    let line = site.refusal();
    assert!(line.starts_with("Error loading the CRL: "), "{line}");
    site.settings.crl = None;
    // A key beside the authorities is nobody's business. Chain and key are read with a callback that knows no pass phrase, once the server is at work.
    let current = site.load();
    let chain = fs::read(site.folder.path("server.crt")).unwrap();
    site.folder.put("server.crt", block("CERTIFICATE"));
    let line = current.refresh(RelTime(70)).unwrap_err().to_string();
    assert!(
        line.starts_with("Error loading the certificate chain: "),
        "{line}"
    );
    site.folder.put("server.crt", chain);
    let renewed = issue("renewed", &site.authority, KeyType::Ec);
    site.folder.put("server.key", renewed.encrypted_key_pem());
    let line = current.refresh(RelTime(71)).unwrap_err().to_string();
    assert!(line.starts_with("Error loading the key: "), "{line}");
}

#[cfg(all(feature = "debug-server", ossl111))]
#[test]
fn the_key_log_is_appended_to_and_private() {
    use std::os::unix::fs::PermissionsExt;

    let mut site = Site::new();
    let path = site.folder.path("secrets");
    site.settings.keylog_file = Some(path.clone());
    let current = site.load();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let full = Visit::Served { resumed: false };
    for version in super::BOTH {
        let before = fs::read_to_string(&path).unwrap();
        let client = Client::of(version);
        assert_eq!(visit(&current.get(), Class::Default, &client), full);
        let after = fs::read_to_string(&path).unwrap();
        let added = after.strip_prefix(&before).unwrap();
        let label = if version == SslVersion::TLS1_2 {
            "CLIENT_RANDOM "
        } else {
            "CLIENT_TRAFFIC_SECRET_0 "
        };
        assert!(added.lines().any(|line| line.starts_with(label)), "{added}");
        assert!(added.ends_with('\n'));
        current.refresh(RelTime(70)).unwrap();
    }
    let files = Current::files(&site.settings);
    assert!(!files.contains(&path.into()), "it is not read");
    site.settings.keylog_file = Some(site.folder.path("absent/secrets"));
    let line = site.refusal();
    assert!(line.starts_with("Error loading the key log: "), "{line}");
}
