//! Who is let in: client certificates by class and mode, and which sessions resume where.

use std::thread;

use openssl::ssl::{SslOptions, SslVersion};

use super::{
    BOTH, Client, Identity, KeyType, Served, Site, Tap, Visit, authority, connected, issue,
    issue_between, visit,
};
use crate::clock::RelTime;
use crate::tls::{Class, FaultKind};

const RESUMED: Visit = Visit::Served { resumed: true };
const FULL: Visit = Visit::Served { resumed: false };

fn is_served(visit: &Visit) -> bool {
    match visit {
        Visit::Served { .. } => true,
        Visit::Refused(fault) => {
            assert_eq!(fault.kind, FaultKind::Handshake);
            false
        }
    }
}

/// Clients without certificate, with a good one, and with three bad ones.
fn clients(site: &Site, version: SslVersion) -> Vec<(&'static str, Client)> {
    let of = |identity: &Identity| Client::with(version, identity);
    vec![
        ("none", Client::of(version)),
        ("valid", of(&issue("good", &site.authority, KeyType::Ec))),
        (
            "foreign",
            of(&issue("foreign", &authority("elsewhere"), KeyType::Ec)),
        ),
        (
            "expired",
            of(&issue_between("old", &site.authority, -10, -1)),
        ),
        (
            "future",
            of(&issue_between("young", &site.authority, 1, 10)),
        ),
    ]
}

