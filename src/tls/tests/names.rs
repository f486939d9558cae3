//! Clients that are allowed by the names in their certificates.

use std::io::Write;
use std::thread;

use openssl::ssl::SslVersion;

use super::{
    BOTH, Client, Identity, Served, Site, Visit, authority, connected, issue_named, visit,
};
use crate::clock::RelTime;
use crate::limits::COMMON_NAME_MAX;
use crate::tls::{Class, FaultKind, TlsContext};

const RESUMED: Visit = Visit::Served { resumed: true };
const FULL: Visit = Visit::Served { resumed: false };
const DENIED: &str = "client certificate not allowed";

/// A site that lets in who is on the list.
fn allowing(mode: i32, list: &str) -> Site {
    let mut site = Site::new().trusting(mode);
    site.settings.client_allow = Some(list.to_owned());
    site
}

/// The fault that a client meets.
#[track_caller]
fn refused(context: &TlsContext, class: Class, client: &Client) -> (FaultKind, String) {
    match visit(context, class, client) {
        Visit::Refused(fault) => (fault.kind, fault.text),
        Visit::Served { .. } => panic!("served"),
    }
}

fn denied() -> (FaultKind, String) {
    (FaultKind::Denied, DENIED.to_owned())
}

#[test]
fn a_client_comes_in_by_any_name_of_the_right_type() {
    let list = "CN:ops|DNS:*.cache.example|URI:spiffe://corp/ns/*/sa/web|EMAIL:*@corp.example";
    let site = allowing(2, list);
    let context = site.load().get();
    let good: [&[&str]; 7] = [
        &["CN:ops"],
        &["CN:somebody", "CN:ops"],
        &["CN:x", "DNS:web-7.cache.example"],
        &["CN:x", "DNS:other.example", "DNS:WEB.Cache.Example"],
        &["CN:x", "URI:spiffe://corp/ns/prod/sa/web"],
        &["CN:x", "EMAIL:joe@corp.example"],
        &["DNS:a.cache.example"],
    ];
    let bad: [&[&str]; 7] = [
        &["CN:OPS"],
        &["CN:x", "DNS:ops"],
        &["CN:web-7.cache.example"],
        &["CN:x", "DNS:a.b.cache.example"],
        &["CN:x", "URI:spiffe://corp/ns/a/b/sa/web"],
        &["CN:x", "URI:DNS:web-7.cache.example", "EMAIL:ops"],
        &[],
    ];
    for version in BOTH {
        for names in good {
            let client = Client::with(version, &issue_named(names, &site.authority));
            assert_eq!(visit(&context, Class::Default, &client), FULL, "{names:?}");
        }
        for names in bad {
            let client = Client::with(version, &issue_named(names, &site.authority));
            assert_eq!(
                refused(&context, Class::Default, &client),
                denied(),
                "{names:?}"
            );
        }
    }
    let count = 2 * bad.len() as u64;
    assert_eq!(site.counters.authz_denied(), count);
    assert_eq!(site.counters.handshake_errors(), count);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn the_list_holds_wherever_certificates_are_asked_for() {
    for mode in [0, 1, 2, 3] {
        let site = allowing(mode, "CN:good");
        let context = site.load().get();
        for version in BOTH {
            let good = Client::with(version, &issue_named(&["CN:good"], &site.authority));
            let bad = Client::with(version, &issue_named(&["CN:bad"], &site.authority));
            let none = Client::of(version);
            for client in [&good, &bad, &none] {
                assert_eq!(visit(&context, Class::Basic, client), FULL);
            }
            let asking: &[Class] = match mode {
                0 => &[Class::Mutual],
                _ => &[Class::Mutual, Class::Default],
            };
            for &class in asking {
                assert_eq!(visit(&context, class, &good), FULL);
                assert_eq!(refused(&context, class, &bad), denied());
                // Mode 1 acts like 2: who shows nothing is not allowed either.
                let (kind, text) = refused(&context, class, &none);
                assert_eq!(kind, FaultKind::Handshake);
                assert!(
                    text.ends_with("peer did not return a certificate"),
                    "{text}"
                );
            }
            if mode == 0 {
                assert_eq!(visit(&context, Class::Default, &none), FULL);
            }
        }
    }
}

#[test]
fn a_denied_client_of_tls_1_2_learns_it_in_the_handshake() {
    let site = allowing(2, "CN:good");
    let (mut served, theirs) = Served::new(&site.load().get(), Class::Default);
    let client = Client::with(
        SslVersion::TLS1_2,
        &issue_named(&["CN:bad"], &site.authority),
    );
    let thread = thread::spawn(move || client.connect(theirs).map(drop).unwrap_err().to_string());
    assert_eq!(served.handshake().unwrap_err().text, DENIED);
    drop(served);
    let told = thread.join().unwrap();
    assert!(told.contains("alert"), "{told}");
}

#[test]
fn a_good_name_in_a_bad_certificate_is_no_ticket() {
    let site = allowing(1, "CN:good");
    let context = site.load().get();
    for version in BOTH {
        let foreign = issue_named(&["CN:good"], &authority("elsewhere"));
        let (kind, _) = refused(&context, Class::Default, &Client::with(version, &foreign));
        assert_eq!(kind, FaultKind::Handshake);
    }
    assert_eq!(site.counters.authz_denied(), 0);
}

#[test]
fn the_names_of_authorities_let_nobody_in() {
    let site = allowing(2, "CN:test authority");
    let context = site.load().get();
    for version in BOTH {
        let client = Client::with(version, &issue_named(&["CN:x"], &site.authority));
        assert_eq!(refused(&context, Class::Default, &client), denied());
    }
}

#[test]
fn a_name_with_a_nul_in_a_certificate_matches_nothing() {
    let site = allowing(2, "CN:good|DNS:good.example|CN:good*|DNS:**|CN:**evil");
    let context = site.load().get();
    for version in BOTH {
        let names = ["CN:good\0.evil", "DNS:good.example\0.evil"];
        let client = Client::with(version, &issue_named(&names, &site.authority));
        assert_eq!(refused(&context, Class::Default, &client), denied());
    }
}

#[test]
fn option_and_file_are_one_list() {
    let mut site = allowing(2, "CN:a");
    let path = site.folder.put("allow", "# more\n\n  CN:b  \r\n");
    site.settings.client_allow_file = Some(path);
    let context = site.load().get();
    let client = |name: &str| {
        let identity = issue_named(&[&format!("CN:{name}")], &site.authority);
        Client::with(SslVersion::TLS1_3, &identity)
    };
    assert_eq!(visit(&context, Class::Default, &client("a")), FULL);
    assert_eq!(visit(&context, Class::Default, &client("b")), FULL);
    assert_eq!(refused(&context, Class::Default, &client("c")), denied());
    site.settings.client_allow = None;
    let context = site.load().get();
    assert_eq!(refused(&context, Class::Default, &client("a")), denied());
    assert_eq!(visit(&context, Class::Default, &client("b")), FULL);
    // A list of nobody is a list.
    site.folder.put("allow", "# nobody\n");
    let context = site.load().get();
    assert_eq!(refused(&context, Class::Default, &client("b")), denied());
}

#[test]
fn a_refresh_reads_the_file_and_old_sessions_do_not_resume() {
    let mut site = Site::new().trusting(2);
    site.settings.session_cache = true;
    site.settings.client_allow_file = Some(site.folder.put("allow", "CN:a\nCN:b\n"));
    let current = site.load();
    for version in BOTH {
        let of = |name: &str| {
            let identity = issue_named(&[&format!("CN:{name}")], &site.authority);
            Client::with(version, &identity)
        };
        let (a, b) = (of("a"), of("b"));
        for client in [&a, &b] {
            assert_eq!(visit(&current.get(), Class::Default, client), FULL);
            assert_eq!(
                visit(&current.get(), Class::Default, &client.again()),
                RESUMED
            );
        }
        let (mut old, mut stream) = connected(&current.get(), Class::Default, &b);
        // An unchanged list keeps sessions.
        current.refresh(RelTime(70)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &b.again()), RESUMED);
        site.folder.put("allow", "CN:a\n");
        current.refresh(RelTime(71)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &a.again()), FULL);
        assert_eq!(
            refused(&current.get(), Class::Default, &b.again()),
            denied()
        );
        // An established conn goes on.
        stream.write_all(b"ping").unwrap();
        assert_eq!(old.read_exact(4), b"ping");
        site.folder.put("allow", "CN:a\nCN:b\n");
        current.refresh(RelTime(72)).unwrap();
    }
}

