//! Reads the source tree and holds it to the rules of HACKING.md: which room may name which, where unsafe code may
//! stand and how it is accounted for, what may print, that every file says what it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Storeys of the rooms; a room names only rooms of lower storeys, and of its own where [`SAME_STOREY`] says so.
const STOREYS: &[(&str, u8)] = &[
    ("server", 9),
    ("listener", 8),
    ("handshake", 7),
    ("worker", 6),
    ("conn", 5),
    ("udp", 5),
    ("metrics", 5),
    ("protocol", 4),
    ("roster", 4),
    ("response", 3),
    ("stats", 3),
    ("storage", 2),
    ("auth", 1),
    ("logger", 1),
    ("transport", 1),
    ("tls", 1),
    ("event", 1),
    ("threads", 1),
    ("os", 0),
    ("clock", 0),
    ("decimal", 0),
    ("histogram", 0),
    ("limits", 0),
    ("line", 0),
    ("lock", 0),
    ("pool", 0),
    ("settings", 0),
    ("sync", 0),
];

/// Edges within one storey.
const SAME_STOREY: &[(&str, &str)] = &[
    // A statistic is written into an output.
    ("stats", "response"),
    // Datagrams are answered into buffers of the pool that conns borrow from.
    ("udp", "conn"),
    // A TLS session is one kind of transport.
    ("transport", "tls"),
    // Whoever has a limit reads it where it stands.
    ("clock", "limits"),
    ("settings", "limits"),
    // A line has numbers.
    ("line", "decimal"),
    // What is set as a whole is read as a whole.
    ("settings", "lock"),
];

/// Modules of the protocol room that others of it may not name: whose, and by whom they may be. The codecs, `text`, `meta`
/// and `binary`, know neither each other nor those who call them, and a verb knows no wire format.
const PROTOCOL_CALLERS: &[(&str, &[&str])] = &[
    ("lines", &["mod"]),
    ("frames", &["mod"]),
    ("login", &["mod"]),
    ("access", &["mod", "frames", "login", "binary", "upload"]),
    ("window", &["mod", "lines", "frames"]),
    ("upload", &["mod", "lines", "frames"]),
    ("text", &["mod", "lines", "upload"]),
    ("meta", &["lines", "upload"]),
    ("binary", &["mod", "frames", "upload"]),
    (
        "command",
        &[
            "lines", "frames", "login", "text", "meta", "binary", "upload",
        ],
    ),
    (
        "refusal",
        &[
            "lines", "login", "text", "meta", "upload", "command", "request",
        ],
    ),
    ("request", &["lines", "login", "text", "meta"]),
    ("numbers", &["lines", "text", "meta"]),
    ("base64", &["text", "meta"]),
    (
        "replies",
        &[
            "mod", "lines", "login", "text", "meta", "upload", "command", "env", "refusal",
        ],
    ),
];
/// What a codec or a verb may have of the room's face: what stands there is defined below.
const PROTOCOL_FACE: &[&str] = &["mod", "lines", "frames", "login"];

/// Where lines and frames are read and answered. What commands do and count stands in `protocol/verbs`.
const CODECS: &[&str] = &[
    "src/protocol/lines/",
    "src/protocol/frames/",
    "src/protocol/login.rs",
    "src/protocol/text/",
    "src/protocol/meta/",
    "src/protocol/binary/",
];
/// What a codec would act or count with.
const OF_VERBS: &[&str] = &[
    ".inc()",
    "counters",
    "record_prefix",
    "tunables",
    ".control",
];
/// What reading a request does without: a function of a codec named `parse…` or `read…` has none of these words.
const NOT_FOR_READERS: &[&str] = &["Env", "env", "Out", "out", "Command", "command", "Session"];

/// Modules that may hold unsafe code; a name that ends in `/` stands for the whole folder.
const UNSAFE_ALLOWED: &[&str] = &[
    "src/os/",
    "src/auth/sasl/ffi.rs",
    "src/event/",
    "src/tls/ffi.rs",
    "src/tls/context.rs",
    "src/tls/session.rs",
    "src/tls/bio.rs",
    "src/tls/memory.rs",
    "src/storage/item/",
    "src/storage/layout.rs",
    "src/storage/chunked.rs",
    "src/storage/slabs/arena.rs",
    "src/storage/slabs/page.rs",
    "src/storage/assoc.rs",
    "src/storage/lru/mod.rs",
    "src/storage/locks.rs",
];

