//! Which command counts what. (stats-and-admin.md §3.1)

use super::binary::{ask, store};
use super::*;
use crate::storage::counters::{ClassValues, ScalarValues, ThreadValues};

/// What `requests` count on a fresh server, classes and LRU ids summed.
fn counted(requests: &str) -> (ScalarValues, ClassValues, u64) {
    let mut peer = peer();
    peer.ask(wire(requests));
    let values: ThreadValues = peer.counters();
    let hits = values.lru_hits.iter().sum();
    (values.scalars, values.all_classes(), hits)
}

#[test]
fn gets_and_touches() {
    let (scalars, classes, get_hits) = counted(
        "set a 0 0 1|1|get a none|gets a|gat 0 a none|touch a 0|touch none 0|touch none x|get|",
    );
    assert_eq!(scalars.cmd_get, 3);
    assert_eq!(scalars.get_misses, 1);
    assert_eq!(get_hits, 2);
    assert_eq!(scalars.cmd_touch, 4);
    assert_eq!(scalars.touch_misses, 2);
    assert_eq!(classes.touch_hits, 2);
    assert_eq!(classes.set_cmds, 1);
}

#[test]
fn a_line_of_several_keys_is_known_from_as_many_gets() {
    let long = format!("set a 0 0 1|1|get{}|", " a none".repeat(10_000));
    for (requests, lines, keys, misses) in [
        (
            "set a 0 0 1|1|get a|get  a |get n|mg a|mg n|gat 0 a|",
            0,
            0,
            0,
        ),
        ("set a 0 0 1|1|get a n|get n|gats 0 n a n|", 2, 5, 3),
        (long.as_str(), 1, 20_000, 10_000),
    ] {
        let (scalars, ..) = counted(requests);
        let line = (
            scalars.multigets,
            scalars.multiget_keys,
            scalars.multiget_misses,
        );
        assert_eq!(line, (lines, keys, misses));
    }
}

#[test]
fn expired_items_are_misses() {
    let (scalars, _, get_hits) = counted("set a 0 -1 1|1|get a|set a 0 -1 1|1|mg a|");
    assert_eq!(scalars.cmd_get, 2);
    assert_eq!(scalars.get_misses, 2);
    assert_eq!(scalars.get_expired, 2);
    assert_eq!(get_hits, 0);
}

#[test]
fn an_mg_refused_for_its_opaque_is_no_hit() {
    let (scalars, _, get_hits) = counted(
        "set a 0 0 1|1|mg a Okkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk|mg b Okkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk|",
    );
    assert_eq!((scalars.cmd_get, get_hits), (1, 0));
    assert_eq!(scalars.get_misses, 1);
}

#[test]
fn stores_count_once_they_have_memory() {
    let (scalars, classes, _) = counted(
        "add a 0 0 1|1|add a 0 0 1|1|replace none 0 0 1|1|append none 0 0 1|1|set a 0 0 1|1XXset a x 0 1|1|",
    );
    assert_eq!(classes.set_cmds, 5);
    assert_eq!(scalars.stores, 4, "but one that came whole");
    assert_eq!(scalars.cas_misses, 0);
    let (scalars, classes, _) = counted(
        "set a 0 0 1|1|cas a 0 0 1 9|1|cas a 0 0 1 2|1|cas none 0 0 1 1|1|ms a 1 C1|1|ms none 1 C1|1|",
    );
    assert_eq!(classes.set_cmds, 6);
    assert_eq!(
        (classes.cas_hits, classes.cas_badval, scalars.cas_misses),
        (1, 2, 2)
    );
}

#[test]
fn arithmetic_and_deletes() {
    let (scalars, classes, _) = counted(
        "set a 0 0 1|5|incr a 1|decr a 1|incr none 1|decr none 1|ma a|ma a MD|ma none|ma none MD|\
         ma new N0|set t 0 0 1|t|incr t 1|ma t|ma a C1|",
    );
    assert_eq!((classes.incr_hits, scalars.incr_misses), (2, 2));
    assert_eq!((classes.decr_hits, scalars.decr_misses), (2, 2));
    let (scalars, classes, _) = counted(
        "set a 0 0 1|5|delete a|delete a|ms a 1|5|md a C9|md a I|md a|md a|ms a 1|5|md a x|",
    );
    assert_eq!((classes.delete_hits, scalars.delete_misses), (3, 3));
}

