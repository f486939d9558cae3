//! Which clients may come in, by the names in their certificates.
//!
//! `context` makes a list of `ssl_client_allow` and the file beside it; the handshake asks it, in OpenSSL's verify
//! callback and once more when it is finished. Pure: names in, yes or no out, never changed once made.
//!
//! A name comes from a certificate that an authority has signed, yet it is a peer's text all the same: matching
//! takes at most the product of both lengths in steps, whatever the stars.
//! (tls.md §16 B4)

#![forbid(unsafe_code)]

use crate::settings::{NameKind, NamePattern};

/// One name of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) kind: NameKind,
    pub(super) text: &'a str,
}

/// The names that may come in; an empty list lets nobody in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AllowList {
    globs: Vec<Glob>,
}

/// A pattern cut into what a match goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    kind: NameKind,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This byte.
    Literal(u8),
    /// `*`: any run within one part of the name.
    Run,
    /// `**`: any run.
    AnyRun,
}

impl AllowList {
    /// Lets names in that match one of these patterns, too.
    pub(super) fn add(&mut self, patterns: &[NamePattern]) {
        self.globs.extend(patterns.iter().map(Glob::new));
    }

    /// Adds the patterns of a file: one a line, blank lines and those that start with `#` left out.
    ///
    /// # Errors
    /// The number of the first malformed line, from 1.
    pub(super) fn add_file(&mut self, content: &[u8]) -> Result<(), usize> {
        let mut patterns = Vec::new();
        for (line, number) in content.split(|&byte| byte == b'\n').zip(1_usize..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let pattern = std::str::from_utf8(line).ok().and_then(NamePattern::parse);
            patterns.push(pattern.ok_or(number)?);
        }
        self.add(&patterns);
        Ok(())
    }

    /// Whether this name may come in.
    pub(super) fn admits(&self, name: Name<'_>) -> bool {
        self.globs.iter().any(|glob| glob.matches(name))
    }
}

impl Glob {
    fn new(pattern: &NamePattern) -> Glob {
        let mut steps = Vec::new();
        for byte in pattern.glob.bytes() {
            let step = match (byte, steps.last()) {
                (b'*', None | Some(Step::Literal(_))) => Step::Run,
                // The second star makes it any run; more of them add nothing.
                (b'*', Some(Step::Run | Step::AnyRun)) => {
                    steps.pop();
                    Step::AnyRun
                }
                _ => Step::Literal(byte),
            };
            steps.push(step);
        }
        Glob {
            kind: pattern.kind,
            steps,
        }
    }