#[test]
fn a_resumed_client_is_asked_for_its_name_again() {
    for version in BOTH {
        let site = allowing(2, "CN:good");
        let context = site.load().get();
        let client = Client::with(version, &issue_named(&["CN:good"], &site.authority));
        assert_eq!(visit(&context, Class::Mutual, &client), FULL);
        assert_eq!(visit(&context, Class::Mutual, &client.again()), RESUMED);
        // The session is good, its scope is right, only the list has no name any more.
        let context = context.allowing_nobody();
        assert_eq!(refused(&context, Class::Mutual, &client.again()), denied());
        assert_eq!(site.counters.authz_denied(), 1);
        assert_eq!(site.counters.handshake_errors(), 1);
    }
}

#[test]
fn a_list_needs_authorities() {
    let mut site = Site::new();
    site.settings.client_allow = Some(String::from("CN:a"));
    let line = "ERROR: ssl_client_allow needs ssl_ca_cert.";
    assert_eq!(site.refusal(), line);
    site.settings.client_allow = None;
    site.settings.client_allow_file = Some(site.folder.put("allow", "CN:a"));
    assert_eq!(site.refusal(), line);
}

#[test]
fn a_bad_file_is_refused_at_start_and_at_refresh() {
    let mut site = Site::new().trusting(2);
    let path = site.folder.put("allow", "CN:good\n");
    site.settings.client_allow_file = Some(path.clone());
    let current = site.load();
    let start = format!("Error loading the client allow list: {path} : ");
    for (content, reason) in [
        ("good\n", "malformed pattern in line 1"),
        ("CN:good\n\nIP:1\n", "malformed pattern in line 3"),
        ("CN:\n", "malformed pattern in line 1"),
    ] {
        site.folder.put("allow", content);
        assert_eq!(site.refusal(), format!("{start}{reason}"));
        let error = current.refresh(RelTime(70)).unwrap_err();
        assert_eq!(error.to_string(), format!("{start}{reason}"));
    }
    std::fs::remove_file(&path).unwrap();
    let line = site.refusal();
    let reason = line.strip_prefix(&start).unwrap();
    assert!(reason.ends_with("No such file or directory"), "{line}");
    assert_eq!(current.log().failures, 3);
    let good: &Identity = &issue_named(&["CN:good"], &site.authority);
    let client = Client::with(SslVersion::TLS1_3, good);
    assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
}

