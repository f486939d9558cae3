//! Events as lines: what a watcher reads. (stats-and-admin.md §7.2)
//!
//! The names of the fields, their order and the bare LF are what log shippers are tuned to.

use crate::line::Line;
use crate::logger::event::{Crawl, Event, Peer};

/// Microseconds of a second.
const SECOND: u64 = 1_000_000;

/// When an event was logged, and its place among all that were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its number.
    pub(super) gid: u64,
    /// Microseconds since 1970.
    pub(super) micros: u64,
}

/// Writes the line of an event.
pub(super) fn write(stamp: &Stamp, event: &Event<'_>, line: &mut Line) {
    line.push(b"ts=");
    line.push_number(stamp.micros / SECOND);
    line.push(b".");
    push_padded(stamp.micros % SECOND, line);
    number(b" gid=", stamp.gid, line);
    word(b" type=", name(event), line);
    fields(event, line);
    line.push(b"\n");
}

/// Six digits, so that they are a fraction.
fn push_padded(micros: u64, line: &mut Line) {
    let mut unit = SECOND / 10;
    while unit > micros && unit > 1 {
        line.push(b"0");
        unit /= 10;
    }
    line.push_number(micros);
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::ItemGet { .. } => "item_get",
        Event::ItemStore { .. } => "item_store",
        Event::Deleted { .. } => "deleted",
        Event::Eviction { .. } => "eviction",
        Event::ConnNew { .. } => "conn_new",
        Event::ConnClose { .. } => "conn_close",
        Event::ConnTlsError { .. } => "conntlserr",
        Event::LruCrawler(_) => "lru_crawler",
        Event::SlabMove { .. } => "slab_move",
    }
}

fn fields(event: &Event<'_>, line: &mut Line) {
    match *event {
        Event::ItemGet {
            key,
            status,
            class,
            fd,
            size,
        } => {
            push_key(key, line);
            word(b" status=", status.word(), line);
            number(b" clsid=", class, line);
            signed(b" cfd=", fd, line);
            number(b" size=", size, line);
        }
        Event::ItemStore {
            key,
            status,
            command,
            ttl,
            class,
            fd,
            size,
        } => {
            push_key(key, line);
            word(b" status=", status.word(), line);
            word(b" cmd=", command.word(), line);
            number(b" ttl=", ttl, line);
            number(b" clsid=", class, line);
            signed(b" cfd=", fd, line);
            number(b" size=", size, line);
        }
        Event::Deleted {
            key,
            command,
            class,
            size,
        } => {
            push_key(key, line);
            word(b" cmd=", command.word(), line);
            number(b" clsid=", class, line);
            number(b" size=", size, line);
        }
        Event::Eviction {
            key,
            was_fetched,
            ttl,
            idle_secs,
            class,
            size,
        } => {
            push_key(key, line);
            word(b" fetch=", if was_fetched { "yes" } else { "no" }, line);
            signed(b" ttl=", ttl, line);
            number(b" la=", idle_secs, line);
            number(b" clsid=", class, line);
            number(b" size=", size, line);
        }
        Event::ConnNew { peer, fd } => {
            push_peer(&peer, line);
            signed(b" cfd=", fd, line);
        }
        Event::ConnClose { peer, reason, fd } => {
            push_peer(&peer, line);
            word(b" reason=", reason.word(), line);
            signed(b" cfd=", fd, line);
        }
        Event::ConnTlsError { fd, text } => {
            signed(b" fd=", fd, line);
            line.push(b" msg=");
            line.push(text);
        }
        Event::LruCrawler(crawl) => push_crawl(&crawl, line),
        Event::SlabMove { from, to, moved } => {
            number(b" src=", from, line);
            number(b" dst=", to, line);
            word(b" state=", if moved { "ok" } else { "fail" }, line);
        }
    }
}

fn push_key(key: &[u8], line: &mut Line) {
    line.push(b" key=");
    line.push_uri(key);
}

fn push_peer(peer: &Peer<'_>, line: &mut Line) {
    line.push(b" rip=");
    line.push(peer.ip);
    number(b" rport=", peer.port, line);
    word(b" transport=", peer.wire.word(), line);
}

