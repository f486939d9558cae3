//! What a client asks: requests as they go out, and what is kept of each until its answer comes.

use std::fmt;
use std::io::Write;

use rig::random::Random;

use crate::key::{Family, Key};
use crate::value::{self, MODULUS};

/// Seconds after which short-lived items expire.
const SHORT_LIFE: u64 = 2;
/// Flags of mg whose answers are checked.
const META_FLAGS: [char; 5] = ['s', 't', 'f', 'c', 'k'];

/// Which protocol a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The classic commands.
    Text,
    /// The meta commands.
    Meta,
}

/// A way to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Whatever is there.
    Set,
    /// Only where nothing is.
    Add,
    /// Only where something is.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
    /// Only where this is the id of what is there.
    Cas(u64),
}

/// A request whose answer has not come.
#[derive(Clone, Debug)]
pub enum Asked {
    /// One record.
    Store {
        key: Key,
        verb: Verb,
        version: u32,
        life: u64,
    },
    /// A value that no item can hold.
    TooLarge { key: Key },
    /// get, or gets
    Get { keys: Vec<Key> },
    /// gat, or gats
    GetAndTouch { key: Key, life: u64 },
    /// mg with these flags, and an opaque
    MetaGet {
        key: Key,
        flags: Vec<char>,
        opaque: u32,
    },
    /// mg for many keys that tells no misses, and mn
    Quiet { keys: Vec<Key> },
    /// touch
    Touch { key: Key, life: u64 },
    /// delete or md
    Delete { key: Key },
    /// incr, decr or ma; `creates` a number where there is none
    Arith {
        key: Key,
        up: bool,
        delta: u64,
        creates: bool,
    },
    /// set of the number that arithmetic starts with
    NewNumber { key: Key },
}

/// Requests on their way.
#[derive(Default)]
pub struct Batch {
    /// Their bytes.
    pub out: Vec<u8>,
    /// What was asked, in order.
    pub asked: Vec<Asked>,
}

impl Batch {
    /// Nothing.
    pub fn clear(&mut self) {
        self.out.clear();
        self.asked.clear();
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.out.write_fmt(text);
    }

    /// One record is to be stored.
    pub fn store(&mut self, key: Key, verb: Verb, version: u32, len: usize, random: &mut Random) {
        let life = life(random, 20);
        match wording(key, random) {
            Wording::Text => self.put_store_line(key, verb, len, life),
            Wording::Meta => self.put_meta_store_line(key, verb, len, life),
        }
        value::push(&mut self.out, key, version, len);
        self.out.extend_from_slice(b"\r\n");
        self.asked.push(Asked::Store {
            key,
            verb,
            version,
            life,
        });
    }

    fn put_store_line(&mut self, key: Key, verb: Verb, len: usize, life: u64) {
        let (word, flags) = (key.word(), key.flags());
        let name = match verb {
            Verb::Set => "set",
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Append => "append",
            Verb::Prepend => "prepend",
            Verb::Cas(unique) => {
                self.put(format_args!("cas {word} {flags} {life} {len} {unique}\r\n"));
                return;
            }
        };
        self.put(format_args!("{name} {word} {flags} {life} {len}\r\n"));
    }

    fn put_meta_store_line(&mut self, key: Key, verb: Verb, len: usize, life: u64) {
        let (word, flags, binary) = (key.word(), key.flags(), binary(key));
        let mode = match verb {
            Verb::Set => "S".to_owned(),
            Verb::Add => "E".to_owned(),
            Verb::Replace => "R".to_owned(),
            Verb::Append => "A".to_owned(),
            Verb::Prepend => "P".to_owned(),
            Verb::Cas(unique) => format!("S C{unique}"),
        };
        self.put(format_args!(
            "ms {word} {len} F{flags} T{life} M{mode}{binary}\r\n"
        ));
    }

    /// More bytes than an item may have; nothing of them is sent but what the server swallows.
    pub fn too_large(&mut self, key: Key) {
        const LEN: usize = (1 << 20) + 1;
        self.put(format_args!("set {} 0 0 {LEN}\r\n", key.word()));
        self.out.resize(self.out.len() + LEN, b'x');
        self.out.extend_from_slice(b"\r\n");
        self.asked.push(Asked::TooLarge { key });
    }

    /// The values of these keys, which are text, in one request.
    pub fn get(&mut self, keys: Vec<Key>, random: &mut Random) {
        let name = ["get", "gets"][random.below(2) as usize];
        self.get_as(name, keys);
    }

