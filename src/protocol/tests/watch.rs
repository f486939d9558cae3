//! What those who watch are told of commands: which lines, in which order, and with what in them.

use super::*;
use crate::logger::Watcher;
use crate::protocol::tests::binary::{ask, store};

/// A client, and one who watches it.
struct Scene {
    peer: Peer,
    watcher: Watcher,
}

impl Scene {
    fn new(kinds: &str) -> Scene {
        Scene::of(kinds, |_| {})
    }

    fn of(kinds: &str, change: impl FnOnce(&mut Settings)) -> Scene {
        let env = env(change);
        let mut watcher = watcher(kinds, &env);
        assert_eq!(watcher.all(), "OK\r\n");
        Scene {
            peer: Peer::new(env),
            watcher,
        }
    }

    /// What is told of these bytes of the client, without times and numbers.
    fn lines(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.peer.feed(bytes.as_ref());
        self.peer.env.engine.logger().round(|| ());
        let told = self.watcher.all();
        let without_stamp = |line: &str| {
            let mut fields = line.splitn(3, ' ');
            assert!(fields.next().is_some_and(|ts| ts.starts_with("ts=")));
            assert!(fields.next().is_some_and(|gid| gid.starts_with("gid=")));
            fields.next().unwrap_or_default().to_owned()
        };
        told.lines().map(without_stamp).collect()
    }

    #[track_caller]
    fn tells(&mut self, bytes: impl AsRef<[u8]>, expected: &[&str]) {
        let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
        let shown: String = shown.chars().take(60).collect();
        assert_eq!(self.lines(bytes), expected, "{shown:?}");
    }
}

fn watcher(kinds: &str, env: &Env) -> Watcher {
    let mut out = Out::new();
    let mut session = Session::new(Protocol::Ascii, &env.settings.auth);
    let line = format!("watch {kinds}\r\n");
    let (_, next) = session.run_on(Road::Direct, line.as_bytes(), &mut out, env, &mut 1);
    assert_eq!(next, Next::HandOver);
    match session.take_order() {
        Order::Watch(place) => place.open(),
        other => panic!("{other:?} is no watch"),
    }
}

fn found(key: &str, size: u32) -> String {
    format!("type=item_get key={key} status=found clsid=1 cfd=7 size={size}")
}

fn missed(key: &str) -> String {
    format!("type=item_get key={key} status=not_found clsid=0 cfd=7 size=0")
}

fn stored(key: &str, status: &str, cmd: &str, size: u32) -> String {
    format!("type=item_store key={key} status={status} cmd={cmd} ttl=0 clsid=1 cfd=7 size={size}")
}

#[test]
fn every_look_is_told() {
    let mut scene = Scene::new("");
    scene.tells("set a 0 0 2\r\nhi\r\n", &[&missed("a")]);
    for line in [
        "get a",
        "gets a",
        "gat 0 a",
        "touch a 0",
        "mg a v",
        "mg YQ== b v",
    ] {
        scene.tells(format!("{line}\r\n"), &[&found("a", 2)]);
    }
    scene.tells(
        "get a b a\r\n",
        &[&found("a", 2), &missed("b"), &found("a", 2)],
    );
    scene.tells("mg b v\r\nmg b v q\r\n", &[&missed("b"), &missed("b")]);
    scene.tells("touch b 0 noreply\r\n", &[&missed("b")]);
    scene.tells("mg new N30\r\n", &[&missed("new")]);
    scene.tells("delete b\r\nmd b\r\n", &[&missed("b"), &missed("b")]);
    scene.tells(
        "set n 0 0 1\r\n1\r\nincr n 1\r\ndecr n 1\r\n",
        &[&missed("n"), &found("n", 1), &found("n", 1)],
    );
    scene.tells("get /\x01\r\n", &[&missed("%2F%01")]);
}

#[test]
fn what_has_ended_is_told_once() {
    let mut scene = Scene::new("fetchers");
    scene.tells("set e 0 -1 1\r\nx\r\n", &[&missed("e")]);
    let expired = "type=item_get key=e status=expired clsid=0 cfd=7 size=0";
    scene.tells("get e\r\nget e\r\n", &[expired, &missed("e")]);
    scene.tells("set e 0 -1 1\r\nx\r\n", &[&missed("e")]);
    scene.tells("set e 0 0 1\r\nx\r\n", &[expired]);
    assert_eq!(
        scene.peer.env.me.counters.scalars.get_expired.get(),
        2,
        "and counted once"
    );
}

