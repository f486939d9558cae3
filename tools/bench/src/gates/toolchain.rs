//! What counts depend on besides the source: compiler, libraries, processor, valgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use openssl::version;

use super::table::Toolchain;
use crate::fail::{Context, Outcome};
use crate::lab::{Lab, Mode, Side};

/// Features that libc and OpenSSL choose their code by, of those that valgrind passes on.
const FEATURES: &[&str] = &[
    "sse4_2",
    "ssse3",
    "avx",
    "avx2",
    "bmi2",
    "aes",
    "pclmulqdq",
    "asimd",
    "pmull",
    "sha2",
];
const UNKNOWN: &str = "unknown";

/// The facts about the server under test; `build` says how it was configured.
pub fn here(lab: &Lab, build: &str) -> Outcome<Toolchain> {
    let facts = [
        ("build", build.to_owned()),
        ("processor", processor()),
        ("rustc", rustc_of(&lab.options.server)?),
        ("libc", libc()),
        ("libevent", libevent(lab)?),
        ("openssl", openssl()),
        ("valgrind", first_line("valgrind").replace("valgrind-", "")),
    ];
    Ok(Toolchain(
        facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    ))
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> = text
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .map(|line| line.split_whitespace().collect())
        .unwrap_or_default();
    let found: Vec<&str> = FEATURES
        .iter()
        .copied()
        .filter(|feature| flags.contains(feature))
        .collect();
    format!("{} {}", std::env::consts::ARCH, found.join(" "))
        .trim_end()
        .to_owned()
}

/// The compiler's note in the program, `rustc version 1.95.0 (59807616e 2026-04-14)`.
fn rustc_of(program: &Path) -> Outcome<String> {
    let bytes = fs::read(program).context(
        format_args!("reading {}", program.display()),
        "--server names the program to count",
    )?;
    Ok(note(&bytes, b"rustc version ").unwrap_or_else(|| UNKNOWN.to_owned()))
}

/// What follows `name` up to the end of the C string that begins with it; LLVM's own note has it in brackets.
fn note(bytes: &[u8], name: &[u8]) -> Option<String> {
    let found = |&at: &usize| bytes[at..].starts_with(name) && bytes[..at].last() != Some(&b'(');
    let start = (0..bytes.len()).find(found)? + name.len();
    let end = bytes[start..].iter().position(|&byte| byte == 0)?;
    String::from_utf8(bytes[start..start + end].to_vec()).ok()
}

/// By ldd, which belongs to libc: musl's tells on stderr, as a complaint.
fn libc() -> String {
    let output = Command::new("ldd")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    );
    libc_named(&text).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn libc_named(text: &str) -> Option<String> {
    let first = text.lines().next()?;
    if first.starts_with("musl") {
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("Version "))?;
        return Some(format!("musl {version}"));
    }
    Some(format!("glibc {}", first.split_whitespace().last()?))
}

fn libevent(lab: &Lab) -> Outcome<String> {
    let server = lab.start(Side::Ours, Mode::Plain)?;
    let stats = server.admin()?.stats()?;
    Ok(stats.text("libevent").unwrap_or(UNKNOWN).to_owned())
}

/// The library that this tool is linked to, which is the server's.
fn openssl() -> String {
    let text = version::version();
    text.split_whitespace().nth(1).unwrap_or(UNKNOWN).to_owned()
}

fn first_line(program: &str) -> String {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    output
        .ok()
        .and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Some(text.lines().next()?.to_owned())
        })
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_note_is_found_in_a_program() {
        let program = b"\x7fELF\0clang LLVM (rustc version 1.80.0)\0GCC: 12\0rustc version 1.95.0 (abc)\0\x01";
        assert_eq!(
            note(program, b"rustc version ").as_deref(),
            Some("1.95.0 (abc)")
        );
        assert_eq!(note(b"\0rustc version 1", b"rustc version "), None);
        assert_eq!(note(b"", b"rustc version "), None);
    }

    #[test]
    fn both_libcs_tell_their_version() {
        let glibc = "ldd (Debian GLIBC 2.36-9+deb12u14) 2.36\nCopyright (C) 2022\n";
        assert_eq!(libc_named(glibc).as_deref(), Some("glibc 2.36"));
        let musl = "musl libc (x86_64)\nVersion 1.2.5\nDynamic Program Loader\n";
        assert_eq!(libc_named(musl).as_deref(), Some("musl 1.2.5"));
        assert_eq!(libc_named(""), None);
    }
}
