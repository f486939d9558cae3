//! Flushes, now and then: of all that is there, at once or in a second or two.

use std::time::{Duration, Instant};

use rig::fail::Outcome;
use rig::random::Random;
use rig::stream::Target;

use crate::shared::{Count, Shared, wrong};
use crate::wire::Wire;

/// Between two flushes, at least and at most.
const PAUSE_MS: (u32, u32) = (3_000, 9_000);
/// Seconds are counted from where they begin.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// Between two looks at the server's clock.
const LOOK: Duration = Duration::from_millis(100);

/// Flushes until the run ends.
pub fn run(target: &Target, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut wire = Wire::open(target, shared)?;
    loop {
        let pause = PAUSE_MS.0 + random.below(PAUSE_MS.1 - PAUSE_MS.0);
        shared.pause(Duration::from_millis(pause.into()));
        if !shared.goes_on() {
            return Ok(());
        }
        let delay = u64::from(random.below(3));
        let before = Instant::now();
        flush(&mut wire, delay)?;
        shared.add(Count::Flushes, 1);
        if delay > 0 {
            let due = Instant::now() + Duration::from_secs(delay) + CLOCK_SLACK;
            while shared.goes_on() && shared.clock() < due {
                shared.pause(LOOK);
            }
        }
        // A run that ended meanwhile has not waited for it.
        if delay == 0 || shared.goes_on() {
            shared.note_flush(before);
        }
    }
}

fn flush(wire: &mut Wire<'_>, delay: u64) -> Outcome<()> {
    let line = match delay {
        0 => "flush_all".to_owned(),
        _ => format!("flush_all {delay}"),
    };
    wire.send(format!("{line}\r\n").as_bytes())?;
    match wire.line()?.as_str() {
        "OK" => Ok(()),
        other => Err(wrong("OK", other).during(line)),
    }
}
