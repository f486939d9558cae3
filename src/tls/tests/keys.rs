//! Ticket keys: rotation, a file that servers share, and how many tickets are issued.

use std::io::Read;
use std::time::Duration;

use openssl::ssl::{SslOptions, SslVersion};

use super::{BOTH, Client, KeyType, Site, Visit, authority, connected, issue, visit};
use crate::clock::RelTime;
use crate::tls::Class;

const RESUMED: Visit = Visit::Served { resumed: true };
const FULL: Visit = Visit::Served { resumed: false };
const PERIOD: Duration = Duration::from_secs(3600);

fn rotating() -> Site {
    let mut site = Site::new().trusting(1);
    site.settings.ticket_rotation_secs = Some(3600);
    site
}

/// Ticket keys that begin with this byte.
fn key(first: u8) -> Vec<u8> {
    (0..80).map(|n: u8| first.wrapping_add(n)).collect()
}

/// A site with these keys in a file.
fn sharing(keys: &[Vec<u8>]) -> Site {
    let mut site = Site::new().trusting(1);
    site.settings.ticket_key_file = Some(site.folder.put("tickets", keys.concat()));
    site
}

#[test]
fn a_ticket_lives_two_periods_at_most() {
    for version in BOTH {
        let context = rotating().load().get();
        let client = Client::of(version);
        assert_eq!(visit(&context, Class::Default, &client), FULL);
        assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
        let old = client.again();
        context.age_ticket_keys(PERIOD);
        assert_eq!(visit(&context, Class::Default, &old), RESUMED);
        context.age_ticket_keys(PERIOD);
        assert_eq!(visit(&context, Class::Default, &old), FULL);
    }
}

#[test]
fn a_ticket_of_the_key_before_is_renewed() {
    for version in BOTH {
        let context = rotating().load().get();
        let client = Client::of(version);
        assert_eq!(visit(&context, Class::Default, &client), FULL);
        // Each visit leaves a ticket of the present period, so the chain never breaks.
        for _ in 0..4 {
            context.age_ticket_keys(PERIOD);
            assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
        }
    }
}

#[test]
fn a_refresh_keeps_rotating_keys_unless_the_authorities_change() {
    for version in BOTH {
        let site = rotating();
        let current = site.load();
        let client = Client::of(version);
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
        let old = client.again();
        current.get().age_ticket_keys(PERIOD / 2);
        current.refresh(RelTime(70)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &old), RESUMED);
        // The age of a key is not forgotten either.
        current.get().age_ticket_keys(PERIOD * 3 / 2);
        assert_eq!(visit(&current.get(), Class::Default, &old), FULL);
        let client = client.again();
        site.folder.put("ca.crt", authority("other").chain_pem());
        current.refresh(RelTime(71)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
    }
}

#[test]
fn a_rotation_of_zero_is_none() {
    let mut site = Site::new();
    site.settings.ticket_rotation_secs = Some(0);
    let current = site.load();
    let client = Client::of(SslVersion::TLS1_3);
    assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
    current.refresh(RelTime(70)).unwrap();
    assert_eq!(
        visit(&current.get(), Class::Default, &client.again()),
        RESUMED
    );
}

#[test]
fn servers_that_share_keys_and_authorities_share_sessions() {
    for version in BOTH {
        let here = sharing(&[key(1)]);
        let there = sharing(&[key(1)]);
        // The same authority, other certificates: a fleet.
        there.folder.put("ca.crt", here.authority.chain_pem());
        let client = Client::with(version, &issue("client", &here.authority, KeyType::Ec));
        assert_eq!(visit(&here.load().get(), Class::Mutual, &client), FULL);
        let again = client.again();
        assert_eq!(visit(&there.load().get(), Class::Mutual, &again), RESUMED);
        // Neither another class, nor another verify mode, nor other authorities.
        assert_eq!(visit(&there.load().get(), Class::Default, &again), FULL);
        there.folder.put("ca.crt", {
            let mut pem = here.authority.chain_pem();
            pem.extend(authority("one more").chain_pem());
            pem
        });
        assert_eq!(visit(&there.load().get(), Class::Mutual, &again), FULL);
    }
}

#[test]
fn the_first_key_of_a_file_encrypts_and_all_decrypt() {
    for version in BOTH {
        let site = sharing(&[key(1)]);
        let current = site.load();
        let client = Client::of(version);
        assert_eq!(visit(&current.get(), Class::Default, &client), FULL);
        let old = client.again();
        // The operator puts a new key in front.
        site.folder.put("tickets", [key(100), key(1)].concat());
        current.refresh(RelTime(70)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &old), RESUMED);
        let renewed = client.again();
        site.folder.put("tickets", key(100));
        current.refresh(RelTime(71)).unwrap();
        assert_eq!(visit(&current.get(), Class::Default, &renewed), RESUMED);
        assert_eq!(visit(&current.get(), Class::Default, &old), FULL);
        // A server without the file has keys of its own.
        assert_eq!(
            visit(&Site::new().load().get(), Class::Default, &renewed),
            FULL
        );
    }
}

#[test]
fn a_bad_file_of_keys_is_refused_at_start_and_at_refresh() {
    let mut site = sharing(&[key(1)]);
    let path = site.settings.ticket_key_file.clone().unwrap();
    let current = site.load();
    for len in [0, 79, 81, 100] {
        site.folder.put("tickets", vec![0; len]);
        let line = format!("Error loading the ticket keys: {path} : bad size");
        assert_eq!(site.refusal(), line);
        assert_eq!(current.refresh(RelTime(70)).unwrap_err().to_string(), line);
    }
    site.settings.ticket_key_file = Some(site.folder.path("absent"));
    let line = site.refusal();
    assert!(
        line.starts_with("Error loading the ticket keys: "),
        "{line}"
    );
    assert!(line.ends_with("No such file or directory"), "{line}");
    site.settings.ticket_rotation_secs = Some(1);
    assert_eq!(
        site.refusal(),
        "ERROR: ssl_ticket_key_file and ssl_ticket_rotation exclude each other."
    );
}

#[test]
fn as_many_tickets_are_issued_as_asked_for() {
    for (setting, expected) in [(None, 2), (Some(0), 0), (Some(1), 1), (Some(8), 8)] {
        for session_cache in [false, true] {
            let mut site = Site::new();
            site.settings.session_tickets = setting;
            site.settings.session_cache = session_cache;
            let context = site.load().get();
            let client = Client::of(SslVersion::TLS1_3);
            assert_eq!(visit(&context, Class::Default, &client), FULL);
            assert_eq!(client.issued.lock().unwrap().len(), expected, "{setting:?}");
        }
    }
}

#[test]
fn no_tickets_means_none_for_tls_1_2_too() {
    for cache in [false, true] {
        let mut site = Site::new();
        site.settings.session_tickets = Some(0);
        site.settings.session_cache = cache;
        let context = site.load().get();
        let client = Client::of(SslVersion::TLS1_2);
        let (mut served, mut stream) = connected(&context, Class::Default, &client);
        served.session.shutdown();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let issued = client.issued.lock().unwrap().clone();
        if !cache {
            assert_eq!(issued.len(), 0);
            continue;
        }
        // A session that the server keeps goes by its id.
        let [session] = &issued[..] else {
            panic!("one session is issued")
        };
        assert!(!session.id().is_empty());
        assert_eq!(visit(&context, Class::Default, &client.again()), RESUMED);
        let without = Client::build(SslVersion::TLS1_2, |builder| {
            builder.set_options(SslOptions::NO_TICKET);
        });
        assert_eq!(visit(&context, Class::Default, &without), FULL);
    }
}
