//! Revocation lists: who is refused, and what a list must be like.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::ssl::SslVersion;
use openssl::x509::extension::{AuthorityKeyIdentifier, CrlNumber};
use openssl::x509::{X509, X509CrlBuilder, X509RevokedBuilder};

use super::{BOTH, Client, Identity, KeyType, Site, Visit, authority, connected, issue, visit};
use crate::clock::RelTime;
use crate::tls::{Class, FaultKind};

const RESUMED: Visit = Visit::Served { resumed: true };
const FULL: Visit = Visit::Served { resumed: false };

/// An authority's list of revoked certificates, good for `days` from yesterday on.
fn list(authority: &Identity, revoked: &[&Identity], days: i64) -> Vec<u8> {
    let now = super::unix_now();
    let at = |days: i64| Asn1Time::from_unix(now + days * super::DAY).unwrap();
    let mut builder = X509CrlBuilder::new().unwrap();
    builder
        .set_issuer_name(authority.certificate.subject_name())
        .unwrap();
    builder.set_last_update(&at(-1)).unwrap();
    builder.set_next_update(&at(days - 1)).unwrap();
    let context = X509::builder().unwrap();
    let context = context.x509v3_context(Some(&authority.certificate), None);
    let key = AuthorityKeyIdentifier::new().issuer(true).build(&context);
    builder.append_extension(key.unwrap()).unwrap();
    let number = CrlNumber::new(BigNum::from_u32(1).unwrap()).unwrap();
    builder.append_extension(number.build().unwrap()).unwrap();
    for identity in revoked {
        let mut entry = X509RevokedBuilder::new().unwrap();
        entry
            .set_serial_number(identity.certificate.serial_number())
            .unwrap();
        entry.set_revocation_date(&at(-1)).unwrap();
        builder.add_revoked(entry.build()).unwrap();
    }
    builder
        .sign(&authority.key, MessageDigest::sha256())
        .unwrap();
    builder.build().unwrap().to_pem().unwrap()
}

#[track_caller]
fn refused(visit: &Visit, reason: &str) {
    match visit {
        Visit::Refused(fault) => {
            assert_eq!(fault.kind, FaultKind::Handshake);
            assert!(fault.text.ends_with(reason), "{}", fault.text);
        }
        Visit::Served { .. } => panic!("served"),
    }
}

#[test]
fn a_revoked_client_is_refused_and_the_others_are_served() {
    let mut site = Site::new().trusting(1);
    let good = issue("good", &site.authority, KeyType::Ec);
    let bad = issue("bad", &site.authority, KeyType::Ec);
    let pem = list(&site.authority, &[&bad], 30);
    site.settings.crl = Some(site.folder.put("crl.pem", pem));
    let context = site.load().get();
    for version in BOTH {
        for class in [Class::Default, Class::Mutual] {
            assert_eq!(visit(&context, class, &Client::with(version, &good)), FULL);
            let outcome = visit(&context, class, &Client::with(version, &bad));
            refused(&outcome, "certificate verify failed");
        }
        // Nobody is asked here, and nobody shows anything there.
        let bad = Client::with(version, &bad);
        assert_eq!(visit(&context, Class::Basic, &bad), FULL);
        assert_eq!(visit(&context, Class::Default, &Client::of(version)), FULL);
    }
    assert_eq!(site.counters.handshake_errors(), 4);
    assert_eq!(site.counters.authz_denied(), 0);
}

