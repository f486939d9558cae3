//! Metrics of what is no statistic of `stats`: that the server is up, who is connected and what they do, and by which
//! sockets they have come.

use crate::metrics::page::{Label, Page};
use crate::metrics::table::Kind;
use crate::roster::Books;
use crate::roster::cards::{self, Cards};
use crate::roster::doors::Door;
use crate::roster::state::State;

/// Kinds of clients, as their label names them.
const TRANSPORTS: [(cards::Kind, &str); 2] =
    [(cards::Kind::Tcp, "tcp"), (cards::Kind::Unix, "unix")];

/// Whoever reads a page has reached the server.
pub(super) fn write_up(page: &mut Page) {
    let metric = "memcached_up";
    page.head(metric, Kind::Gauge, "Whether the server answers.");
    page.value(metric, "", [], 1);
}

/// Clients by their state, and listening sockets.
pub(super) fn write(books: &Books, page: &mut Page) {
    write_states(books.cards, page);
    write_doors(books.doors.all(), page);
}

/// All states, so that none is missing when nobody is in it.
fn write_states(cards: &Cards, page: &mut Page) {
    let metric = "memcached_connection_states";
    page.head(
        metric,
        Kind::Gauge,
        "Clients by what their connection is doing.",
    );
    for (kind, transport) in TRANSPORTS {
        let counts = count(cards, kind);
        for state in State::all().filter(|state| is_a_clients(*state)) {
            let labels = [
                Label::new("transport", transport),
                Label::new("state", state.name()),
            ];
            page.value(metric, "", labels, counts[usize::from(state as u8)]);
        }
    }
}

fn is_a_clients(state: State) -> bool {
    !matches!(state, State::Closed | State::Listening)
}

/// Clients of a kind by the number of their state. No card is locked: a look at each is one load or two.
fn count(cards: &Cards, kind: cards::Kind) -> [u64; 256] {
    let mut counts = [0; 256];
    for pulse in (0..cards.len()).filter_map(|fd| cards.pulse(fd)) {
        if pulse.kind == kind {
            counts[usize::from(pulse.state as u8)] += 1;
        }
    }
    counts
}

fn write_doors(doors: &[Door], page: &mut Page) {
    if doors.is_empty() {
        return;
    }
    let metric = "memcached_listener_connections";
    page.head(
        metric,
        Kind::Counter,
        "Clients that have come by a listening socket.",
    );
    for door in doors {
        let tag = door.tag.to_le_bytes();
        let len = tag.iter().position(|byte| *byte == 0).unwrap_or(tag.len());
        let labels = [
            Label::new("listener", &door.address),
            Label::new("tag", &tag[..len]),
            Label::new("tls", door.tls.map_or("none", |class| class.name())),
            Label::new("protocol", door.protocol.setting_name()),
        ];
        page.value(metric, "_total", labels, door.clients.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RelTime;
    use crate::metrics::page::Style;
    use crate::os::socket::Address;
    use crate::roster::doors::Doors;
    use crate::settings::Protocol;
    use crate::storage::counters::Counter;
    use crate::tls::Class;

    fn shown(write: impl Fn(&mut Page)) -> String {
        let mut page = Page::new();
        page.begin(Style::Prometheus);
        write(&mut page);
        String::from_utf8(page.end().expect("memory").to_vec()).expect("UTF-8")
    }

    #[test]
    fn clients_are_counted_by_transport_and_state() {
        let cards = Cards::leak(8);
        let open = |fd, kind, state| {
            let card = cards.open(fd, kind, 0, state, Address::Unnamed, RelTime(62));
            card.expect("inside the table")
        };
        let _open = [
            open(3, cards::Kind::Listener, State::Listening),
            open(4, cards::Kind::Tcp, State::Read),
            open(5, cards::Kind::Tcp, State::Read),
            open(6, cards::Kind::Unix, State::Mwrite),
        ];
        let text = shown(|page| write_states(cards, page));
        let nonzero: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.ends_with(" 0"))
            .collect();
        let expected = [
            "memcached_connection_states{transport=\"tcp\",state=\"conn_read\"} 2",
            "memcached_connection_states{transport=\"unix\",state=\"conn_mwrite\"} 1",
        ];
        assert_eq!(nonzero, expected);
        assert_eq!(text.lines().count(), 2 + 2 * 9);
    }

    #[test]
    fn a_listener_is_told_by_what_it_is() {
        let doors = Doors::default();
        doors.open(
            [
                (u64::from_le_bytes(*b"fr\"nt\0\0\0"), Some(Class::Mutual)),
                (0, None),
            ]
            .into_iter()
            .map(|(tag, tls)| Door {
                address: "tcp:127.0.0.1:11211".to_owned(),
                tag,
                tls,
                protocol: Protocol::Ascii,
                clients: Counter::default(),
            }),
        );
        doors.all()[0].clients.add(3);
        let text = shown(|page| write_doors(doors.all(), page));
        let told: Vec<&str> = text.lines().skip(2).collect();
        let name = "memcached_listener_connections_total{listener=\"tcp:127.0.0.1:11211\"";
        let expected = [
            format!("{name},tag=\"fr\\\"nt\",tls=\"mutual\",protocol=\"ascii\"}} 3"),
            format!("{name},tag=\"\",tls=\"none\",protocol=\"ascii\"}} 0"),
        ];
        assert_eq!(told, expected);
        assert_eq!(shown(|page| write_doors(&[], page)), "");
    }
}