#[derive(Debug)]
struct Source {
    name: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, ending: &str, into: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder's entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, ending, into);
        } else if path.to_string_lossy().ends_with(ending) {
            let name = path
                .strip_prefix(root())
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            into.push(Source {
                name,
                text: fs::read_to_string(&path).expect("sources are UTF-8"),
            });
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("src"), ".rs", &mut found);
    assert!(found.len() > 20, "the source tree was not found");
    found
}

/// The source without its unit tests, which may do what shipped code may not.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(text)
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs")
}

fn room_of(name: &str) -> Option<&str> {
    let inner = name.strip_prefix("src/")?;
    let room = inner.split(['/', '.']).next()?;
    (!matches!(room, "lib" | "main" | "bin")).then_some(room)
}

fn complain(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn every_room_has_a_storey() {
    let storeys: BTreeMap<_, _> = STOREYS.iter().copied().collect();
    let faults: Vec<String> = sources()
        .iter()
        .filter_map(|source| room_of(&source.name))
        .filter(|room| !storeys.contains_key(room))
        .map(|room| format!("{room}: not in the table of storeys"))
        .collect();
    complain(&faults);
}

/// A room that is named by another.
struct Edge {
    from: String,
    to: String,
    /// File and line.
    place: String,
}

/// Every path that begins with `crate::` and a room, outside tests and comments.
fn edges() -> Vec<Edge> {
    let rooms: Vec<&str> = STOREYS.iter().map(|(room, _)| *room).collect();
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !is_test_file(&source.name))
    {
        let Some(room) = room_of(&source.name) else {
            continue;
        };
        for (number, line) in shipped(&source.text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for part in line.split("crate::").skip(1) {
                let named: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if rooms.contains(&named.as_str()) && named != room {
                    found.push(Edge {
                        from: room.to_owned(),
                        to: named,
                        place: format!("{}:{}", source.name, number + 1),
                    });
                }
            }
        }
    }
    found
}

#[test]
fn rooms_name_only_rooms_below() {
    let storeys: BTreeMap<_, _> = STOREYS.iter().copied().collect();
    let faults: Vec<String> = edges()
        .iter()
        .filter(|edge| {
            let (from, to) = (edge.from.as_str(), edge.to.as_str());
            storeys[to] >= storeys[from] && !SAME_STOREY.contains(&(from, to))
        })
        .map(|edge| format!("{}: {} names {}", edge.place, edge.from, edge.to))
        .collect();
    complain(&faults);
}

#[test]
fn every_edge_within_a_storey_is_used() {
    let edges = edges();
    let faults: Vec<String> = SAME_STOREY
        .iter()
        .filter(|(from, to)| {
            !edges
                .iter()
                .any(|edge| edge.from == *from && edge.to == *to)
        })
        .map(|(from, to)| format!("{from} does not name {to}, and need not be allowed to"))
        .collect();
    complain(&faults);
}

#[test]
fn codecs_and_verbs_keep_apart() {
    let callers: BTreeMap<_, _> = PROTOCOL_CALLERS.iter().copied().collect();
    let mut faults = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !is_test_file(&source.name))
    {
        let Some(inner) = source.name.strip_prefix("src/protocol/") else {
            continue;
        };
        let module = inner.split(['/', '.']).next().unwrap_or(inner);
        for (number, line) in shipped(&source.text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for part in line.split("crate::protocol::").skip(1) {
                let named: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let is_module = named.starts_with(|c: char| c.is_ascii_lowercase());
                let allowed = match callers.get(named.as_str()) {
                    _ if named == module => true,
                    Some(callers) => callers.contains(&module),
                    None => is_module || PROTOCOL_FACE.contains(&module),
                };
                if !allowed {
                    let named = if is_module { &named } else { "protocol/mod.rs" };
                    faults.push(format!(
                        "{}:{}: {module} names {named}",
                        source.name,
                        number + 1
                    ));
                }
            }
        }
    }
    complain(&faults);
}

