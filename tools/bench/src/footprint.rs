//! What a server costs before it works: memory of idle connections and of items, and start-up time.
//!
//! Each figure comes from a fresh server; sides alternate; medians over the starts.

use std::fmt::{Display, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::fail::{Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, median};
use crate::lab::{Lab, Mode, Side};
use crate::lockstep::Lockstep;
use crate::process;
use crate::workload::{self, KeySpace, SMALL, Verb, Workload};

/// Opened first, so that what a process allocates once is not counted; as many idle ones as are counted follow them.
const EARLY: Workload = Workload::new("early", 20, 1, Verb::Get, SMALL);
/// Enough that some keys are asked for again, which has an LRU take note of them.
const EARLY_ROUNDS: usize = 200;
/// Those that are counted, and those beside them.
const IDLE: Workload = Workload::new("idle", 1000, 1, Verb::Get, SMALL);
/// Keys of 12 bytes: `item` and eight digits.
const MANY: KeySpace = KeySpace {
    prefix: "item",
    count: 11_000_000,
    value_len: 100,
};
const MANY_FIRST: u32 = 10_000_000;
const STARTS: usize = 7;
/// Pause before memory is read, so that maintenance threads have had a turn.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a server may take to settle, for instance to grow its hash table.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Figures of the two sides, one a start.
#[derive(Default)]
struct Figures([Vec<f64>; 2]);

impl Figures {
    fn medians(&self) -> [f64; 2] {
        [0, 1].map(|side| median(self.0[side].iter().copied()))
    }
}

/// Memory of a fresh server, of idle connections, and of items.
pub fn memory(lab: &Lab) -> Outcome<Findings> {
    let mut table = Table::new(
        "memory",
        "\n## Memory\n\n\
         Resident memory: of a fresh server; added by each of 1,000 connections that have made one \
         request and sleep, beside 1,000 others; added by each of 1,000,000 items with 12-byte keys and \
         100-byte values. Medians over fresh starts.\n\n\
         | | ours | theirs | ratio |\n|---|---|---|---|\n",
    );
    for &mode in &lab.options.modes {
        table.idle_connection(lab, mode)?;
        let mut fresh = Figures::default();
        each_start(lab.options.starts.max(3), |start, index, side| {
            let server = lab.start(side, mode)?;
            let mib = process::resident_bytes(server.pid())? as f64 / 1048576.0;
            fresh.0[index].push(mib);
            table.note(&mode, "fresh", start, side, "mib", mib);
            Ok(())
        })?;
        table.row(&format!("fresh server, {}, MiB", mode.title()), &fresh);
    }
    let mut items = Figures::default();
    each_start(lab.options.starts, |start, index, side| {
        let server = lab.start(side, Mode::Plain)?;
        let mut admin = server.admin()?;
        let before = process::resident_bytes(server.pid())?;
        let count = fill_many(&mut admin)?;
        let after = process::resident_bytes(server.pid())?;
        let each = (after as f64 - before as f64) / count as f64;
        eprintln!(
            "[{}] plain memory    {side:<6} {each:.1} bytes per item",
            start + 1
        );
        items.0[index].push(each);
        table.note(&Mode::Plain, "item", start, side, "bytes", each);
        Ok(())
    })?;
    table.row("item, bytes", &items);
    Ok(table.findings)
}

/// Memory of idle connections in the chosen modes.
pub fn idle(lab: &Lab) -> Outcome<Findings> {
    let mut table = Table::new(
        "memory",
        "\n## Memory of an idle connection\n\n\
         Resident memory added by each of 1,000 connections that have made one request and sleep, \
         beside 1,000 others; medians over fresh starts.\n\n\
         | | ours | theirs | ratio |\n|---|---|---|---|\n",
    );
    for &mode in &lab.options.modes {
        table.idle_connection(lab, mode)?;
    }
    Ok(table.findings)
}

/// Time from the spawn to the first accepted connection.
pub fn startup(lab: &Lab) -> Outcome<Findings> {
    let mut table = Table::new(
        "startup",
        "\n## Start-up\n\n\
         From spawning the process to the first accepted connection, tried every 0.5 ms; medians \
         of seven starts.\n\n\
         | | ours | theirs | ratio |\n|---|---|---|---|\n",
    );
    for &mode in &lab.options.modes {
        let mut times = Figures::default();
        each_start(STARTS, |start, index, side| {
            let millis = lab.start(side, mode)?.start_time.as_secs_f64() * 1e3;
            times.0[index].push(millis);
            table.note(&mode, "start", start, side, "ms", millis);
            Ok(())
        })?;
        let [ours, theirs] = times.medians();
        eprintln!("{mode:<5} start-up  ours {ours:.1} ms, theirs {theirs:.1} ms");
        table.row(&format!("{}, ms", mode.title()), &times);
    }
    Ok(table.findings)
}

/// Calls `each` with (start, index of the side, side), the sides in alternating order.
fn each_start(
    starts: usize,
    mut each: impl FnMut(usize, usize, Side) -> Outcome<()>,
) -> Outcome<()> {
    for start in 0..starts {
        let order = if start % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            each(start, index, Side::BOTH[index])?;
        }
    }
    Ok(())
}

