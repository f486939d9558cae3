//! Certificates replaced in a loop while clients connect: no handshake may fail.
//!
//! The pair on disk changes between RSA and P-256 with each refresh; now and then it does not fit
//! together, and then the server must say so and go on with what it has. Clients connect afresh all
//! the time, in both versions, half of them with a session that an earlier certificate gave.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cert::Key;
use crate::endure::ground::{Done, Ground};
use crate::endure::wire::Wire;
use crate::fail::{Context, Fail, Outcome};
use crate::random::Random;
use crate::secure::{ClientTls, Handshake, Version};

const LENGTH: Duration = Duration::from_millis(1_200);
/// In how many refreshes one is to fail.
const BROKEN: u32 = 5;

/// Refreshes under handshakes.
pub fn refreshes(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    let mut clients = Vec::new();
    for version in Version::BOTH {
        for handshake in Handshake::BOTH {
            clients.push(ClientTls::new(version, handshake)?);
        }
    }
    let stop = AtomicBool::new(false);
    let connected = AtomicU64::new(0);
    let addr = ground.addr();
    let mut old = Wire::open(addr, ground.client(Version::Tls12))?;
    let connect = |client: &ClientTls| -> Outcome<()> {
        while !stop.load(Ordering::Relaxed) {
            let mut wire = Wire::open(addr, client)?;
            wire.ask(b"mn\r\n", b"MN\r\n")?;
            wire.close();
            connected.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let refreshed = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(|| connect(client)))
            .collect();
        let refreshed = refresh(ground, random);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread
                .join()
                .map_err(|_| Fail::new("a client panicked", "a defect of bench"))??;
        }
        refreshed
    })?;
    old.ask(b"mn\r\n", b"MN\r\n")?;
    old.close();
    install(ground, Key::Rsa2048, Key::Rsa2048)?;
    ground.admin.ask("refresh_certs", "OK")?;
    Ok(Done::well(format!(
        "{refreshed} refreshes under {} handshakes",
        connected.into_inner()
    )))
}

/// Replaces the pair again and again; returns how often.
fn refresh(ground: &mut Ground, random: &mut Random) -> Outcome<u64> {
    let (began, mut count, mut serving) = (Instant::now(), 0, Key::Rsa2048);
    while began.elapsed() < LENGTH {
        let key = Key::BOTH[random.below(2) as usize];
        if random.below(BROKEN) == 0 {
            let other = if key == Key::P256 {
                Key::Rsa2048
            } else {
                Key::P256
            };
            install(ground, key, other)?;
            let answer = ground.admin.answer("refresh_certs")?;
            if !answer.starts_with("Error ") {
                return Err(Fail::new(
                    format!("a pair that does not fit was answered with {answer:?}"),
                    "the server must refuse it and keep the one it has",
                ));
            }
        } else {
            install(ground, key, key)?;
            ground.admin.ask("refresh_certs", "OK")?;
            serving = key;
        }
        let wire = Wire::open(ground.addr(), ground.client(Version::Tls13))?;
        if wire.peer_key() != Some(serving) {
            return Err(Fail::new(
                format!(
                    "the server shows a key of kind {:?}, not {serving}",
                    wire.peer_key()
                ),
                "a connection accepted after a refresh must see what was loaded, and only that",
            ));
        }
        wire.close();
        count += 1;
    }
    Ok(count)
}

/// Puts a certificate and a key where the server looks for them, each in one step.
fn install(ground: &Ground, chain: Key, key: Key) -> Outcome<()> {
    replace(&ground.pair(chain).chain, &ground.live.chain)?;
    replace(&ground.pair(key).key, &ground.live.key)
}

/// Copies a file over another in one step.
pub fn replace(from: &Path, to: &Path) -> Outcome<()> {
    let beside = to.with_extension("new");
    fs::copy(from, &beside)
        .and_then(|_| fs::rename(&beside, to))
        .context(format_args!("replacing {}", to.display()), "")
}