    /// The value of a key, which is text, with its id.
    pub fn gets(&mut self, key: Key) {
        self.get_as("gets", vec![key]);
    }

    fn get_as(&mut self, name: &str, keys: Vec<Key>) {
        self.put(format_args!("{name}"));
        for key in &keys {
            self.put(format_args!(" {}", key.word()));
        }
        self.out.extend_from_slice(b"\r\n");
        self.asked.push(Asked::Get { keys });
    }

    /// The value of one key, in one of several ways.
    pub fn get_one(&mut self, key: Key, random: &mut Random) {
        match random.below(8) {
            _ if key.family == Family::Binary => self.meta_get(key, random),
            0..3 => self.meta_get(key, random),
            3 => self.get_and_touch(key, random),
            _ => self.get(vec![key], random),
        }
    }

    fn get_and_touch(&mut self, key: Key, random: &mut Random) {
        let life = life(random, 3);
        let name = ["gat", "gats"][random.below(2) as usize];
        self.put(format_args!("{name} {life} {}\r\n", key.word()));
        self.asked.push(Asked::GetAndTouch { key, life });
    }

    fn meta_get(&mut self, key: Key, random: &mut Random) {
        let mut flags = META_FLAGS.to_vec();
        for at in (1..flags.len()).rev() {
            flags.swap(at, random.below(at as u32 + 1) as usize);
        }
        flags.truncate(random.below(flags.len() as u32 + 1) as usize);
        let opaque = random.below(1_000_000);
        self.put(format_args!("mg {} v O{opaque}", key.word()));
        for flag in &flags {
            self.put(format_args!(" {flag}"));
        }
        self.put(format_args!("{}\r\n", binary(key)));
        self.asked.push(Asked::MetaGet { key, flags, opaque });
    }

    /// The values of these keys, without a word on those that are not there.
    pub fn quiet(&mut self, keys: Vec<Key>) {
        for (at, key) in keys.iter().enumerate() {
            self.put(format_args!(
                "mg {} s v q O{at}{}\r\n",
                key.word(),
                binary(*key)
            ));
        }
        self.out.extend_from_slice(b"mn\r\n");
        self.asked.push(Asked::Quiet { keys });
    }

    /// Another expiry for a key that is text.
    pub fn touch(&mut self, key: Key, random: &mut Random) {
        let life = life(random, 3);
        self.put(format_args!("touch {} {life}\r\n", key.word()));
        self.asked.push(Asked::Touch { key, life });
    }

    /// The end of a key.
    pub fn delete(&mut self, key: Key, random: &mut Random) {
        match wording(key, random) {
            Wording::Text => self.put(format_args!("delete {}\r\n", key.word())),
            Wording::Meta => self.put(format_args!("md {}{}\r\n", key.word(), binary(key))),
        }
        self.asked.push(Asked::Delete { key });
    }

    /// More, or less.
    pub fn arith(&mut self, key: Key, random: &mut Random) {
        let delta = u64::from(random.below(1000)) * MODULUS;
        let up = random.below(2) == 0;
        let creates = match wording(key, random) {
            Wording::Text => {
                let name = if up { "incr" } else { "decr" };
                self.put(format_args!("{name} {} {delta}\r\n", key.word()));
                false
            }
            Wording::Meta => {
                let mode = if up { 'I' } else { 'D' };
                let first = value::first_number(key);
                self.put(format_args!(
                    "ma {} M{mode} D{delta} N0 J{first} v\r\n",
                    key.word()
                ));
                true
            }
        };
        self.asked.push(Asked::Arith {
            key,
            up,
            delta,
            creates,
        });
    }

    /// A number to begin with.
    pub fn new_number(&mut self, key: Key) {
        let number = value::first_number(key).to_string();
        let (word, flags, len) = (key.word(), key.flags(), number.len());
        self.put(format_args!("set {word} {flags} 0 {len}\r\n{number}\r\n"));
        self.asked.push(Asked::NewNumber { key });
    }
}

/// A short life, one in so many, or one without an end.
fn life(random: &mut Random, one_in: u32) -> u64 {
    match random.below(one_in) {
        0 => SHORT_LIFE + u64::from(random.below(3)),
        _ => 0,
    }
}

fn wording(key: Key, random: &mut Random) -> Wording {
    match random.below(3) {
        _ if key.family == Family::Binary => Wording::Meta,
        0 => Wording::Meta,
        _ => Wording::Text,
    }
}

/// The flag of keys that are no text.
fn binary(key: Key) -> &'static str {
    if key.family == Family::Binary {
        " b"
    } else {
        ""
    }
}
