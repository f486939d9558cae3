//! The servers that `storm` and `stall` hold against each other: the one under test in several settings, and
//! the other one.

use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::fail::{Context, Fail, Outcome};
use crate::lab::{Lab, Mode, Side};
use crate::server::{Server, ServerPlan};

/// What the other server is called, in tables and in the CSV.
pub const THEIRS: &str = "theirs";
/// The option that says how many threads make handshakes, and the setting in which the workers do.
const ROOM: &str = "ssl_handshake_threads";
const NO_ROOM: &str = "ssl_handshake_threads=0";

/// The server under test with more options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What it is called.
    pub name: String,
    /// Its options beyond those of the command line.
    pub args: Vec<String>,
}

impl Variant {
    fn new(name: &str, args: &[&str]) -> Self {
        Variant {
            name: name.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
        }
    }

    /// Reads `NAME=ARGS`, where the arguments may be none and are separated by blanks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, args) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not NAME=ARGS"))?;
        let args: Vec<&str> = args.split_whitespace().collect();
        match name {
            "" => Err("a variant needs a name".to_owned()),
            THEIRS => Err(format!("{THEIRS:?} is the other server")),
            _ if name.contains([',', '|', '\n']) => {
                Err("a name without commas and bars is wanted, for the tables".to_owned())
            }
            _ => Ok(Variant::new(name, &args)),
        }
    }
}

/// One of those that take turns.
pub struct Contender {
    side: Side,
    variant: Variant,
}

impl Contender {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.variant.name
    }

    /// What it is started with, to speak TLS.
    pub fn plan(&self, lab: &Lab) -> ServerPlan {
        let mut plan = lab.plan(self.side, Mode::Tls);
        plan.extra.extend_from_slice(&self.variant.args);
        plan
    }

    /// Starts one that bears so many connections.
    pub fn start(&self, lab: &Lab, max_conns: usize) -> Outcome<Server> {
        let plan = ServerPlan {
            max_conns,
            ..self.plan(lab)
        };
        Server::start(&plan).map_err(|e| e.during(self.name()))
    }
}

/// The variants that were asked for, or else the server as it is and, where it knows the difference, with
/// handshakes on its workers; and, last, the other server.
pub fn all(lab: &Lab) -> Outcome<Vec<Contender>> {
    let variants = if lab.options.variants.is_empty() {
        usual(&help(lab)?)
    } else {
        lab.options.variants.clone()
    };
    for (index, variant) in variants.iter().enumerate() {
        if variants[..index].iter().any(|v| v.name == variant.name) {
            return Err(Fail::new(
                format!("two variants are called {:?}", variant.name),
                "give each --variant a name of its own",
            ));
        }
    }
    let ours = variants.into_iter().map(|variant| Contender {
        side: Side::Ours,
        variant,
    });
    let theirs = Contender {
        side: Side::Theirs,
        variant: Variant::new(THEIRS, &[]),
    };
    Ok(ours.chain([theirs]).collect())
}

fn usual(help: &str) -> Vec<Variant> {
    let mut variants = vec![Variant::new("ours", &[])];
    if help.contains(ROOM) {
        variants.push(Variant::new("ours on the workers", &["-o", NO_ROOM]));
    }
    variants
}

/// What the server under test says of its options.
fn help(lab: &Lab) -> Outcome<String> {
    let program = &lab.plan(Side::Ours, Mode::Tls).program;
    let output = Command::new(program)
        .arg("-h")
        .stdin(Stdio::null())
        .output()
        .context(
            format_args!("asking {} for its options", program.display()),
            "check --server: a path, or a program in PATH",
        )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The order in which they take their turns in a round: A B, B A for two, and so on.
pub fn turns(contenders: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..contenders).map(move |turn| (turn + round) % contenders)
}

/// What the contenders' names in a table stand for; nothing where that is plain.
pub fn legend(contenders: &[Contender]) -> String {
    let mut text = String::new();
    for contender in contenders {
        let args = contender.variant.args.join(" ");
        if !args.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "* {}: with `{args}`", contender.name());
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_arguments() {
        let variant =
            Variant::parse("two threads=-o ssl_handshake_threads=2  -R 5").expect("valid");
        assert_eq!(
            variant,
            Variant::new("two threads", &["-o", "ssl_handshake_threads=2", "-R", "5"])
        );
        assert_eq!(
            Variant::parse("ours=").expect("valid"),
            Variant::new("ours", &[])
        );
        for wrong in ["ours", "=-o x", "theirs=-R 5", "a,b=-R 5"] {
            assert!(Variant::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn workers_are_a_variant_where_there_is_a_choice() {
        let names = |help| usual(help).into_iter().map(|v| v.name).collect::<Vec<_>>();
        assert_eq!(names("   - ssl_handshake_timeout: seconds"), ["ours"]);
        assert_eq!(
            names("   - ssl_handshake_threads: threads"),
            ["ours", "ours on the workers"]
        );
    }

    #[test]
    fn everyone_has_every_turn() {
        let order = |contenders, round| turns(contenders, round).collect::<Vec<_>>();
        assert_eq!(
            (order(2, 0), order(2, 1), order(2, 2)),
            (vec![0, 1], vec![1, 0], vec![0, 1])
        );
        assert_eq!(order(3, 1), [1, 2, 0]);
    }
}
