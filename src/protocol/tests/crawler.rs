//! lru_crawler: what it answers, in which order it looks at what is wrong, and the lines of its dumps.

use super::*;

const DISABLED: &str = "CLIENT_ERROR lru crawler disabled|";
const BAD_CLASS: &str = "BADCLASS invalid class id|";
const BUSY: &str = "BUSY currently processing crawler request|";

/// A peer of a server whose crawler runs until this is dropped.
struct Crawled(Peer);

impl Crawled {
    fn new(change: impl FnOnce(&mut Settings)) -> Crawled {
        let mut peer = Peer::new(env(change));
        assert_eq!(peer.ask("lru_crawler enable\r\n"), "OK\r\n");
        Crawled(peer)
    }
}

impl Drop for Crawled {
    fn drop(&mut self) {
        self.0.env.engine.disable_crawler();
    }
}

#[test]
fn the_thread_is_there_or_not() {
    let mut crawled = Crawled::new(|_| {});
    crawled.0.dialogue(&[
        (
            "lru_crawler enable|",
            "ERROR failed to start lru crawler thread|",
        ),
        ("lru_crawler disable|lru_crawler disable|", "OK|OK|"),
        ("lru_crawler crawl all|", DISABLED),
        ("lru_crawler crawl x|", DISABLED),
        (
            "lru_crawler metadump x|lru_crawler mgdump hash|",
            &DISABLED.repeat(2),
        ),
        ("lru_crawler enable noreply|mn|", "MN|"),
        ("lru_crawler crawl all|", DISABLED),
        (
            "lru_crawler enable|lru_crawler disable|lru_crawler enable|",
            "OK|OK|OK|",
        ),
        ("lru_crawler crawl noreply|mn|", "MN|"),
        ("lru_crawler crawl 1|", "OK|"),
    ]);
}

#[test]
fn what_is_wrong_is_told_in_order() {
    let mut crawled = Crawled::new(|_| {});
    let peer = &mut crawled.0;
    peer.dialogue(&[
        (
            "lru_crawler|lru_crawler e|lru_crawler crawl|",
            "ERROR|ERROR|ERROR|",
        ),
        (
            "lru_crawler crawl 1 2|lru_crawler metadump all all|",
            "ERROR|ERROR|",
        ),
        (
            "lru_crawler crawl 0|lru_crawler crawl 1,x|",
            &BAD_CLASS.repeat(2),
        ),
        ("lru_crawler mgdump 64|", BAD_CLASS),
        (
            "lru_crawler crawl hash|",
            "ERROR an unknown error happened|",
        ),
        ("lru_crawler crawl ,|", "NOTSTARTED no items to crawl|"),
        ("lru_crawler metadump ,|", "NOTSTARTED no items to crawl|"),
        ("lru_crawler metadump all|mn|", "OK|END|MN|"),
        (
            "version|lru_crawler metadump x|lru_crawler mgdump x|",
            concat!(
                "VERSION ",
                env!("MEMCACHED_VERSION"),
                "|ERROR cannot pipeline other commands before metadump|\
                 ERROR cannot pipeline other commands before mgdump|"
            ),
        ),
        (
            "lru_crawler sleep 1000001|",
            "CLIENT_ERROR sleep must be one second or less|",
        ),
        (
            "lru_crawler sleep x|",
            "CLIENT_ERROR bad command line format|",
        ),
        ("lru_crawler sleep 1000000|lru_crawler tocrawl 5|", "OK|OK|"),
        (
            "lru_crawler tocrawl -1|",
            "CLIENT_ERROR bad command line format|",
        ),
        ("lru_crawler tocrawl 0|", "OK|"),
    ]);
    for number in 0..1_001 {
        peer.feed(format!("set {number} 0 0 1 noreply\r\nx\r\n").as_bytes());
    }
    peer.dialogue(&[
        ("lru_crawler crawl all|", "OK|"),
        (
            "lru_crawler crawl all|lru_crawler crawl ,|lru_crawler crawl hash|",
            &BUSY.repeat(3),
        ),
        ("lru_crawler metadump all|", BUSY),
        ("lru_crawler mgdump 1|", BUSY),
        ("lru_crawler crawl x|", BAD_CLASS),
    ]);
}