/// Stores a million items of 100 bytes, and waits until the server has settled; returns how many items there are.
pub fn fill_many(admin: &mut Admin) -> Outcome<u64> {
    workload::fill(admin, MANY, MANY_FIRST..MANY.count)?;
    settled_items(admin)
}

/// Waits for the hash table to stop growing; returns how many items there are.
pub fn settled_items(admin: &mut Admin) -> Outcome<u64> {
    let limit = Instant::now() + SETTLE_LIMIT;
    while Instant::now() < limit {
        thread::sleep(SETTLE);
        let stats = admin.stats()?;
        if stats.count("hash_is_expanding") == 0 {
            return match stats.count("curr_items") {
                0 => Err(Fail::new("the server holds no item", "raise --memory")),
                n => Ok(n),
            };
        }
    }
    Err(Fail::new(
        "the hash table does not stop growing",
        "a defect of the server",
    ))
}

/// A table of ours, theirs and their ratio.
struct Table {
    section: &'static str,
    findings: Findings,
}

impl Table {
    fn new(section: &'static str, heading: &str) -> Self {
        Table {
            section,
            findings: Findings {
                text: heading.to_owned(),
                ..Findings::default()
            },
        }
    }

    fn note(
        &mut self,
        mode: &dyn Display,
        row: &str,
        start: usize,
        side: Side,
        unit: &str,
        value: f64,
    ) {
        self.findings
            .note([&self.section, mode, &row], start, side, unit, value);
    }

    fn idle_connection(&mut self, lab: &Lab, mode: Mode) -> Outcome<()> {
        let mut idle = Figures::default();
        each_start(lab.options.starts.max(3), |start, index, side| {
            let server = lab.start(side, mode)?;
            workload::fill(&mut server.admin()?, SMALL, 0..SMALL.count)?;
            let target = lab.target(&server, mode);
            let mut early = Lockstep::connect(&target, EARLY, 1)?;
            for _ in 0..EARLY_ROUNDS {
                early.round()?;
            }
            let mut first = Lockstep::connect(&target, IDLE, 2)?;
            first.round()?;
            thread::sleep(SETTLE);
            let before = process::resident_bytes(server.pid())?;
            let mut conns = Lockstep::connect(&target, IDLE, 2)?;
            conns.round()?;
            thread::sleep(SETTLE);
            let after = process::resident_bytes(server.pid())?;
            let each = (after as f64 - before as f64) / IDLE.connections as f64 / 1024.0;
            eprintln!(
                "[{}] {mode:<5} memory    {side:<6} {each:.2} KiB per idle conn",
                start + 1
            );
            idle.0[index].push(each);
            self.note(&mode, "idle_conn", start, side, "kib", each);
            Ok(())
        })?;
        let name = format!("idle connection, {}, KiB", mode.title());
        self.row(&name, &idle);
        if mode != Mode::Plain {
            let [ours, theirs] = idle.medians();
            self.findings.goals.push(Goal {
                what: format!(
                    "memory of an idle {} connection, ours by theirs",
                    mode.title()
                ),
                bound: Bound::AtMost(1.0),
                measured: ours / theirs,
                unit: "",
            });
        }
        Ok(())
    }

    fn row(&mut self, name: &str, figures: &Figures) {
        let [ours, theirs] = figures.medians();
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.findings.text,
            "| {name} | {} | {} | **{:.2}** |",
            figure(ours),
            figure(theirs),
            ours / theirs
        );
        let name = format!("{} {name}", self.section);
        self.findings.ratios.push((name, ours / theirs));
    }
}