fn push_crawl(crawl: &Crawl, line: &mut Line) {
    number(b" crawler=", crawl.class, line);
    word(b" lru=", crawl.queue.word(), line);
    number(b" low_mark=", crawl.low_mark, line);
    number(b" next_reclaims=", crawl.next_reclaims, line);
    number(b" since_run=", crawl.since_run, line);
    number(b" next_run=", crawl.next_run, line);
    number(b" elapsed=", crawl.elapsed, line);
    number(b" examined=", crawl.examined, line);
    number(b" reclaimed=", crawl.reclaimed, line);
}

fn word(field: &[u8], word: &str, line: &mut Line) {
    line.push(field);
    line.push(word.as_bytes());
}

fn number(field: &[u8], number: impl Into<u64>, line: &mut Line) {
    line.push(field);
    line.push_number(number.into());
}

fn signed(field: &[u8], number: i32, line: &mut Line) {
    line.push(field);
    if number < 0 {
        line.push(b"-");
    }
    line.push_number(number.unsigned_abs().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KEY_MAX;
    use crate::logger::event::{Look, SAMPLES, Store, StoreCommand};
    use crate::logger::ring::TEXT_MAX;

    fn line_of(micros: u64, event: &Event<'_>) -> String {
        let mut line = Line::new();
        write(&Stamp { gid: 7, micros }, event, &mut line);
        String::from_utf8(line.bytes().to_vec()).expect("lines are plain")
    }

    #[test]
    fn every_event_has_its_fields_in_order() {
        let texts = [
            "item_get key=a%20key status=expired clsid=63 cfd=12 size=4294967295",
            "item_store key=k status=no_memory cmd=cas ttl=100 clsid=1 cfd=65536 size=7",
            "deleted key=gone cmd=md clsid=5 size=3",
            "eviction key=e%2C0 fetch=yes ttl=-7 la=30 clsid=36 size=250000",
            "conn_new rip=127.0.0.1 rport=65535 transport=tcp cfd=30",
            "conn_close rip=unix rport=0 transport=local reason=idle_timeout cfd=31",
            "conntlserr fd=32 msg=error:0A00010B:SSL routines::wrong version number",
            "lru_crawler crawler=63 lru=temp low_mark=1 next_reclaims=2 since_run=3 next_run=65 elapsed=4 examined=5 reclaimed=6",
            "slab_move src=22 dst=12 state=ok",
        ];
        for (event, text) in SAMPLES.iter().zip(texts) {
            let expected = format!("ts=1700000000.032785 gid=7 type={text}\n");
            assert_eq!(line_of(1_700_000_000_032_785, event), expected);
        }
    }

    // D7: the reference leaves the zeros out.
    #[test]
    fn microseconds_have_six_digits() {
        for (micros, ts) in [
            (5_000_000, "ts=5.000000 "),
            (5_000_009, "ts=5.000009 "),
            (5_000_010, "ts=5.000010 "),
            (5_032_785, "ts=5.032785 "),
            (5_100_000, "ts=5.100000 "),
            (5_999_999, "ts=5.999999 "),
        ] {
            assert!(line_of(micros, &SAMPLES[0]).starts_with(ts), "{ts}");
        }
    }

    #[test]
    fn the_longest_events_fit_a_line() {
        let longest = Event::ItemStore {
            key: &[0xff; KEY_MAX],
            status: Store::NotStored,
            command: StoreCommand::Prepend,
            ttl: u32::MAX,
            class: 63,
            fd: i32::MAX,
            size: u32::MAX,
        };
        let line = line_of(u64::MAX, &longest);
        assert!(line.ends_with(" size=4294967295\n"));
        let get = Event::ItemGet {
            key: &[0xff; TEXT_MAX],
            status: Look::NotFound,
            class: 0,
            fd: 1,
            size: 0,
        };
        assert!(line_of(u64::MAX, &get).contains("%FF"));
        let fault = Event::ConnTlsError {
            fd: 1,
            text: &[b'x'; TEXT_MAX],
        };
        assert!(line_of(u64::MAX, &fault).ends_with("x\n"));
    }
}