/// Shipped sources of [`CODECS`].
fn codecs() -> Vec<Source> {
    let mut found = sources();
    found.retain(|source| CODECS.iter().any(|folder| source.name.starts_with(folder)));
    found
}

#[test]
fn codecs_leave_acting_and_counting_to_verbs() {
    let mut faults = Vec::new();
    for source in codecs() {
        for (number, line) in shipped(&source.text).lines().enumerate() {
            for word in OF_VERBS {
                if line.contains(word) && !line.trim_start().starts_with("//") {
                    faults.push(format!("{}:{}: {word}", source.name, number + 1));
                }
            }
        }
    }
    complain(&faults);
}

#[test]
fn reading_a_request_reaches_nothing_but_the_line() {
    let is_reader = |line: &str| line.contains("fn parse") || line.contains("fn read");
    let mut faults = Vec::new();
    let mut readers = 0;
    for source in codecs() {
        // What the line is indented with that begins the reader at hand; the brace that ends it stands there, too.
        let mut reader = None;
        for (number, line) in shipped(&source.text).lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if is_reader(line) {
                reader = Some(indent);
                readers += 1;
            }
            if reader.is_none() || line.trim_start().starts_with("//") {
                continue;
            }
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            for word in words.filter(|word| NOT_FOR_READERS.contains(word)) {
                faults.push(format!("{}:{}: {word}", source.name, number + 1));
            }
            if reader == Some(indent) && line.trim() == "}" {
                reader = None;
            }
        }
    }
    assert!(readers > 15, "the readers were not found");
    complain(&faults);
}

#[test]
fn unsafe_stands_only_where_it_may_and_says_why() {
    let mut faults = Vec::new();
    for source in sources() {
        let allowed = UNSAFE_ALLOWED.iter().any(|place| {
            source.name == *place || (place.ends_with('/') && source.name.starts_with(place))
        });
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let holds = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|word| code.contains(word));
            if !holds {
                continue;
            }
            if !allowed {
                faults.push(format!(
                    "{}:{}: unsafe outside the list",
                    source.name,
                    number + 1
                ));
            }
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                let near = &lines[number.saturating_sub(8)..=number];
                if !near.iter().any(|line| line.contains("SAFETY")) {
                    faults.push(format!("{}:{}: no SAFETY note", source.name, number + 1));
                }
            }
        }
        if source.text.contains("#![allow(unsafe_code")
            && !source.text.contains("#![allow(unsafe_code, reason")
        {
            faults.push(format!(
                "{}: allows unsafe code without a reason",
                source.name
            ));
        }
    }
    complain(&faults);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let faults: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: no module header", source.name))
        .collect();
    complain(&faults);
}

#[test]
fn nothing_is_left_undone_and_nothing_prints_by_itself() {
    let banned = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "FIXME",
        "XXX",
        "static mut ",
        "println!(",
        "eprintln!(",
    ];
    let mut faults = Vec::new();
    // A program beside the server may print: that is what it is for.
    let server =
        |source: &&Source| !is_test_file(&source.name) && !source.name.starts_with("src/bin/");
    for source in sources().iter().filter(server) {
        for (number, line) in shipped(&source.text).lines().enumerate() {
            for word in banned {
                if line.contains(word) && !line.trim_start().starts_with("//") {
                    faults.push(format!("{}:{}: {word}", source.name, number + 1));
                }
            }
        }
    }
    complain(&faults);
}

#[test]
fn nobody_imports_by_glob() {
    let mut faults = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !is_test_file(&source.name))
    {
        for (number, line) in shipped(&source.text).lines().enumerate() {
            if line.trim_start().starts_with("use ") && line.contains("::*") {
                faults.push(format!("{}:{}: {}", source.name, number + 1, line.trim()));
            }
        }
    }
    complain(&faults);
}

#[test]
fn the_map_names_every_room() {
    let map =
        fs::read_to_string(root().join("doc/architecture.md")).expect("doc/architecture.md exists");
    let faults: Vec<String> = STOREYS
        .iter()
        .filter(|(room, _)| !map.contains(&format!("`{room}`")))
        .map(|(room, _)| format!("doc/architecture.md does not name `{room}`"))
        .collect();
    complain(&faults);
}