#[test]
fn dumps_are_refused_where_they_are_not_allowed_and_where_there_is_no_conn() {
    let mut crawled = Crawled::new(|settings| settings.commands.dump_enabled = false);
    crawled.0.dialogue(&[
        ("lru_crawler metadump x|", "ERROR metadump not allowed|"),
        ("lru_crawler mgdump x|", "ERROR key dump not allowed|"),
        ("lru_crawler crawl all|", "OK|"),
    ]);
    let mut crawled = Crawled::new(|_| {});
    crawled.0.env.reach = Reach::Datagram;
    crawled
        .0
        .dialogue(&[("lru_crawler metadump all|", "ERROR|")]);
}

/// With the moments left out.
fn metadump(peer: &mut Peer, lists: &str) -> String {
    let said = peer.ask(format!("lru_crawler metadump {lists}\r\nmn\r\n"));
    let words = said
        .split_inclusive(' ')
        .map(|word| match word.split_once('=') {
            Some((name @ ("exp" | "la"), moment)) if moment != "-1 " => {
                assert_eq!(moment.trim_end().len(), 10, "{word}");
                format!("{name}=N ")
            }
            _ => word.to_owned(),
        });
    shown(&words.collect::<String>())
}

#[test]
fn a_metadump_tells_what_is_known_of_each_item() {
    let mut crawled = Crawled::new(|_| {});
    let peer = &mut crawled.0;
    peer.dialogue(&[
        ("set md1 7 0 1|x|", "STORED|"),
        ("set md2 0 1000 3|abc|mg md2|", "STORED|HD|"),
        ("set a%b,c!~-._/ 0 0 1|x|", "STORED|"),
        ("ms Zm9vIGJhcg== 2 b F9|hi|", "HD|"),
        ("set gone 0 -1 1|x|", "STORED|"),
        (
            &format!("set large 1 0 300|{}|", "y".repeat(300)),
            "STORED|",
        ),
    ]);
    let small = "key=md1 exp=-1 la=N cas=2 fetch=no cls=1 size=67 flags=7 \n\
                 key=md2 exp=N la=N cas=3 fetch=yes cls=1 size=65 flags=0 \n\
                 key=a%25b%2Cc%21~-._%2F exp=-1 la=N cas=4 fetch=no cls=1 size=71 flags=0 \n\
                 key=foo%20bar exp=-1 la=N cas=5 fetch=no cls=1 size=72 flags=9 \n";
    let large = "key=large exp=-1 la=N cas=7 fetch=no cls=7 size=368 flags=1 \n";
    assert_eq!(metadump(peer, "1"), format!("OK|{small}END|MN|"));
    assert_eq!(metadump(peer, "2,7"), format!("OK|{large}END|MN|"));
    let all = metadump(peer, "hash");
    let mut lines: Vec<&str> = all.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 6);
    lines[0] = lines[0].strip_prefix("OK|").expect("it begins with OK");
    lines.sort_unstable();
    let mut expected: Vec<&str> = small
        .split_inclusive('\n')
        .chain([large, "END|MN|"])
        .collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn an_mgdump_tells_how_to_fetch_each_item() {
    let mut crawled = Crawled::new(|_| {});
    crawled.0.dialogue(&[
        (
            "set mg1 0 0 1|x|set mg2 0 0 1|x|ms AAEC 1 b|x|",
            "STORED|STORED|HD|",
        ),
        (
            "lru_crawler mgdump all|mn|",
            "OK|mg mg1|mg mg2|mg AAEC b|EN|MN|",
        ),
        ("lru_crawler mgdump 5|mn|", "OK|EN|MN|"),
    ]);
}

#[test]
fn a_dump_of_many_items_fills_sheet_after_sheet() {
    let mut crawled = Crawled::new(|_| {});
    let peer = &mut crawled.0;
    for number in 0..5_000 {
        peer.feed(format!("set key{number} 0 0 1 noreply\r\nx\r\n").as_bytes());
    }
    let in_order: String = (0..5_000)
        .map(|number| format!("mg key{number}|"))
        .collect();
    let said = peer.ask("lru_crawler mgdump all\r\n");
    assert_eq!(shown(&said), format!("OK|{in_order}EN|"));
    let said = peer.ask("lru_crawler mgdump hash\r\n");
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines.pop()), ("OK", Some("EN")));
    assert_eq!(lines.len(), 5_001);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 5_001, "each key once");
}