#[test]
fn stores_are_told_with_their_outcome() {
    let mut scene = Scene::new("mutations");
    for (line, status, cmd, size) in [
        ("set k 0 0 1\r\nx", "stored", "set", 1),
        ("add k 0 0 1\r\nx", "not_stored", "add", 1),
        ("replace k 0 0 2\r\nxx", "stored", "replace", 2),
        ("append k 0 0 2\r\nxx", "stored", "append", 4),
        ("prepend k 0 0 1\r\nx", "stored", "prepend", 5),
        ("cas k 0 0 1 1\r\nx", "exists", "cas", 1),
        ("ms k 2\r\nab", "stored", "set", 2),
        ("ms k 2 ME\r\nab", "not_stored", "add", 2),
        ("ms k 2 MR\r\nab", "stored", "replace", 2),
        ("ms k 2 MA\r\nab", "stored", "append", 4),
        ("ms k 2 MP q\r\nab", "stored", "prepend", 6),
        ("ms k 2 C1\r\nab", "exists", "cas", 2),
        ("ms k 2 MR C1\r\nab", "exists", "cas", 2),
        ("set k 0 0 1 noreply\r\nx", "stored", "set", 1),
    ] {
        scene.tells(format!("{line}\r\n"), &[&stored("k", status, cmd, size)]);
    }
    for (line, status, cmd) in [
        ("cas n 0 0 1 1\r\nx", "not_found", "cas"),
        ("append n 0 0 1\r\nx", "not_stored", "append"),
        ("replace n 0 0 1\r\nx", "not_stored", "replace"),
    ] {
        scene.tells(format!("{line}\r\n"), &[&stored("n", status, cmd, 1)]);
    }
    scene.tells("incr k 1\r\nget k\r\nmg new N30\r\ntouch k 1\r\n", &[]);
}

// D10: the reference shows 4294967… of what is past, and 0 of what `ma` creates.
#[test]
fn the_time_that_is_left_is_told() {
    let mut scene = Scene::new("mutations");
    let line = |key: &str, cmd: &str, ttl: u32| {
        format!("type=item_store key={key} status=stored cmd={cmd} ttl={ttl} clsid=1 cfd=7 size=1")
    };
    scene.tells("set k 0 100 1\r\nx\r\n", &[&line("k", "set", 100)]);
    scene.tells("set k 0 -1 1\r\nx\r\n", &[&line("k", "set", 0)]);
    scene.tells("ms v 1 MA N30\r\nx\r\n", &[&line("v", "append", 30)]);
    scene.tells("ms v 1 T9\r\nx\r\n", &[&line("v", "set", 9)]);
    scene.tells("ma n N60 J5\r\n", &[&line("n", "add", 60)]);
    scene.tells("ma n\r\n", &[]);
}

#[test]
fn a_number_that_is_made_is_looked_for_twice() {
    let mut scene = Scene::new("fetchers mutations");
    let made = stored("n", "stored", "add", 1);
    scene.tells("ma n N0\r\n", &[&missed("n"), &missed("n"), &made]);
    scene.tells("ma n N0\r\n", &[&found("n", 1)]);
}

// D3 and D4: the reference shows stray memory, a random descriptor and the descriptor as a class.
#[test]
fn a_refused_store_has_sane_fields() {
    let mut scene = Scene::new("fetchers mutations");
    let value = format!("{}\r\n", "x".repeat(2_000_000));
    let refused = |cmd: &str| {
        format!("type=item_store key=k status=too_large cmd={cmd} ttl=0 clsid=0 cfd=7 size=0")
    };
    for (line, cmd, looks) in [
        ("set k 0 100 2000000", "set", true),
        ("add k 0 0 2000000", "add", false),
        ("ms k 2000000 T5", "set", true),
        ("ms k 2000000 MA", "append", true),
    ] {
        let mut expected = vec![refused(cmd)];
        expected.extend(looks.then(|| missed("k")));
        let lines = scene.lines(format!("{line}\r\n{value}"));
        assert_eq!(lines, expected, "{line}");
    }
}

#[test]
fn a_store_without_memory_is_told() {
    let mut scene = Scene::of("mutations", |settings| {
        settings.storage.evict = false;
        settings.storage.memory_limit = 1 << 20;
    });
    let value = "x".repeat(500_000);
    let mut lines = Vec::new();
    for number in 0..6 {
        lines.extend(scene.lines(format!("set k{number} 0 0 500000\r\n{value}\r\n")));
    }
    let no_memory = "status=no_memory cmd=set ttl=0 clsid=0 cfd=7 size=0";
    assert!(
        lines.iter().any(|line| line.ends_with(no_memory)),
        "{lines:?}"
    );
}