#[test]
fn a_malformed_name_is_no_error_of_the_handshake() {
    use openssl::asn1::{Asn1Object, Asn1OctetString};
    use openssl::hash::MessageDigest;
    use openssl::x509::{X509, X509Extension};

    let site = allowing(2, "CN:good");
    let context = site.load().get();
    let mut identity = issue_named(&["CN:good"], &site.authority);
    // The same certificate with alternative names that are no DER.
    let mut builder = X509::builder().unwrap();
    let model = &identity.certificate;
    builder.set_version(2).unwrap();
    builder.set_serial_number(model.serial_number()).unwrap();
    builder.set_subject_name(model.subject_name()).unwrap();
    builder.set_issuer_name(model.issuer_name()).unwrap();
    builder.set_pubkey(&identity.key).unwrap();
    builder.set_not_before(model.not_before()).unwrap();
    builder.set_not_after(model.not_after()).unwrap();
    let names = Asn1Object::from_str("subjectAltName").unwrap();
    let rubbish = Asn1OctetString::new_from_bytes(b"\x30\x84rubbish").unwrap();
    let extension = X509Extension::new_from_der(&names, false, &rubbish).unwrap();
    builder.append_extension(extension).unwrap();
    builder
        .sign(&site.authority.key, MessageDigest::sha256())
        .unwrap();
    identity.certificate = builder.build();
    for version in BOTH {
        let client = Client::with(version, &identity);
        match visit(&context, Class::Default, &client) {
            Visit::Served { .. } => {}
            // OpenSSL may refuse it by itself, and then says so: 1.1.1 in the words of the room that found it.
            Visit::Refused(fault) => {
                let says_so = |words| fault.text.contains(words);
                assert_eq!(fault.kind, FaultKind::Handshake);
                assert!(
                    says_so("certificate") || says_so("asn1 encoding routines"),
                    "{}",
                    fault.text
                );
            }
        }
    }
}

#[test]
fn a_certificate_of_any_size_is_judged_or_refused_and_hurts_nobody() {
    let site = allowing(2, "DNS:*.good.example|DNS:name-499.**|CN:**x**y**z**");
    let context = site.load().get();
    let with_names = |count: usize| {
        let names: Vec<String> = (0..count)
            .map(|n| format!("DNS:name-{n}.{}", "a.very.long.name.".repeat(4)))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        issue_named(&names, &site.authority)
    };
    let (many, too_many) = (with_names(500), with_names(3000));
    for version in BOTH {
        let (mut steady, mut stream) = connected(
            &context,
            Class::Basic,
            &Client::with(version, &issue_named(&["CN:x"], &site.authority)),
        );
        let client = Client::with(version, &many);
        assert_eq!(visit(&context, Class::Default, &client), FULL);
        let (kind, text) = refused(&context, Class::Default, &Client::with(version, &too_many));
        assert_eq!(kind, FaultKind::Handshake, "{text}");
        assert!(text.contains("excessive message size"), "{text}");
        stream.write_all(b"ping").unwrap();
        assert_eq!(steady.read_exact(4), b"ping");
    }
    assert_eq!(site.counters.authz_denied(), 0);
}

#[test]
fn a_common_name_of_absurd_length_is_none() {
    let site = allowing(2, "CN:a**");
    let context = site.load().get();
    for version in BOTH {
        for (len, is_name) in [(COMMON_NAME_MAX, true), (COMMON_NAME_MAX + 1, false)] {
            let name = format!("CN:{}", "a".repeat(len));
            let client = Client::with(version, &issue_named(&[&name], &site.authority));
            if is_name {
                assert_eq!(visit(&context, Class::Default, &client), FULL);
            } else {
                assert_eq!(refused(&context, Class::Default, &client), denied());
            }
            let long_and_good = issue_named(&[&name, "CN:an"], &site.authority);
            let client = Client::with(version, &long_and_good);
            let (served, _stream) = connected(&context, Class::Default, &client);
            let shown = served.session.facts().unwrap().peer_common_name.unwrap();
            assert_eq!(shown.len(), if is_name { len } else { 2 });
        }
    }
}
