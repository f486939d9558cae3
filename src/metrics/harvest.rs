//! What `stats` says, as names and values, and each of them written as the metric that its row makes of it.
//!
//! Lists are asked for as a client asks for them, so they are read with the locks that `stats` takes, on a thread that no
//! client waits for.

use std::fmt::{self, Write};

use crate::metrics::page::{Label, Page};
use crate::metrics::table::{Kind, Reading, Row};
use crate::os::heap::NoMemory;
use crate::pool::Share;
use crate::response::Out;
use crate::stats::{Answer, Family, Form, Registry};

/// Memory of lists is limited by their length alone.
static SHARE: Share = Share::new(usize::MAX);
/// What ends a name and a value: neither can have it.
const END: u8 = 0;
/// What stands before the class of an item's statistic.
const ITEMS: &str = "items:";
/// Microseconds of a second.
const MICROS: u64 = 1_000_000;
/// Powers of two microseconds that times are told apart by; those of a last one have no end.
const POWERS: u32 = 31;

/// A list as names and values, each with its end.
struct Fields;

impl Form for Fields {
    fn begin_line(&self, name: &[u8], _value_len: usize, out: &mut Out) {
        out.push(name);
        out.push_byte(END);
    }

    fn end_line(&self, out: &mut Out) {
        out.push_byte(END);
    }

    fn end(&self, _out: &mut Out) {}

    fn without_memory(&self, _out: &mut Out) {}
}

/// Lists of one server, asked for in turns.
pub(super) struct Harvest {
    registry: &'static Registry,
    out: Out,
}

impl Harvest {
    /// # Errors
    /// There is no memory for a list.
    pub(super) fn new(registry: &'static Registry) -> Result<Harvest, NoMemory> {
        Ok(Harvest {
            registry,
            out: Out::within(&SHARE)?,
        })
    }

    /// The list of a family now; an empty one where there is none, or no memory for it.
    pub(super) fn list(&mut self, family: Family) -> List<'_> {
        self.out.reset();
        let text = match self.registry.answer(family, &Fields, &mut self.out) {
            Answer::Written => self.out.plain().unwrap_or_default(),
            Answer::Unknown => b"",
        };
        List { text }
    }
}

/// A list of statistics.
#[derive(Clone, Copy)]
pub(super) struct List<'l> {
    text: &'l [u8],
}

/// One statistic of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat<'l> {
    /// The slab class that it is about.
    pub(super) class: Option<&'l str>,
    pub(super) name: &'l str,
    pub(super) value: &'l [u8],
}

impl<'l> List<'l> {
    pub(super) fn stats(self) -> impl Iterator<Item = Stat<'l>> {
        let mut fields = self.text.split(|byte| *byte == END);
        std::iter::from_fn(move || {
            let name = std::str::from_utf8(fields.next()?).unwrap_or_default();
            let value = fields.next()?;
            let name = name.strip_prefix(ITEMS).unwrap_or(name);
            let (class, name) = match name.split_once(':') {
                Some((class, name)) => (Some(class), name),
                None => (None, name),
            };
            Some(Stat { class, name, value })
        })
    }

    /// The number of a statistic of the class; 0 where it has none.
    fn number(self, class: Option<&str>, name: &str) -> u64 {
        let mut stats = self.stats();
        let found = stats.find(|stat| stat.name == name && stat.class == class);
        found.and_then(|stat| number(stat.value)).unwrap_or(0)
    }

    /// Writes the metrics that `rows` make of it.
    pub(super) fn write(self, rows: &[Row], page: &mut Page) {
        let mut told = "";
        for row in rows.iter().filter(|row| row.kind != Kind::Elsewhere) {
            let mut found = self
                .stats()
                .filter_map(|stat| Some((stat, row.tail(stat.name)?)));
            let Some(first) = found.next() else {
                continue;
            };
            if told != row.metric {
                page.head(row.metric, row.kind, row.help);
                told = row.metric;
            }
            if row.reading == Reading::Times {
                write_times(row, std::iter::once(first).chain(found), page);
                continue;
            }
            for (stat, tail) in std::iter::once(first).chain(found) {
                self.write_one(row, stat, tail, page);
            }
        }
    }

    fn write_one(self, row: &Row, stat: Stat<'_>, tail: &str, page: &mut Page) {
        let class = stat.class.map(|class| Label::new("slab", class));
        let fixed = row
            .labels
            .iter()
            .map(|(name, value)| Label::new(name, *value));
        let own = match row.reading {
            Reading::Word(name) => Some(Label::new(name, stat.value)),
            Reading::Tail(name) => Some(Label::new(name, tail)),
            _ => None,
        };
        let Some(value) = self.value(row, stat) else {
            return;
        };
        let suffix = match row.kind {
            Kind::Counter => "_total",
            _ => "",
        };
        let labels = class.into_iter().chain(fixed).chain(own);
        page.value(row.metric, suffix, labels, value);
    }

    /// What is shown of a value; `None` for what is not the number it should be.
    fn value(self, row: &Row, stat: Stat<'l>) -> Option<Value<'l>> {
        match row.reading {
            Reading::Number | Reading::Tail(_) => decimal(stat.value).map(Value::Text),
            Reading::Word(_) => Some(Value::Number(1)),
            Reading::Switch => {
                let on = matches!(stat.value, b"1" | b"yes" | b"on");
                Some(Value::Number(on.into()))
            }
            Reading::Less(others) => {
                let others = others.iter().map(|name| self.number(stat.class, name));
                let all = number(stat.value)?;
                Some(Value::Number(all.saturating_sub(others.sum())))
            }
            Reading::Micros | Reading::Times => number(stat.value).map(Value::Micros),
        }
    }
}