#[test]
fn deletions_are_told_of_what_was_there() {
    let mut scene = Scene::new("deletions");
    let deleted =
        |cmd: &str, size: u32| format!("type=deleted key=k cmd={cmd} clsid=1 size={size}");
    scene.tells("delete k\r\nmd k\r\n", &[]);
    scene.tells(
        "set k 0 0 4\r\nvbar\r\ndelete k\r\n",
        &[&deleted("delete", 4)],
    );
    scene.tells("set k 0 0 5\r\nvbarr\r\nmd k q\r\n", &[&deleted("md", 5)]);
    scene.tells("set k 0 0 1\r\nx\r\nmd k I\r\n", &[]);
    scene.tells("md k x\r\n", &[&deleted("md", 1)]);
    scene.tells("md k C1\r\n", &[]);
    scene.tells("delete k noreply\r\n", &[&deleted("delete", 0)]);
}

#[test]
fn binary_commands_are_told_as_their_twins() {
    let mut scene = Scene::new("fetchers mutations deletions");
    let set = store(0x01, "k", 0, 0, b"v").wire();
    scene.tells(set, &[&missed("k"), &stored("k", "stored", "set", 1)]);
    scene.tells(ask(0x00, "k").wire(), &[&found("k", 1)]);
    let add = store(0x02, "k", 0, 0, b"v").wire();
    scene.tells(add, &[&found("k", 1), &stored("k", "not_stored", "add", 1)]);
    let deleted = "type=deleted key=k cmd=delete clsid=1 size=1";
    scene.tells(ask(0x04, "k").wire(), &[&found("k", 1), deleted]);
    // Compat: of a binary store that is refused the command is not known.
    let large = store(0x01, "k", 0, 0, &[b'x'; 2_000_000]).wire();
    let refused = "type=item_store key=k status=too_large cmd=null ttl=0 clsid=0 cfd=7 size=0";
    scene.tells(large, &[refused, &missed("k")]);
}

#[test]
fn what_forbids_a_watch_is_said_in_order() {
    let mut off = Peer::new(env(|settings| settings.commands.watch_enabled = false));
    off.feed(b"mn\r\nwatch bogus\r\n");
    let expected = "MN\r\nCLIENT_ERROR watch commands not allowed\r\n";
    assert_eq!(String::from_utf8_lossy(&off.sent), expected);

    let mut peer = Peer::new(env(|_| {}));
    peer.feed(b"mg a v\r\nwatch bogus\r\n");
    peer.feed(b"watch bogus\r\nwatch noreply\r\n");
    let pipelined = "ERROR cannot pipeline other commands before watch\r\n";
    let expected = format!("EN\r\n{pipelined}ERROR\r\n{pipelined}");
    assert_eq!(String::from_utf8_lossy(&peer.sent), expected);
    assert_eq!(peer.env.engine.logger().stats().watchers, 0);
}

#[test]
fn one_watcher_too_many_goes_on_with_commands() {
    let env = env(|_| {});
    let _watchers: Vec<Watcher> = (0..20).map(|_| watcher("evictions", &env)).collect();
    let mut peer = Peer::new(env);
    peer.feed(b"watch\r\n");
    peer.feed(b"mn\r\n");
    let expected = "WATCHER_TOO_MANY log watcher limit reached\r\nMN\r\n";
    assert_eq!(String::from_utf8_lossy(&peer.sent), expected);
}

#[test]
fn a_watcher_without_memory_goes_on_with_commands() {
    let mut peer = Peer::new(env(|_| {}));
    let Peer {
        env, session, out, ..
    } = &mut peer;
    let mut ask = || session.run_on(Road::Direct, b"watch\r\n", out, env, &mut 1);
    let ((_, next), was_refused) = heap::faults::after(0, &mut ask);
    assert!(was_refused && next != Next::HandOver);
    peer.flush();
    let expected = b"WATCHER_FAILED failed to add log watcher\r\n";
    assert_eq!(peer.sent, expected);
    assert_eq!(peer.env.engine.logger().stats().watchers, 0);
}

// D5: one such datagram ends the reference's UDP service.
#[test]
fn where_there_is_no_conn_nobody_watches() {
    let mut env = env(|_| {});
    env.reach = Reach::Datagram;
    let mut peer = Peer::new(env);
    peer.feed(b"watch\r\n");
    peer.feed(b"mn\r\n");
    assert_eq!(peer.sent, b"ERROR\r\nMN\r\n");
}

#[test]
fn whoever_gives_up_leaves_the_place_free() {
    let env = env(|_| {});
    let mut session = Session::new(Protocol::Ascii, &env.settings.auth);
    let mut out = Out::new();
    let (_, next) = session.run_on(Road::Direct, b"watch\r\n", &mut out, &env, &mut 1);
    assert_eq!(next, Next::HandOver);
    assert_eq!(env.engine.logger().stats().watchers, 1);
    drop(session);
    assert_eq!(env.engine.logger().stats().watchers, 0);
}