#[test]
fn meta_gets() {
    let (scalars, classes, get_hits) =
        counted("ms m 1|1|mg m|mg m v|mg m T30 v|mg none|mg none T30|mg m v v|me m|me none|");
    assert_eq!(scalars.cmd_get, 4);
    assert_eq!(get_hits, 2);
    assert_eq!(scalars.get_misses, 2);
    assert_eq!(
        (scalars.cmd_touch, classes.touch_hits, scalars.touch_misses),
        (1, 1, 0)
    );
    assert_eq!(scalars.cmd_meta, 2);
    let (scalars, _, get_hits) = counted("mg viv N30|");
    assert_eq!((scalars.cmd_get, get_hits, scalars.get_misses), (1, 1, 0));
}

#[test]
fn refused_flushes_count() {
    let (scalars, _, _) = counted("flush_all|flush_all x|flush_all noreply|");
    assert_eq!(scalars.cmd_flush, 3);
}

#[test]
fn prefixes_are_counted_only_when_asked_for() {
    let mut peer = peer();
    let requests = "set a:1 0 0 1|1|get a:1 a:2 plain|gat 0 a:1|delete a:1|delete a:1|ms a:1 1|1|mg a:1|\
         incr a:1 1|touch a:1 0|";
    peer.ask(wire(requests));
    peer.dialogue(&[("stats detail dump|", "END|"), ("stats detail on|", "OK|")]);
    peer.ask(wire(requests));
    peer.dialogue(&[
        ("stats detail off|", "OK|"),
        (
            "stats detail dump|",
            "PREFIX a get 3 hit 2 set 1 del 2|END|",
        ),
        ("stats reset|stats detail dump|", "RESET|END|"),
    ]);
}

#[test]
fn binary_deletes_of_another_id_count_nothing() {
    let mut peer = peer();
    peer.answers(&[
        store(0x11, "k", 0, 0, b"x"),
        ask(0x04, "k").cas(9),
        ask(0x14, "k").cas(9),
        ask(0x04, "none").cas(9),
        ask(0x04, "k").cas(2),
    ]);
    let values = peer.counters();
    assert_eq!(values.scalars.delete_misses, 1);
    assert_eq!(values.all_classes().delete_hits, 1);
}

#[test]
fn binary_commands_count_by_their_prefixes() {
    let mut peer = peer();
    let time = [0; 4];
    peer.answers(&[
        ask(0x10, "detail on"),
        store(0x11, "a:1", 0, 0, b"x"),
        ask(0x19, "a:1").value(b"y"),
        ask(0x09, "a:1"),
        ask(0x1c, "a:1").extras(&time),
        ask(0x1c, "a:2").extras(&time),
        ask(0x24, "a:2").extras(&time),
        ask(0x14, "a:1"),
        ask(0x14, "a:1"),
    ]);
    let line = "PREFIX a get 4 hit 2 set 2 del 2";
    let dump = format!("10 0 kdetailed {line}\\r\\nEND\\r\\n");
    let answers = peer.answers(&[ask(0x10, "detail dump"), ask(0x10, "detail off")]);
    assert_eq!(answers, [&dump, "10 0", "10 0"]);
    let text = format!("{line}|END|");
    peer.other().dialogue(&[("stats detail dump|", &text)]);
}

#[test]
fn stats_families_end_and_keep_the_order_of_replies() {
    let mut peer = peer();
    for family in ["", " settings", " items", " slabs", " sizes", " conns"] {
        let answer = peer.ask(format!("version\r\nstats{family}\r\nmn\r\n"));
        assert!(answer.starts_with("VERSION "), "{family}: {answer}");
        assert!(answer.ends_with("END\r\nMN\r\n"), "{family}: {answer}");
    }
}
