//! What must hold when all clients have gone: nothing is lost, nothing is left.

use std::thread;
use std::time::{Duration, Instant};

use rig::admin::{Admin, Stats};
use rig::fail::{Fail, Outcome};
use rig::server::Server;

use crate::key::{Family, Key};
use crate::run;

/// How long the server may take to come to rest.
const REST: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);
const CRAWL: &str = "lru_crawler crawl all";

/// Checks all of it, and ends the server if it is ours.
pub fn check(admin: &mut Admin, before: &Stats, server: Option<&mut Server>) -> Outcome<String> {
    let conns = before.count("curr_connections");
    await_that(admin, "all connections closed", |admin| {
        let now = admin.stats()?.count("curr_connections");
        Ok(if now <= conns {
            None
        } else {
            Some(format!("{now}, not {conns}"))
        })
    })?;
    await_that(admin, "sums that agree", sums)?;
    empty(admin)?;
    admin.store("alive", b"still")?;
    match server {
        Some(server) => run::end(server),
        None => Ok(String::new()),
    }
}

/// Asks until there is nothing to complain of.
fn await_that(
    admin: &mut Admin,
    what: &str,
    mut complaint: impl FnMut(&mut Admin) -> Outcome<Option<String>>,
) -> Outcome<()> {
    let limit = Instant::now() + REST;
    loop {
        let Some(found) = complaint(admin)? else {
            return Ok(());
        };
        if Instant::now() > limit {
            let what = format!("after {} s not {what}: {found}", REST.as_secs());
            return Err(Fail::new(what, ""));
        }
        thread::sleep(STEP);
    }
}

/// The sums over the classes are those of the whole.
fn sums(admin: &mut Admin) -> Outcome<Option<String>> {
    let (items, all) = (admin.family("items")?, admin.stats()?);
    let sum = |name: &str| {
        (0..64)
            .map(|id| items.count(&format!("items:{id}:{name}")))
            .sum()
    };
    let (number, requested): (u64, u64) = (sum("number"), sum("mem_requested"));
    let (curr_items, bytes) = (all.count("curr_items"), all.count("bytes"));
    let agree = number == curr_items && requested == bytes;
    Ok((!agree).then(|| {
        format!("{number} items in classes, {curr_items} in all; {requested} bytes in classes, {bytes} in all")
    }))
}

/// After a flush and a crawl no chunk is in use: all references were given back.
fn empty(admin: &mut Admin) -> Outcome<()> {
    admin.ask("flush_all", "OK")?;
    // Either may be so already.
    admin.answer("lru_crawler enable")?;
    admin.answer("lru_crawler tocrawl 0")?;
    if admin.answer(CRAWL)? == "ERROR" {
        look_at_all(admin)?;
    }
    await_that(admin, "all memory free", |admin| {
        let (slabs, all) = (admin.family("slabs")?, admin.stats()?);
        let used: u64 = (0..64)
            .map(|id| slabs.count(&format!("{id}:used_chunks")))
            .sum();
        let (items, bytes) = (all.count("curr_items"), all.count("bytes"));
        if used + items + bytes == 0 {
            return Ok(None);
        }
        // What went from queue to queue may have been passed over.
        admin.answer(CRAWL)?;
        Ok(Some(format!("{used} chunks, {items} items, {bytes} bytes")))
    })
}

/// What has been flushed goes when it is looked at.
fn look_at_all(admin: &mut Admin) -> Outcome<()> {
    let clients = |family: Family| if family.is_own() { 0..64 } else { 0..1 };
    for family in Family::ALL {
        let binary = if family == Family::Binary { " b" } else { "" };
        for client in clients(family) {
            let mut out = Vec::new();
            for number in 0..family.size() {
                let key = Key {
                    family,
                    client,
                    number,
                };
                out.extend_from_slice(format!("mg {} q{binary}\r\n", key.word()).as_bytes());
            }
            admin.send(&out)?;
            admin.ask("mn", "MN")?;
        }
    }
    Ok(())
}
