//! `bench plot`: the single figures of `bench tls` as a picture, SVG.
//!
//! Two panels of grouped bars: CPU per request beside plain, and handshakes a second by workers. A
//! bar is the median over the rounds, the line on it runs from the lowest to the highest. Colours
//! follow the reader's light or dark setting, and the picture brings its own ground, so it can be
//! read on any page. Text in, text out: everything is computed from the CSV alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::fail::{Context, Fail, Outcome};
use crate::findings::{RAW_HEADING, figure, grouped, median};
use crate::options::Options;
use crate::report;
use crate::tls::handshakes::{self, Opening, WORKERS};
use crate::tls::price;

const WIDTH: f64 = 820.0;
/// Room at the left of a panel for its scale, and at its right.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
/// A panel's heights: title and legend, bars, names of the groups.
const HEAD: f64 = 62.0;
const BARS: f64 = 190.0;
const FEET: f64 = 66.0;
/// Share of a group's width that its bars fill.
const FILLED: f64 = 0.78;
/// Marks on a scale, at most.
const MARKS: f64 = 6.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#57606a}\
.t{font-size:15px;font-weight:600;fill:#24292f}\
.n{font-size:10.5px}\
.bg{fill:#fff}.g{stroke:#d0d7de}.w{stroke:#24292f;stroke-opacity:.65}\
.a{fill:#9aa4af}.b{fill:#3f8fd2}.c{fill:#e0862f}\
.d{fill:#9ccfc4}.e{fill:#3fa796}.f{fill:#1d6f62}\
@media(prefers-color-scheme:dark){\
text{fill:#a6b0bb}.t{fill:#e6edf3}.bg{fill:#0d1117}.g{stroke:#30363d}.w{stroke:#e6edf3}\
.d{fill:#1d6f62}.e{fill:#3fa796}.f{fill:#9ccfc4}}";

/// Reads the CSV, writes the picture.
pub fn run(options: &Options) -> Outcome<()> {
    let (Some(raw), Some(out)) = (&options.raw, &options.out) else {
        return Err(Fail::new(
            "plot needs the single figures and a file for the picture",
            "bench plot --raw tls.csv --out tls.svg, after bench tls --raw tls.csv",
        ));
    };
    let text = fs::read_to_string(raw).context(
        format_args!("reading {}", raw.display()),
        "bench tls --raw writes it",
    )?;
    report::save(out, &draw(&Figures::read(&text)?)?)
}

/// The single figures: by section, mode, row and name, those of all runs in order.
struct Figures(BTreeMap<[String; 4], Vec<f64>>);

impl Figures {
    fn read(text: &str) -> Outcome<Self> {
        let lines = text
            .strip_prefix(RAW_HEADING)
            .ok_or_else(|| Fail::new("the CSV does not begin with the heading of this tool", ""))?;
        let mut figures: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for line in lines.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            let &[section, mode, row, _run, _side, name, value] = cells.as_slice() else {
                return Err(Fail::new(
                    format!("not a line of seven cells: {line:?}"),
                    "",
                ));
            };
            let value = value
                .parse()
                .context(format_args!("{line:?}"), "the last cell must be a number")?;
            let key = [section, mode, row, name].map(str::to_owned);
            figures.entry(key).or_default().push(value);
        }
        Ok(Figures(figures))
    }

    fn of(&self, section: &str, mode: &str, row: &str, name: &str) -> Outcome<&[f64]> {
        let key = [section, mode, row, name].map(str::to_owned);
        self.0.get(&key).map(Vec::as_slice).ok_or_else(|| {
            Fail::new(
                format!("the CSV has no {name} of {section}, {mode}, {row}"),
                "it must come from a whole run of bench tls",
            )
        })
    }
}

/// A bar: the median, and the line from the lowest to the highest.
struct Bar {
    middle: f64,
    low: f64,
    high: f64,
    label: String,
}

impl Bar {
    fn new(values: &[f64], label: impl Fn(f64) -> String) -> Self {
        let middle = median(values.iter().copied());
        Bar {
            middle,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(0.0, f64::max),
            label: label(middle),
        }
    }
}

/// Bars that stand together, and the lines of text below them.
struct Group {
    bars: Vec<Bar>,
    lines: Vec<String>,
}

/// One set of axes.
struct Panel {
    title: &'static str,
    scale: &'static str,
    /// Name and style class of the first, second, … bar of every group.
    series: Vec<(String, &'static str)>,
    groups: Vec<Group>,
}

fn draw(figures: &Figures) -> Outcome<String> {
    let panels = [prices(figures)?, rates(figures)?];
    let panel = HEAD + BARS + FEET;
    let height = panel * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>The price of TLS: CPU per request beside plain, and handshakes a second</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    for (index, one) in panels.iter().enumerate() {
        one.draw(panel * index as f64, &mut svg);
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// CPU per request by that of the plain one, within each round.
fn prices(figures: &Figures) -> Outcome<Panel> {
    let mut groups = Vec::new();
    for row in price::ROWS {
        let cpu = |way: &str| figures.of("price", way, row.name, "cpu_us");
        let plain = cpu("plain")?;
        let mut bars = Vec::new();
        for way in price::WAYS {
            let ratios: Vec<f64> = cpu(way.title())?
                .iter()
                .zip(plain)
                .map(|(cpu, plain)| cpu / plain)
                .collect();
            bars.push(Bar::new(&ratios, figure));
        }
        let micros = figure(median(plain.iter().copied()));
        groups.push(Group {
            bars,
            lines: vec![row.name.to_owned(), format!("plain: {micros} µs")],
        });
    }
    let classes = ["a", "b", "c"];
    Ok(Panel {
        title: "CPU of the server per request, plain = 1",
        scale: "times plain",
        series: price::WAYS
            .map(|way| way.title().to_owned())
            .into_iter()
            .zip(classes)
            .collect(),
        groups,
    })
}

fn rates(figures: &Figures) -> Outcome<Panel> {
    let mut groups = Vec::new();
    for opening in handshakes::openings() {
        let Opening::Tls(key, version, handshake) = opening else {
            continue;
        };
        let mut bars = Vec::new();
        for workers in WORKERS {
            let mode = format!("-t {workers}");
            let rates = figures.of("tls-handshakes", &mode, &opening.to_string(), "rate")?;
            bars.push(Bar::new(rates, thousands));
        }
        groups.push(Group {
            bars,
            lines: vec![key.to_string(), version.to_string(), handshake.to_string()],
        });
    }
    let name = |workers| match workers {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    Ok(Panel {
        title: "Handshakes a second, the client on the same CPUs",
        scale: "per second",
        series: WORKERS.map(name).into_iter().zip(["d", "e", "f"]).collect(),
        groups,
    })
}

impl Panel {
    fn draw(&self, top: f64, svg: &mut String) {
        let floor = top + HEAD + BARS;
        let most = self
            .groups
            .iter()
            .flat_map(|group| group.bars.iter().map(|bar| bar.high))
            .fold(0.0, f64::max);
        let step = step(most);
        let ceiling = (most / step).ceil().max(1.0) * step;
        let y = |value: f64| floor - value / ceiling * BARS;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text class=\"t\" x=\"{LEFT}\" y=\"{}\">{}</text>",
            top + 28.0,
            self.title
        );
        self.draw_legend(top + 48.0, svg);
        let middle = top + HEAD + BARS / 2.0;
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.scale
        );
        let mut mark = 0.0;
        while mark <= ceiling + step / 2.0 {
            let _ = writeln!(
                svg,
                "<path class=\"g\" d=\"M{LEFT} {:.1}H{}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y(mark),
                WIDTH - RIGHT,
                LEFT - 6.0,
                y(mark) + 4.0,
                mark_text(mark, step),
            );
            mark += step;
        }
        let wide = (WIDTH - LEFT - RIGHT) / self.groups.len() as f64;
        for (index, group) in self.groups.iter().enumerate() {
            let left = LEFT + wide * index as f64;
            let bar_wide = wide * FILLED / group.bars.len() as f64;
            for (place, (bar, (_, class))) in group.bars.iter().zip(&self.series).enumerate() {
                let x = left + wide * (1.0 - FILLED) / 2.0 + bar_wide * place as f64;
                bar.draw(x, bar_wide, class, y, svg);
            }
            for (line, text) in group.lines.iter().enumerate() {
                let _ = writeln!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                    left + wide / 2.0,
                    floor + 17.0 + 15.0 * line as f64,
                );
            }
        }
    }

    fn draw_legend(&self, y: f64, svg: &mut String) {
        for (index, (name, class)) in self.series.iter().enumerate() {
            let x = LEFT + 100.0 * index as f64;
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\"/>\
                 <text x=\"{}\" y=\"{y}\">{name}</text>",
                y - 10.0,
                x + 16.0,
            );
        }
    }
}

impl Bar {
    fn draw(&self, x: f64, wide: f64, class: &str, y: impl Fn(f64) -> f64, svg: &mut String) {
        let centre = x + wide / 2.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <path class=\"w\" d=\"M{centre:.1} {:.1}V{:.1}\"/>\
             <text class=\"n\" x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x + 1.0,
            y(self.middle),
            wide - 2.0,
            y(0.0) - y(self.middle),
            y(self.low),
            y(self.high),
            y(self.high) - 4.0,
            self.label,
        );
    }
}

/// A round step that needs few marks up to `most`.
fn step(most: f64) -> f64 {
    let rough = (most / MARKS).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= rough)
        .unwrap_or(10.0);
    round * power
}

/// A rate in few characters.
fn thousands(rate: f64) -> String {
    match rate {
        r if r >= 10_000.0 => format!("{:.0}k", r / 1e3),
        r if r >= 1_000.0 => format!("{:.1}k", r / 1e3),
        r => format!("{r:.0}"),
    }
}

fn mark_text(mark: f64, step: f64) -> String {
    if step >= 1.0 {
        grouped(mark)
    } else {
        format!("{mark:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a whole run writes, with one figure for everything.
    fn raw() -> String {
        let mut raw = RAW_HEADING.to_owned();
        for row in price::ROWS {
            for way in price::WAYS {
                for run in 0..2 {
                    let name = row.name;
                    let _ = writeln!(raw, "price,{},{name},{run},ours,cpu_us,8.5", way.title());
                }
            }
        }
        for opening in handshakes::openings() {
            for workers in WORKERS {
                let _ = writeln!(
                    raw,
                    "tls-handshakes,-t {workers},{opening},0,ours,rate,1234.5"
                );
            }
        }
        raw
    }

    #[test]
    fn a_whole_run_becomes_a_picture_with_every_bar() {
        let svg = draw(&Figures::read(&raw()).expect("readable")).expect("complete");
        let bars = price::ROWS.len() * price::WAYS.len() + 8 * WORKERS.len();
        assert_eq!(svg.matches("class=\"w\"").count(), bars);
        assert!(svg.contains(">1.00<") && svg.contains(">1.2k<"));
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let raw = raw().replace("TLS 1.3,get 1 MiB", "TLS 1.3,get 2 MiB");
        let figures = Figures::read(&raw).expect("readable");
        let error = draw(&figures).expect_err("a row is missing").to_string();
        assert!(error.contains("TLS 1.3, get 1 MiB"), "{error}");
        assert!(Figures::read("a,b\n").is_err());
    }

    #[test]
    fn a_scale_has_round_steps() {
        assert_eq!(step(5.9), 1.0);
        assert_eq!(step(6.1), 2.0);
        assert_eq!(step(2_900.0), 500.0);
        assert_eq!(step(0.5), 0.1);
    }
}
