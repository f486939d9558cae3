//! The text that metrics are shown in: OpenMetrics 1.0, or the older form of Prometheus.
//!
//! Both are lines of a name, labels and a value, behind what is told of each metric. They differ in where a counter's
//! `_total` stands, in units, and in the end. A page that finds no memory is cut, and nobody sees it.

use std::fmt::{self, Write};

use crate::metrics::table::Kind;
use crate::os::heap;

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `application/openmetrics-text`, version 1.0.0.
    OpenMetrics,
    /// `text/plain`, version 0.0.4.
    Prometheus,
}

/// Units that a name may end in.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// A page in the making.
#[derive(Debug)]
pub(super) struct Page {
    text: Vec<u8>,
    style: Style,
    is_cut: bool,
}

/// What stands between a name and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'l> {
    pub(super) name: &'l str,
    pub(super) value: &'l [u8],
}

impl<'l> Label<'l> {
    pub(super) fn new(name: &'l str, value: &'l (impl AsRef<[u8]> + ?Sized)) -> Label<'l> {
        Label {
            name,
            value: value.as_ref(),
        }
    }
}

impl Page {
    pub(super) fn new() -> Page {
        Page {
            text: Vec::new(),
            style: Style::Prometheus,
            is_cut: false,
        }
    }

    /// Begins an empty page, in the memory of the one before.
    pub(super) fn begin(&mut self, style: Style) {
        self.text.clear();
        self.style = style;
        self.is_cut = false;
    }

    /// What is told of a metric before its values; `help` has nothing that would have to be escaped.
    pub(super) fn head(&mut self, metric: &str, kind: Kind, help: &str) {
        // The older form knows a counter by the name that its values have.
        let suffix = match (kind, self.style) {
            (Kind::Counter, Style::Prometheus) => "_total",
            _ => "",
        };
        self.add(format_args!("# HELP {metric}{suffix} {help}\n"));
        self.add(format_args!("# TYPE {metric}{suffix} {}\n", kind.word()));
        if let (Style::OpenMetrics, Some(unit)) = (self.style, unit_of(metric)) {
            self.add(format_args!("# UNIT {metric} {unit}\n"));
        }
    }

    /// One value. `suffix` is what its kind puts behind the name.
    pub(super) fn value<'l>(
        &mut self,
        metric: &str,
        suffix: &str,
        labels: impl IntoIterator<Item = Label<'l>>,
        value: impl fmt::Display,
    ) {
        self.add(format_args!("{metric}{suffix}"));
        let mut before = "{";
        for label in labels {
            let (name, shown) = (label.name, Escaped(label.value));
            self.add(format_args!("{before}{name}=\"{shown}\""));
            before = ",";
        }
        let close = if before == "," { "}" } else { "" };
        self.add(format_args!("{close} {value}\n"));
    }

    fn add(&mut self, words: fmt::Arguments<'_>) {
        // What has no place leaves a mark.
        let _ = self.write_fmt(words);
    }

    /// The whole page; `None` if there was no memory for it.
    pub(super) fn end(&mut self) -> Option<&[u8]> {
        if self.style == Style::OpenMetrics {
            self.add(format_args!("# EOF\n"));
        }
        (!self.is_cut).then_some(&self.text)
    }
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut || heap::reserve(&mut self.text, text.len()).is_err() {
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The unit that a metric's name ends in.
fn unit_of(metric: &str) -> Option<&str> {
    let (_, last) = metric.rsplit_once('_')?;
    UNITS.contains(&last).then_some(last)
}

/// A text as it stands within quotes; what is not UTF-8 is shown as such.
struct Escaped<'t>(&'t [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    other => f.write_char(other)?,
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::heap::faults;

    fn shown(style: Style, write: impl Fn(&mut Page)) -> String {
        let mut page = Page::new();
        page.begin(style);
        write(&mut page);
        String::from_utf8(page.end().expect("memory").to_vec()).expect("UTF-8")
    }

    fn counter_and_gauge(page: &mut Page) {
        page.head("memcached_read_bytes", Kind::Counter, "Bytes in.");
        page.value("memcached_read_bytes", "_total", [], 7);
        page.head("memcached_version", Kind::Gauge, "Version.");
        let label = Label::new("version", "a\"b\\c\nd");
        page.value(
            "memcached_version",
            "",
            [label, Label::new("x", &[b'y', 0xff])],
            1,
        );
    }

    #[test]
    fn the_two_forms_differ_in_totals_units_and_the_end() {
        let expected = "# HELP memcached_read_bytes Bytes in.\n\
            # TYPE memcached_read_bytes counter\n\
            # UNIT memcached_read_bytes bytes\n\
            memcached_read_bytes_total 7\n\
            # HELP memcached_version Version.\n\
            # TYPE memcached_version gauge\n\
            memcached_version{version=\"a\\\"b\\\\c\\nd\",x=\"y\u{fffd}\"} 1\n\
            # EOF\n";
        assert_eq!(shown(Style::OpenMetrics, counter_and_gauge), expected);
        let older = expected
            .replace(
                "memcached_read_bytes Bytes",
                "memcached_read_bytes_total Bytes",
            )
            .replace(
                "memcached_read_bytes counter",
                "memcached_read_bytes_total counter",
            )
            .replace("# UNIT memcached_read_bytes bytes\n", "")
            .replace("# EOF\n", "");
        assert_eq!(shown(Style::Prometheus, counter_and_gauge), older);
    }

    #[test]
    fn a_page_without_memory_is_shown_to_nobody_and_the_next_one_is_whole() {
        let mut page = Page::new();
        let mut cut = 0;
        faults::each(|| {
            page = Page::new();
            page.begin(Style::OpenMetrics);
            counter_and_gauge(&mut page);
            cut += usize::from(page.end().is_none());
        });
        assert!(cut > 0);
        page.begin(Style::OpenMetrics);
        assert_eq!(page.end(), Some(&b"# EOF\n"[..]));
    }
}
