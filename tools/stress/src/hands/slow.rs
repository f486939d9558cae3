//! Who asks for much and reads it late: the items stay pinned meanwhile, and their bytes must be those of then.

use std::time::Duration;

use rig::fail::{Context, Outcome};
use rig::random::Random;
use rig::stream::Target;

use crate::key::{Family, Key};
use crate::shared::{Count, Shared, wrong};
use crate::value;
use crate::wire::Wire;

/// Keys asked for at a time.
const KEYS: u32 = 60;
/// Times that each request is sent before anything is read.
const ROUNDS: u32 = 3;
const LONGEST_WAIT_MS: u32 = 4_000;

/// Reads slowly until the run ends.
pub fn run(target: &Target, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut wire = Wire::open_thin(target, shared)?;
    let mut bytes = Vec::new();
    while shared.goes_on() {
        for _ in 0..ROUNDS {
            wire.send(&request(random))?;
        }
        shared.pause(Duration::from_millis(random.below(LONGEST_WAIT_MS).into()));
        for _ in 0..ROUNDS {
            read(&mut wire, &mut bytes, shared).map_err(|fail| fail.during("the slow reader"))?;
        }
    }
    Ok(())
}

fn request(random: &mut Random) -> Vec<u8> {
    let mut out = b"get".to_vec();
    for _ in 0..KEYS {
        let key = Key::any(Family::Shared, 0, random);
        out.extend_from_slice(format!(" {}", key.word()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn read(wire: &mut Wire<'_>, bytes: &mut Vec<u8>, shared: &Shared) -> Outcome<()> {
    loop {
        let line = wire.line()?;
        if line == "END" {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (first, key) = (words.next(), words.next());
        let key = key.and_then(|key| Key::parse(key.as_bytes()));
        let len = words.nth(1).and_then(|len| len.parse().ok());
        let (Some("VALUE"), Some(key), Some(len)) = (first, key, len) else {
            return Err(wrong("VALUE … or END", &line));
        };
        wire.value(bytes, len)?;
        let advice = "a pinned item has changed: repeat with the same --seed";
        value::check(bytes, key).context(format_args!("{key}, {len} bytes"), advice)?;
        shared.add(Count::Pinned, 1);
    }
}
