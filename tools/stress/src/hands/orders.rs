//! Orders with one line of answer: crawls, page moves, limits and queues.

use std::time::Duration;

use rig::fail::Outcome;
use rig::random::Random;
use rig::stream::Target;

use crate::shared::{Count, Shared, wrong};
use crate::wire::Wire;

/// The highest number of a class, and one that is none.
const CLASSES: u32 = 64;
/// The least that `cache_memlimit` takes, in megabytes.
const LEAST_MEMORY: u32 = 8;

const OK: &[&str] = &["OK"];
/// 1.6.18 takes the word for a number.
const OK_OR_NOT_KNOWN: &[&str] = &["OK", "CLIENT_ERROR bad command line format"];
const CRAWL: &[&str] = &[
    "OK",
    "BUSY currently processing crawler request",
    "BADCLASS invalid class id",
    "NOTSTARTED no items to crawl",
    "CLIENT_ERROR lru crawler disabled",
    // 1.6.18, while its thread comes to its end.
    "ERROR an unknown error happened",
];
const ENABLE: &[&str] = &["OK", "ERROR failed to start lru crawler thread"];
const REASSIGN: &[&str] = &[
    "OK",
    "BUSY currently processing reassign request",
    "BADCLASS invalid src or dst class id",
    "NOSPARE source class has no spare pages",
    "SAME src and dst class are identical",
    "CLIENT_ERROR slab reassignment disabled",
];
const LIMIT: &[&str] = &[
    "OK",
    "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust",
];

/// A line, and what it may be answered with.
pub struct Order {
    line: String,
    answers: &'static [&'static str],
}

impl Order {
    fn new(line: impl Into<String>, answers: &'static [&'static str]) -> Order {
        Order {
            line: line.into(),
            answers,
        }
    }

    /// Asks, and checks the answer.
    pub fn give(&self, wire: &mut Wire<'_>, shared: &Shared) -> Outcome<()> {
        wire.send(format!("{}\r\n", self.line).as_bytes())?;
        let line = wire.line().map_err(|fail| fail.during(&self.line))?;
        shared.add(Count::Orders, 1);
        if line == "ERROR" {
            shared.note_unknown(&self.line);
        } else if !self.answers.contains(&line.as_str()) {
            return Err(wrong(&self.answers.join(" or "), &line).during(&self.line));
        }
        Ok(())
    }
}

/// Who gives what orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Office {
    /// `lru_crawler`, but for dumps.
    Crawler,
    /// `slabs`
    Mover,
    /// `cache_memlimit`, within these megabytes, and `lru`.
    Limits(u32),
}

impl Office {
    /// Gives orders until the run ends.
    pub fn run(self, target: &Target, random: &mut Random, shared: &Shared) -> Outcome<()> {
        let mut wire = Wire::open(target, shared)?;
        while shared.goes_on() {
            self.order(random).give(&mut wire, shared)?;
            let pause = self.longest_pause();
            shared.pause(Duration::from_millis(u64::from(random.below(pause))));
        }
        Ok(())
    }

    fn order(self, random: &mut Random) -> Order {
        match self {
            Office::Crawler => crawler(random),
            Office::Mover => mover(random),
            Office::Limits(most) => limits(most, random),
        }
    }

    /// In milliseconds.
    fn longest_pause(self) -> u32 {
        match self {
            Office::Crawler => 60,
            Office::Mover => 10,
            Office::Limits(_) => 1_500,
        }
    }
}

fn crawler(random: &mut Random) -> Order {
    match random.below(20) {
        0 => Order::new("lru_crawler disable", OK),
        1..6 => Order::new("lru_crawler enable", ENABLE),
        6 => Order::new(format!("lru_crawler sleep {}", random.below(1_000)), OK),
        7 => Order::new(format!("lru_crawler tocrawl {}", random.below(2_000)), OK),
        _ => Order::new(format!("lru_crawler crawl {}", classes(random)), CRAWL),
    }
}

/// A list of classes, or all; one in many is no class.
pub fn classes(random: &mut Random) -> String {
    if random.below(3) == 0 {
        return "all".to_owned();
    }
    let ids = (0..=random.below(5)).map(|_| random.below(CLASSES).to_string());
    ids.collect::<Vec<_>>().join(",")
}

fn mover(random: &mut Random) -> Order {
    let digit = 1 + random.below(9);
    match random.below(40) {
        0 => Order::new(format!("slabs automove {}", random.below(3)), OK),
        1 => Order::new(
            format!("slabs automove window {}", 2 + digit),
            OK_OR_NOT_KNOWN,
        ),
        2 => Order::new(format!("slabs automove ratio 0.{digit}"), OK),
        3 => Order::new(
            format!("slabs automove freeratio 0.0{digit}"),
            OK_OR_NOT_KNOWN,
        ),
        _ => {
            let source = i64::from(random.below(CLASSES + 1)) - 1;
            let target = random.below(CLASSES);
            Order::new(format!("slabs reassign {source} {target}"), REASSIGN)
        }
    }
}

fn limits(most: u32, random: &mut Random) -> Order {
    match random.below(10) {
        0 => Order::new(
            format!(
                "lru mode {}",
                ["flat", "segmented", "segmented"][random.below(3) as usize]
            ),
            OK,
        ),
        1 => Order::new(
            format!("lru temp_ttl {}", i64::from(random.below(60)) - 10),
            OK,
        ),
        2 | 3 => {
            let (hot, warm) = (5 + random.below(35), 5 + random.below(35));
            let factors = (1 + random.below(9), 1 + random.below(3));
            let line = format!("lru tune {hot} {warm} 0.{} {}.0", factors.0, factors.1);
            Order::new(line, OK)
        }
        _ => {
            let megabytes = LEAST_MEMORY + random.below(most - LEAST_MEMORY + 1);
            Order::new(format!("cache_memlimit {megabytes}"), LIMIT)
        }
    }
}