#[test]
fn an_issuer_without_a_list_or_with_a_stale_one_has_no_good_clients() {
    let mut site = Site::new().trusting(2);
    let other = authority("other authority");
    let mut pem = site.authority.chain_pem();
    pem.extend(other.chain_pem());
    site.settings.ca_cert = Some(site.folder.put("ca.crt", pem));
    let path = site.folder.put("crl.pem", list(&site.authority, &[], 30));
    site.settings.crl = Some(path);
    let current = site.load();
    let client =
        |issuer: &Identity, version| Client::with(version, &issue("client", issuer, KeyType::Ec));
    for version in BOTH {
        let context = current.get();
        assert_eq!(
            visit(&context, Class::Default, &client(&site.authority, version)),
            FULL
        );
        let outcome = visit(&context, Class::Default, &client(&other, version));
        refused(&outcome, "certificate verify failed");
    }
    // Several lists share the file.
    let mut lists = list(&site.authority, &[], 30);
    lists.extend(list(&other, &[], 30));
    site.folder.put("crl.pem", &lists);
    let context = current.refresh(RelTime(70)).unwrap();
    for issuer in [&site.authority, &other] {
        let client = client(issuer, SslVersion::TLS1_3);
        assert_eq!(visit(&context, Class::Default, &client), FULL);
    }
    // The same list twice is one list.
    lists.extend(list(&other, &[], 30));
    site.folder.put("crl.pem", &lists);
    current.refresh(RelTime(71)).unwrap();
    site.folder.put("crl.pem", list(&site.authority, &[], 0));
    let context = current.refresh(RelTime(72)).unwrap();
    let outcome = visit(
        &context,
        Class::Default,
        &client(&site.authority, SslVersion::TLS1_3),
    );
    refused(&outcome, "certificate verify failed");
}

#[test]
fn a_refresh_revokes_and_old_sessions_do_not_resume() {
    let mut site = Site::new().trusting(2);
    site.settings.session_cache = true;
    let path = site.folder.put("crl.pem", list(&site.authority, &[], 30));
    site.settings.crl = Some(path);
    let current = site.load();
    for version in BOTH {
        let pem = list(&site.authority, &[], 30);
        site.folder.put("crl.pem", pem);
        current.refresh(RelTime(70)).unwrap();
        let identity = issue("client", &site.authority, KeyType::Ec);
        let client = Client::with(version, &identity);
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
        current.refresh(RelTime(71)).unwrap();
        assert_eq!(
            visit(&current.get(), Class::Default, &client.again()),
            RESUMED
        );
        site.folder
            .put("crl.pem", list(&site.authority, &[&identity], 30));
        current.refresh(RelTime(72)).unwrap();
        let outcome = visit(&current.get(), Class::Default, &client.again());
        refused(&outcome, "certificate verify failed");
    }
}

#[test]
fn the_servers_own_chain_is_sent_with_a_list_that_does_not_cover_it() {
    let mut site = Site::new().trusting(0);
    let server = issue("localhost", &site.authority, KeyType::Ec);
    site.install(&server);
    let pem = list(&authority("elsewhere"), &[], 30);
    site.settings.crl = Some(site.folder.put("crl.pem", pem));
    let context = site.load().get();
    for version in BOTH {
        let (_served, stream) = connected(&context, Class::Default, &Client::of(version));
        let chain = stream.ssl().peer_cert_chain().unwrap();
        assert_eq!(
            chain[0].to_der().unwrap(),
            server.certificate.to_der().unwrap()
        );
    }
}

#[test]
fn a_bad_file_of_lists_is_refused() {
    let mut site = Site::new().trusting(2);
    let pem = list(&site.authority, &[], 30);
    let mut second_cut = pem.clone();
    second_cut.extend(&pem[..pem.len() / 2]);
    let encrypted = "-----BEGIN X509 CRL-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,\
                     0123456789ABCDEF\n\nAAAA\n-----END X509 CRL-----\n";
    for (path, reason) in [
        (site.folder.path("absent"), "No such file or directory"),
        (site.folder.put("empty", ""), "no start line"),
        (
            site.folder.put("certificate", site.authority.chain_pem()),
            "no start line",
        ),
        (site.folder.put("cut", &pem[..pem.len() / 2]), ""),
        (site.folder.put("second cut", second_cut), ""),
        (site.folder.put("encrypted", encrypted), "encrypted"),
    ] {
        site.settings.crl = Some(path.clone());
        let line = site.refusal();
        let start = format!("Error loading the CRL: {path} : ");
        let rest = line
            .strip_prefix(&start)
            .unwrap_or_else(|| panic!("{line}"));
        assert!(!rest.is_empty() && rest.ends_with(reason), "{line}");
    }
}