    /// Whether the whole of the name matches.
    fn matches(&self, name: Name<'_>) -> bool {
        let name_bytes = name.text.as_bytes();
        // A NUL ends a name for programs in C: what is shown and what is signed would differ.
        if name.kind != self.kind || name_bytes.contains(&0) {
            return false;
        }
        // All the places in `steps` that the bytes so far may have led to.
        let mut reached = vec![false; self.steps.len() + 1];
        let mut next = reached.clone();
        reached[0] = true;
        self.pass_runs(&mut reached);
        for &byte in name_bytes {
            next.fill(false);
            for (place, step) in self.steps.iter().enumerate() {
                if !reached[place] {
                    continue;
                }
                match step {
                    Step::Literal(literal) => next[place + 1] |= self.same(*literal, byte),
                    Step::Run => next[place] |= separator(self.kind) != Some(byte),
                    Step::AnyRun => next[place] = true,
                }
            }
            self.pass_runs(&mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached[self.steps.len()]
    }

    /// A run may be empty, so whoever stands before one stands behind it, too.
    fn pass_runs(&self, reached: &mut [bool]) {
        for (place, step) in self.steps.iter().enumerate() {
            if reached[place] && matches!(step, Step::Run | Step::AnyRun) {
                reached[place + 1] = true;
            }
        }
    }

    fn same(&self, literal: u8, byte: u8) -> bool {
        match self.kind {
            NameKind::Dns => literal.eq_ignore_ascii_case(&byte),
            NameKind::CommonName | NameKind::Uri | NameKind::Email => literal == byte,
        }
    }
}

/// What `*` does not pass.
fn separator(kind: NameKind) -> Option<u8> {
    match kind {
        NameKind::CommonName => None,
        NameKind::Dns => Some(b'.'),
        NameKind::Uri => Some(b'/'),
        NameKind::Email => Some(b'@'),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn list(patterns: &str) -> AllowList {
        let mut list = AllowList::default();
        list.add(&NamePattern::parse_list(patterns).unwrap());
        list
    }

    fn name(written: &str) -> Name<'_> {
        let (_, text) = written.split_once(':').unwrap();
        let kind = NamePattern::parse(written).unwrap().kind;
        Name { kind, text }
    }

    /// Whether the pattern lets the name in; both are written as patterns are.
    fn admits(pattern: &str, text: &str) -> bool {
        list(pattern).admits(name(text))
    }

    #[test]
    fn a_literal_matches_the_whole_name_and_nothing_else() {
        assert!(admits("CN:web-7", "CN:web-7"));
        for other in ["CN:web-70", "CN:xweb-7", "CN:web-", "CN:WEB-7", "CN: web-7"] {
            assert!(!admits("CN:web-7", other), "{other}");
        }
        // Nothing but the star has a meaning of its own.
        for literal in ["CN:a?c", "CN:[ab]", "CN:a\\*"] {
            assert!(!admits(literal, "CN:abc"), "{literal}");
            assert!(!admits(literal, "CN:a"), "{literal}");
        }
        assert!(admits("CN:a?c", "CN:a?c"));
        assert!(admits("CN:a\\*", "CN:a\\b"));
    }

    #[test]
    fn a_pattern_looks_at_names_of_its_type_only() {
        let types = ["CN", "DNS", "URI", "EMAIL"];
        for pattern in types {
            for text in types {
                let admitted = admits(&format!("{pattern}:**"), &format!("{text}:a"));
                assert_eq!(admitted, pattern == text, "{pattern} {text}");
            }
        }
    }

    #[test]
    fn one_star_stays_within_a_part_two_stars_do_not() {
        let cases = [
            ("DNS:*.cache.example", "DNS:web-7.cache.example", true),
            ("DNS:*.cache.example", "DNS:a.b.cache.example", false),
            ("DNS:*.cache.example", "DNS:cache.example", false),
            ("DNS:*.cache.example", "DNS:.cache.example", true),
            ("DNS:**.cache.example", "DNS:web-7.cache.example", true),
            ("DNS:**.cache.example", "DNS:a.b.cache.example", true),
            ("DNS:**.cache.example", "DNS:evilcache.example", false),
            ("DNS:web*.example", "DNS:web.example", true),
            ("DNS:web*.example", "DNS:web1.2.example", false),
            (
                "URI:spiffe://corp/ns/*/sa/web",
                "URI:spiffe://corp/ns/prod/sa/web",
                true,
            ),
            (
                "URI:spiffe://corp/ns/*/sa/web",
                "URI:spiffe://corp/ns/a/b/sa/web",
                false,
            ),
            (
                "URI:spiffe://corp/ns/*/sa/web",
                "URI:spiffe://corp/ns//sa/web",
                true,
            ),
            (
                "URI:spiffe://corp/ns/*/sa/web",
                "URI:spiffe://corp/ns/a/sa/webmaster",
                false,
            ),
            (
                "URI:spiffe://corp/**",
                "URI:spiffe://corp/ns/a/sa/web",
                true,
            ),
            ("URI:spiffe://corp/**", "URI:spiffe://corp.evil/ns", false),
            ("EMAIL:*@example.com", "EMAIL:joe@example.com", true),
            ("EMAIL:*@example.com", "EMAIL:joe@evil@example.com", false),
            ("EMAIL:**@example.com", "EMAIL:joe@evil@example.com", true),
            ("EMAIL:joe@*", "EMAIL:joe@mail.example.com", true),
            ("CN:*", "CN:a.b/c@d", true),
            ("CN:a*d", "CN:abcd", true),
            ("CN:a*d", "CN:abcde", false),
            ("CN:a*b*c", "CN:axbxbxc", true),
            ("DNS:*", "DNS:a", true),
            ("DNS:*", "DNS:a.b", false),
            ("DNS:***", "DNS:a.b", true),
            ("DNS:*.*", "DNS:a.b", true),
            ("DNS:*.*", "DNS:a.b.c", false),
            ("DNS:**.*", "DNS:a.b.c", true),
            ("DNS:a**", "DNS:a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(admits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn host_names_alone_are_blind_to_case() {
        assert!(admits("DNS:WEB.*.Example", "DNS:web.a.eXample"));
        assert!(!admits("CN:Web", "CN:web"));
        assert!(!admits("URI:spiffe://Corp/a", "URI:spiffe://corp/a"));
        assert!(!admits("EMAIL:Joe@example.com", "EMAIL:joe@example.com"));
        // Only the letters of ASCII.
        assert!(!admits("DNS:\u{c4}.example", "DNS:\u{e4}.example"));
        assert!(!admits("DNS:[.example", "DNS:{.example"));
    }

    #[test]
    fn a_name_with_a_nul_never_matches() {
        for kind in [
            NameKind::CommonName,
            NameKind::Dns,
            NameKind::Uri,
            NameKind::Email,
        ] {
            for text in ["good\0.evil", "\0good", "good\0", "\0"] {
                let mut list = AllowList::default();
                for glob in ["**", "good*", "*good", "good", text] {
                    let glob = glob.to_owned();
                    list.add(&[NamePattern { kind, glob }]);
                }
                assert!(!list.admits(Name { kind, text }));
            }
        }
    }

    #[test]
    fn an_empty_name_is_matched_by_runs_alone() {
        let empty = |kind| Name { kind, text: "" };
        assert!(list("CN:*").admits(empty(NameKind::CommonName)));
        assert!(list("DNS:**").admits(empty(NameKind::Dns)));
        assert!(!list("DNS:a").admits(empty(NameKind::Dns)));
    }

    #[test]
    fn one_pattern_is_enough() {
        let list = list("CN:ops|DNS:*.cache.example");
        assert!(list.admits(name("DNS:a.cache.example")));
        assert!(list.admits(name("CN:ops")));
        assert!(!list.admits(name("URI:ops")));
        assert!(!AllowList::default().admits(name("CN:ops")));
    }

    #[test]
    fn stars_cost_no_more_than_the_product_of_lengths() {
        let begin = Instant::now();
        let text = format!("CN:{}", "a".repeat(4096));
        let pattern = format!("CN:{}b", "*a".repeat(512));
        assert!(!admits(&pattern, &text));
        let host = format!("DNS:{}", "a.".repeat(2048));
        let pattern = format!("DNS:{}b", "**.*a".repeat(128));
        assert!(!admits(&pattern, &host));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_matcher_agrees_with_a_plain_recursive_one() {
        fn plain(glob: &[u8], name: &[u8], separator: u8) -> bool {
            let until = |stop: Option<u8>, rest: &[u8]| {
                (0..=name.len())
                    .take_while(|&n| n == 0 || Some(name[n - 1]) != stop)
                    .any(|n| plain(rest, &name[n..], separator))
            };
            match glob {
                [] => name.is_empty(),
                [b'*', b'*', rest @ ..] => until(None, rest),
                [b'*', rest @ ..] => until(Some(separator), rest),
                [byte, rest @ ..] => {
                    name.first() == Some(byte) && plain(rest, &name[1..], separator)
                }
            }
        }
        // Every glob of up to four and every name of up to five letters.
        let words = |letters: &str, longest: u32| -> Vec<String> {
            let letters: Vec<char> = letters.chars().collect();
            let mut words = vec![String::new()];
            let mut last = words.clone();
            for _ in 0..longest {
                last = last
                    .iter()
                    .flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}")))
                    .collect();
                words.extend(last.clone());
            }
            words
        };
        for glob in words("*a.", 4).into_iter().filter(|glob| !glob.is_empty()) {
            let list = list(&format!("DNS:{glob}"));
            for text in words("a.b", 5) {
                let expected = plain(glob.as_bytes(), text.as_bytes(), b'.');
                let kind = NameKind::Dns;
                let text = text.as_str();
                assert_eq!(list.admits(Name { kind, text }), expected, "{glob} {text}");
            }
        }
    }

    #[test]
    fn a_file_holds_a_pattern_a_line() {
        let mut list = AllowList::default();
        let content =
            b"# who may come in\n\n  CN:ops \r\n\tDNS:*.a,b|c\n#CN:no\n   # nor this\nURI:x";
        assert_eq!(list.add_file(content), Ok(()));
        for text in ["CN:ops", "DNS:z.a,b|c", "URI:x"] {
            assert!(list.admits(name(text)), "{text}");
        }
        assert!(!list.admits(name("CN:no")));
        assert_eq!(AllowList::default().add_file(b"# nobody\n"), Ok(()));
    }

    #[test]
    fn a_malformed_line_is_told_by_its_number_and_adds_nothing() {
        for (content, line) in [
            (&b"ops"[..], 1),
            (b"CN:a\n\nCN:\n", 3),
            (b"CN:a\r\nIP:1\r\n", 2),
            (b"CN:\xff\n", 1),
        ] {
            let mut list = AllowList::default();
            assert_eq!(list.add_file(content), Err(line));
            assert_eq!(list, AllowList::default());
        }
    }
}