/// Counts of times by powers of two, as a histogram: how many took no longer than each. The list has powers that were met,
/// in their order; a page has all, so that they are the same each time.
fn write_times<'l>(row: &Row, found: impl Iterator<Item = (Stat<'l>, &'l str)>, page: &mut Page) {
    let mut found =
        found.filter_map(|(stat, tail)| Some((tail.parse::<u64>().ok()?, number(stat.value)?)));
    let mut next = found.next();
    let mut sum = 0;
    let mut end = String::new();
    for power in 0..POWERS {
        let limit = 1 << power;
        if let Some((_, count)) = next.filter(|(power, _)| *power <= limit) {
            sum += count;
            next = found.next();
        }
        end.clear();
        let _ = write!(end, "{}", Value::Micros(limit));
        page.value(row.metric, "_bucket", [Label::new("le", &end)], sum);
    }
    sum += next
        .into_iter()
        .chain(found)
        .map(|(_, count)| count)
        .sum::<u64>();
    page.value(row.metric, "_bucket", [Label::new("le", "+Inf")], sum);
}

/// A value as it is shown.
enum Value<'v> {
    /// As `stats` has it.
    Text(&'v str),
    Number(u64),
    /// As seconds.
    Micros(u64),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => number.fmt(f),
            Value::Micros(micros) => write!(f, "{}.{:06}", micros / MICROS, micros % MICROS),
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number as `stats` has it: digits, perhaps a sign or a fraction.
fn decimal(value: &[u8]) -> Option<&str> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'.');
    let has_digit = value.iter().any(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok()?;
    (has_digit && value.iter().all(is_part)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::page::Style;
    use crate::metrics::table;

    fn shown(text: &str, rows: &[Row]) -> String {
        let text = text.replace(['=', ' '], "\0") + "\0";
        let mut page = Page::new();
        page.begin(Style::Prometheus);
        List {
            text: text.as_bytes(),
        }
        .write(rows, &mut page);
        let page = page.end().expect("memory");
        let page = std::str::from_utf8(page).expect("UTF-8");
        let told = |line: &&str| !line.starts_with('#');
        page.lines().filter(told).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_statistic_is_shown_as_its_row_says() {
        for (text, expected) in [
            ("curr_items=7", "memcached_current_items 7"),
            ("bytes_read=8", "memcached_read_bytes_total 8"),
            (
                "rusage_user=1.000007",
                "memcached_process_user_cpu_seconds_total 1.000007",
            ),
            ("version=1.6.45", "memcached_version{version=\"1.6.45\"} 1"),
            ("accepting_conns=0", "memcached_accepting_connections 0"),
            (
                "time_in_listen_disabled_us=12000345",
                "memcached_connections_listener_disabled_seconds_total 12.000345",
            ),
            (
                "get_hits=3",
                "memcached_commands_total{command=\"get\",status=\"hit\"} 3",
            ),
            (
                "cas_hits=1 cmd_set=9 cas_badval=2",
                "memcached_commands_total{command=\"cas\",status=\"hit\"} 1|\
                 memcached_commands_total{command=\"cas\",status=\"badval\"} 2|\
                 memcached_commands_total{command=\"set\",status=\"hit\"} 6",
            ),
            ("curr_items=none", ""),
            ("unheard_of=1", ""),
        ] {
            assert_eq!(shown(text, table::GENERAL), expected, "{text}");
        }
    }

    #[test]
    fn classes_are_labels_and_a_metrics_values_stand_together() {
        assert_eq!(
            shown(
                "1:used_chunks=3 1:get_hits=4 7:used_chunks=5 7:get_hits=6 total_malloced=8",
                table::SLABS
            ),
            "memcached_malloced_bytes 8|\
             memcached_slab_chunks_used{slab=\"1\"} 3|\
             memcached_slab_chunks_used{slab=\"7\"} 5|\
             memcached_slab_commands_total{slab=\"1\",command=\"get\",status=\"hit\"} 4|\
             memcached_slab_commands_total{slab=\"7\",command=\"get\",status=\"hit\"} 6"
        );
        assert_eq!(
            shown("items:12:hits_to_temp=3", table::ITEMS),
            "memcached_slab_lru_hits_total{slab=\"12\",lru=\"temporary\"} 3"
        );
        let less = shown("2:cmd_set=5 2:cas_hits=3 3:cmd_set=4", table::SLABS);
        assert!(
            less.contains("slab=\"2\",command=\"set\",status=\"hit\"} 2|"),
            "{less}"
        );
        assert!(
            less.ends_with("slab=\"3\",command=\"set\",status=\"hit\"} 4"),
            "{less}"
        );
    }

    #[test]
    fn times_of_handshakes_are_a_histogram() {
        let text = shown(
            "ssl_handshake_us_512=3 ssl_handshake_us_2048=4 ssl_handshake_us_2147483648=1",
            table::SSL,
        );
        let name = "memcached_ssl_handshake_duration_seconds_bucket";
        let lines: Vec<&str> = text.split('|').collect();
        assert_eq!(lines.len(), 32);
        for (at, rest) in [
            (0, "{le=\"0.000001\"} 0"),
            (8, "{le=\"0.000256\"} 0"),
            (9, "{le=\"0.000512\"} 3"),
            (10, "{le=\"0.001024\"} 3"),
            (11, "{le=\"0.002048\"} 7"),
            (30, "{le=\"1073.741824\"} 7"),
            (31, "{le=\"+Inf\"} 8"),
        ] {
            assert_eq!(lines[at], format!("{name}{rest}"));
        }
        assert_eq!(
            shown("ssl_version_tlsv1.3=9", table::SSL),
            "memcached_ssl_handshakes_by_version_total{version=\"tlsv1.3\"} 9"
        );
    }
}