/// Checks who is served, by the names in `expected`, in both versions; all others must be refused and counted.
fn admits(site: &Site, class: Class, expected: &[&str]) {
    let context = site.load().get();
    for version in BOTH {
        for (name, client) in clients(site, version) {
            let before = site.counters.handshake_errors();
            let served = is_served(&visit(&context, class, &client));
            assert_eq!(
                served,
                expected.contains(&name),
                "{name}, {class:?}, {version:?}, mode {}",
                site.settings.verify_mode
            );
            let counted = site.counters.handshake_errors() - before;
            assert_eq!(counted, u64::from(!served));
        }
    }
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn the_default_class_follows_the_verify_mode() {
    let everybody = ["none", "valid", "foreign", "expired", "future"];
    admits(&Site::new().trusting(0), Class::Default, &everybody);
    admits(&Site::new().trusting(1), Class::Default, &["none", "valid"]);
    admits(&Site::new().trusting(2), Class::Default, &["valid"]);
    admits(&Site::new().trusting(3), Class::Default, &["valid"]);
}

#[test]
fn basic_asks_nobody_and_mutual_asks_everybody() {
    let everybody = ["none", "valid", "foreign", "expired", "future"];
    admits(&Site::new().trusting(2), Class::Basic, &everybody);
    admits(&Site::new().trusting(0), Class::Mutual, &["valid"]);
}

#[test]
fn without_authorities_no_certificate_is_good() {
    let mut site = Site::new();
    site.settings.verify_mode = 1;
    admits(&site, Class::Default, &["none"]);
    admits(&site, Class::Mutual, &[]);
}

#[test]
fn the_announced_authorities_are_those_of_the_file_each_once() {
    let mut site = Site::new().trusting(1);
    let second = authority("second authority");
    let mut pem = site.authority.chain_pem();
    pem.extend(second.chain_pem());
    pem.extend(site.authority.chain_pem());
    site.settings.ca_cert = Some(site.folder.put("ca.crt", pem));
    // OpenSSL sends authorities along when they complete the server's chain; a foreign chain has none.
    site.install(&issue("localhost", &authority("elsewhere"), KeyType::Ec));
    let (mut served, theirs) = Served::new(&site.load().get(), Class::Default);
    // In TLS 1.2 the request for a certificate is readable on the way.
    let thread = thread::spawn(move || {
        let stream = Client::of(SslVersion::TLS1_2).connect(Tap::new(theirs));
        stream.unwrap().get_ref().seen.clone()
    });
    served.handshake().unwrap();
    let seen = thread.join().unwrap();
    for authority in [&site.authority, &second] {
        let name = authority.certificate.subject_name().to_der().unwrap();
        let found = seen.windows(name.len()).filter(|part| *part == name);
        assert_eq!(found.count(), 1);
    }
    let foreign = issue("client", &second, KeyType::Ec);
    let client = Client::with(SslVersion::TLS1_3, &foreign);
    assert_eq!(visit(&site.load().get(), Class::Mutual, &client), FULL);
}

#[test]
fn the_peers_common_name_is_known() {
    let site = Site::new().trusting(1);
    let context = site.load().get();
    for version in BOTH {
        let identity = issue("client seven", &site.authority, KeyType::Rsa);
        let (served, _stream) =
            connected(&context, Class::Default, &Client::with(version, &identity));
        assert_eq!(
            served.session.facts().unwrap().peer_common_name.as_deref(),
            Some("client seven")
        );
        let (served, _stream) = connected(&context, Class::Default, &Client::of(version));
        assert_eq!(served.session.facts().unwrap().peer_common_name, None);
    }
}

#[test]
fn tickets_resume_with_and_without_the_cache_and_with_client_certificates() {
    for mode in [0, 1, 2] {
        for cache in [false, true] {
            let mut site = Site::new().trusting(mode);
            site.settings.session_cache = cache;
            let context = site.load().get();
            let identity = issue("client", &site.authority, KeyType::Ec);
            for version in BOTH {
                let client = Client::with(version, &identity);
                assert_eq!(visit(&context, Class::Default, &client), FULL);
                assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
            }
            assert_eq!(site.counters.handshake_errors(), 0);
        }
    }
}

#[test]
fn sessions_resume_by_id_only_with_the_cache() {
    for mode in [0, 2] {
        for cache in [false, true] {
            let mut site = Site::new().trusting(mode);
            site.settings.session_cache = cache;
            let context = site.load().get();
            let identity = issue("client", &site.authority, KeyType::Ec);
            let client = Client::build(SslVersion::TLS1_2, |builder| {
                builder.set_options(SslOptions::NO_TICKET);
                builder.set_certificate(&identity.certificate).unwrap();
                builder.set_private_key(&identity.key).unwrap();
            });
            assert_eq!(visit(&context, Class::Default, &client), FULL);
            if cache {
                assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
                assert_eq!(site.counters.new_sessions(), 1);
            } else {
                assert_eq!(visit(&context, Class::Default, &client), FULL);
                assert_eq!(site.counters.new_sessions(), 0);
            }
        }
    }
}

#[test]
fn new_sessions_are_counted_as_operators_know_it() {
    let mut site = Site::new();
    site.settings.session_cache = true;
    let context = site.load().get();
    let client = Client::of(SslVersion::TLS1_2);
    assert_eq!(visit(&context, Class::Default, &client), FULL);
    assert_eq!(site.counters.new_sessions(), 0, "a TLS 1.2 ticket");
    let client = Client::of(SslVersion::TLS1_3);
    assert_eq!(visit(&context, Class::Default, &client), FULL);
    assert_eq!(site.counters.new_sessions(), 2, "two TLS 1.3 tickets");
    assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
    assert_eq!(site.counters.new_sessions(), 3, "one more when resumed");
    site.counters.reset();
    assert_eq!(site.counters.new_sessions(), 0);
}

#[test]
fn no_session_crosses_a_class() {
    for cache in [false, true] {
        let mut site = Site::new().trusting(2);
        site.settings.session_cache = cache;
        let context = site.load().get();
        for version in BOTH {
            for no_tickets in [false, true] {
                if version == SslVersion::TLS1_2 && no_tickets && !cache {
                    // Such a client gets no session at all.
                    continue;
                }
                // Gets its session where nobody asks for a certificate.
                let client = Client::build(version, |builder| {
                    if no_tickets {
                        builder.set_options(SslOptions::NO_TICKET);
                    }
                });
                assert_eq!(visit(&context, Class::Basic, &client), FULL);
                for class in [Class::Mutual, Class::Default] {
                    let visit = visit(&context, class, &client.again());
                    assert!(!is_served(&visit), "{class:?} {version:?}");
                }
            }
            let identity = issue("client", &site.authority, KeyType::Ec);
            let client = Client::with(version, &identity);
            assert_eq!(visit(&context, Class::Default, &client), FULL);
            assert_eq!(visit(&context, Class::Mutual, &client.again()), FULL);
            assert_eq!(visit(&context, Class::Mutual, &client.again()), RESUMED);
        }
    }
}

#[test]
fn tickets_survive_a_refresh_unless_the_authorities_change() {
    let site = Site::new().trusting(2);
    let current = site.load();
    let identity = issue("client", &site.authority, KeyType::Ec);
    for version in BOTH {
        let client = Client::with(version, &identity);
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
        site.install(&issue("localhost", &site.authority, KeyType::Ec));
        current.refresh(RelTime(70)).unwrap();
        assert_eq!(
            visit(&current.get(), Class::Default, &client.again()),
            RESUMED
        );
        // One authority more: nothing of before resumes, though the client is still good.
        let mut pem = site.authority.chain_pem();
        pem.extend(authority("one more").chain_pem());
        site.folder.put("ca.crt", pem);
        current.refresh(RelTime(71)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &client.again()), FULL);
        site.folder.put("ca.crt", site.authority.chain_pem());
        current.refresh(RelTime(72)).unwrap();
    }
}

#[test]
fn a_removed_authority_is_trusted_no_more() {
    let mut site = Site::new().trusting(2);
    site.settings.session_cache = true;
    let current = site.load();
    for version in BOTH {
        site.folder.put("ca.crt", site.authority.chain_pem());
        current.refresh(RelTime(70)).unwrap();
        let client = Client::with(version, &issue("client", &site.authority, KeyType::Ec));
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
        site.folder
            .put("ca.crt", authority("successor").chain_pem());
        current.refresh(RelTime(71)).unwrap();
        assert!(!is_served(&visit(
            &current.get(),
            Class::Default,
            &client.again()
        )));
        assert!(!is_served(&visit(&current.get(), Class::Default, &client)));
    }
}
