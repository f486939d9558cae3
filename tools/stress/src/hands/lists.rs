//! Statistics: every list, over and over, its form checked.

use std::time::Duration;

use rig::fail::Outcome;
use rig::random::Random;
use rig::stream::Target;

use crate::shared::{Count, Shared, wrong};
use crate::wire::Wire;

const LONGEST_PAUSE_MS: u32 = 80;
const LISTS: &[&str] = &[
    "stats",
    "stats items",
    "stats slabs",
    "stats sizes",
    "stats settings",
    "stats conns",
];

/// Asks for lists until the run ends.
pub fn run(target: &Target, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut wire = Wire::open(target, shared)?;
    while shared.goes_on() {
        let line = match random.below(20) {
            0 => "stats reset".to_owned(),
            1..5 => format!(
                "stats cachedump {} {}",
                random.below(64),
                random.below(1_000)
            ),
            _ => LISTS[random.below(LISTS.len() as u32) as usize].to_owned(),
        };
        ask(&mut wire, &line, shared).map_err(|fail| fail.during(&line))?;
        shared.pause(Duration::from_millis(random.below(LONGEST_PAUSE_MS).into()));
    }
    Ok(())
}

fn ask(wire: &mut Wire<'_>, line: &str, shared: &Shared) -> Outcome<()> {
    wire.send(format!("{line}\r\n").as_bytes())?;
    shared.add(Count::Lists, 1);
    loop {
        let answer = wire.line()?;
        match answer.split(' ').next() {
            Some("STAT") if answer.splitn(3, ' ').count() == 3 => {}
            Some("ITEM") if is_item(&answer) => {}
            Some("END" | "RESET") => return Ok(()),
            _ if answer == "ERROR" => {
                shared.note_unknown(line);
                return Ok(());
            }
            _ => return Err(wrong("a line of statistics", &answer)),
        }
    }
}

/// `ITEM <key> [<value bytes> b; <expiry> s]`
fn is_item(line: &str) -> bool {
    let read = || {
        let (_key, rest) = line.strip_prefix("ITEM ")?.split_once(" [")?;
        let (len, expiry) = rest.strip_suffix(" s]")?.split_once(" b; ")?;
        Some((len.parse::<u32>().ok()?, expiry.parse::<i64>().ok()?))
    };
    read().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_cachedump_have_a_form() {
        assert!(is_item("ITEM own1:3 [64 b; 0 s]"));
        assert!(!is_item("ITEM own1:3 [64 b; 0 s"));
        assert!(!is_item("ITEM own1:3 [x b; 0 s]"));
    }
}
