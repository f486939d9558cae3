//! How an operator writes which clients may come in: `TYPE:glob`, in `ssl_client_allow` and in the file beside it.
//!
//! Only the spelling is judged here, so that a bad option ends the start like any other; `tls` matches names
//! against the globs. (tls.md §16 B4)

/// Which names of a certificate a pattern looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// `CN`: every common name of the subject.
    CommonName,
    /// `DNS`: alternative names that are host names.
    Dns,
    /// `URI`: alternative names that are URIs, such as SPIFFE ids.
    Uri,
    /// `EMAIL`: alternative names that are mail addresses.
    Email,
}

/// One pattern, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// The names it is for.
    pub kind: NameKind,
    /// What the whole of a name must match; never empty.
    pub glob: String,
}

impl NamePattern {
    /// Reads `TYPE:glob`; `None` when the type is absent or unknown, or the glob is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<NamePattern> {
        let (kind, glob) = text.split_once(':')?;
        let kind = match kind {
            "CN" => NameKind::CommonName,
            "DNS" => NameKind::Dns,
            "URI" => NameKind::Uri,
            "EMAIL" => NameKind::Email,
            _ => return None,
        };
        if glob.is_empty() {
            return None;
        }
        Some(NamePattern {
            kind,
            glob: glob.to_owned(),
        })
    }

    /// Reads patterns joined by `|`; `None` when one of them is malformed.
    #[must_use]
    pub fn parse_list(list: &str) -> Option<Vec<NamePattern>> {
        list.split('|').map(NamePattern::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_type_and_a_glob() {
        let pattern = |kind, glob: &str| {
            Some(NamePattern {
                kind,
                glob: glob.to_owned(),
            })
        };
        let cases = [
            ("CN:web", pattern(NameKind::CommonName, "web")),
            (
                "DNS:*.cache.example",
                pattern(NameKind::Dns, "*.cache.example"),
            ),
            ("URI:spiffe://a/b", pattern(NameKind::Uri, "spiffe://a/b")),
            ("EMAIL:**", pattern(NameKind::Email, "**")),
            ("CN: web ", pattern(NameKind::CommonName, " web ")),
        ];
        for (text, expected) in cases {
            assert_eq!(NamePattern::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_none() {
        for text in [
            "", "web", "CN", "CN:", "cn:web", "Dns:web", " CN:web", "CN :web", "IP:::1", ":web",
        ] {
            assert_eq!(NamePattern::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_list_is_as_good_as_its_worst_pattern() {
        let list = NamePattern::parse_list("CN:a|URI:b://c|CN:a").unwrap();
        assert_eq!(list.len(), 3);
        for text in ["", "|", "CN:a|", "|CN:a", "CN:a||CN:b", "CN:a|b"] {
            assert_eq!(NamePattern::parse_list(text), None, "{text:?}");
        }
    }
}
