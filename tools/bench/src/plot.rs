//! `bench plot`: the single figures of `bench tls`, or of `storm` or `stall` alone, as a picture, SVG.
//!
//! Panels of grouped bars: CPU per request beside plain; handshakes a second by workers; clients that get in
//! amid a storm; waits of established clients beside handshakes. A panel is left out where its command was not
//! run. A bar is the median over the rounds, the line on it runs from the lowest to the highest. The
//! picture brings its own ground, which follows the reader's light or dark setting, so it can be
//! read on any page. Text in, text out: everything is computed from the CSV alone.

use std::collections::BTreeMap;
use std::{fs, io};

use clap::ValueEnum;
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{
    ChartBuilder, DrawingArea, EmptyElement, IntoDrawingArea, IntoFont, PathElement, RGBColor,
    Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, TextStyle};

use crate::cert::Key;
use crate::fail::{Context, Fail, Outcome};
use crate::findings::{RAW_HEADING, figure, grouped, median};
use crate::options::Options;
use crate::report;
use crate::tls::handshakes::{self, Opening, WORKERS};
use crate::tls::{price, storm};

const WIDTH: u32 = 820;
/// Room below a panel's title, in which its legend stands, and below its bars for the names of the groups.
const HEAD: u32 = 36;
const FEET: u32 = 62;
const PANEL: u32 = 334;
/// Left edge of the bars.
const LEFT: u32 = 72;
/// Share of a group's width that its bars fill.
const FILLED: f64 = 0.78;

/// The side of the server under test where there is but one of it.
const OURS: &str = "ours";

const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);
const TITLE: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const TEXT: RGBColor = RGBColor(0x57, 0x60, 0x6a);
const GRID: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
/// Plain, TLS 1.2, TLS 1.3.
const WAYS: [RGBColor; 3] = [
    RGBColor(0x9a, 0xa4, 0xaf),
    RGBColor(0x3f, 0x8f, 0xd2),
    RGBColor(0xe0, 0x86, 0x2f),
];
/// Those who take part in a storm or a stall; from the fifth on they begin anew.
const SIDES: [RGBColor; 4] = [
    RGBColor(0x3f, 0xa7, 0x96),
    RGBColor(0x3f, 0x8f, 0xd2),
    RGBColor(0x9a, 0xa4, 0xaf),
    RGBColor(0xe0, 0x86, 0x2f),
];
/// One shade for each number of workers.
const SHADES: [RGBColor; 3] = [
    RGBColor(0x9c, 0xcf, 0xc4),
    RGBColor(0x3f, 0xa7, 0x96),
    RGBColor(0x1d, 0x6f, 0x62),
];
/// Rules of style win over the colours that the elements name, so dark readers get colours of their own.
const DARK: &str = "\
<style>@media(prefers-color-scheme:dark){\
[fill=\"#FFFFFF\"]{fill:#0d1117}[fill=\"#24292F\"]{fill:#e6edf3}[fill=\"#57606A\"]{fill:#a6b0bb}\
[stroke=\"#D0D7DE\"]{stroke:#30363d}[stroke=\"#24292F\"]{stroke:#e6edf3}}</style>
<title>The price of TLS</title>
";

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

/// The single figures.
struct Figures {
    /// By section, mode, row, side and name, those of all runs in order.
    values: BTreeMap<[String; 5], Vec<f64>>,
    /// The sides of each section, in the order of the CSV.
    sides: BTreeMap<String, Vec<String>>,
}

impl Figures {
    fn read(text: &str) -> Outcome<Self> {
        let lines = text
            .strip_prefix(RAW_HEADING)
            .ok_or_else(|| Fail::new("the CSV does not begin with the heading of this tool", ""))?;
        let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let mut sides: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for line in lines.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            let &[section, mode, row, _run, side, name, value] = cells.as_slice() else {
                return Err(Fail::new(
                    format!("not a line of seven cells: {line:?}"),
                    "",
                ));
            };
            let value = value
                .parse()
                .context(format_args!("{line:?}"), "the last cell must be a number")?;
            let key = [section, mode, row, side, name].map(str::to_owned);
            values.entry(key).or_default().push(value);
            let sides = sides.entry(section.to_owned()).or_default();
            if !sides.iter().any(|known| known == side) {
                sides.push(side.to_owned());
            }
        }
        Ok(Figures { values, sides })
    }

    /// Those of the server under test.
    fn of(&self, section: &str, mode: &str, row: &str, name: &str) -> Outcome<&[f64]> {
        self.by(OURS, [section, mode, row, name])
    }

    fn by(&self, side: &str, place: [&str; 4]) -> Outcome<&[f64]> {
        let [section, mode, row, name] = place;
        let key = [section, mode, row, side, name].map(str::to_owned);
        self.values.get(&key).map(Vec::as_slice).ok_or_else(|| {
            Fail::new(
                format!("the CSV has no {name} of {section}, {mode}, {row}, {side}"),
                "it must come from a whole run of bench tls, storm or stall",
            )
        })
    }

    /// Those who took part in a section; nobody where it was not run.
    fn sides(&self, section: &str) -> &[String] {
        self.sides.get(section).map_or(&[], Vec::as_slice)
    }

    /// Whether a section was run with that kind of key.
    fn has_key(&self, section: &str, key: Key) -> bool {
        let mode = key.to_string();
        self.values
            .keys()
            .any(|[s, m, ..]| s == section && *m == mode)
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
    /// Name and colour of the first, second, … bar of every group.
    series: Vec<(String, RGBColor)>,
    groups: Vec<Group>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Drawing into a string cannot fail, but the library cannot know.
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

fn draw(figures: &Figures) -> Outcome<String> {
    type Maker = fn(&Figures) -> Outcome<Panel>;
    let makers: [(&str, Maker); 4] = [
        ("price", prices),
        ("tls-handshakes", rates),
        ("storm", storms),
        ("stall", stalls),
    ];
    let panels = makers
        .iter()
        .filter(|(section, _)| !figures.sides(section).is_empty())
        .map(|(_, make)| make(figures))
        .collect::<Outcome<Vec<_>>>()?;
    if panels.is_empty() {
        return Err(Fail::new(
            "there is nothing in the CSV to draw",
            "it must come from bench tls, storm or stall",
        ));
    }
    let mut svg = String::new();
    draw_panels(&panels, &mut svg).context("drawing", "")?;
    let (head, rest) = svg.split_once('\n').unwrap_or_default();
    Ok(format!("{head}\n{DARK}{rest}"))
}

fn draw_panels(panels: &[Panel], svg: &mut String) -> Drawn {
    let size = (WIDTH, PANEL * panels.len() as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&GROUND)?;
    for (panel, area) in panels.iter().zip(root.split_evenly((panels.len(), 1))) {
        panel.draw(&area)?;
    }
    root.present()
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
    Ok(Panel {
        title: "CPU of the server per request, plain = 1",
        scale: "times plain",
        series: price::WAYS
            .map(|way| way.title().to_owned())
            .into_iter()
            .zip(WAYS)
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
        series: WORKERS.map(name).into_iter().zip(SHADES).collect(),
        groups,
    })
}

/// Who took part in a section, with their colours.
fn contenders(figures: &Figures, section: &str) -> Vec<(String, RGBColor)> {
    let names = figures.sides(section).iter().cloned();
    names.zip(SIDES.into_iter().cycle()).collect()
}

fn storms(figures: &Figures) -> Outcome<Panel> {
    let series = contenders(figures, "storm");
    let mut groups = Vec::new();
    for &key in Key::value_variants() {
        if !figures.has_key("storm", key) {
            continue;
        }
        let key = key.to_string();
        for load in storm::LOADS {
            let row = storm::row(load);
            let bars = series
                .iter()
                .map(|(side, _)| {
                    let shares = figures.by(side, ["storm", &key, &row, "of_peak"])?;
                    Ok(Bar::new(shares, |share| format!("{share:.0} %")))
                })
                .collect::<Outcome<_>>()?;
            groups.push(Group {
                bars,
                lines: vec![key.clone(), row],
            });
        }
    }
    Ok(Panel {
        title: "Clients that get in when 1, 3 and 10 times the peak come",
        scale: "% of the peak",
        series,
        groups,
    })
}

fn stalls(figures: &Figures) -> Outcome<Panel> {
    let series = contenders(figures, "stall");
    let mut groups = Vec::new();
    for &key in Key::value_variants() {
        if !figures.has_key("stall", key) {
            continue;
        }
        let key = key.to_string();
        for (name, quantile) in [("p50_us", "p50"), ("p99_us", "p99")] {
            let bars = series
                .iter()
                .map(|(side, _)| {
                    let waits = figures.by(side, ["stall", &key, "mn", name])?;
                    let millis: Vec<f64> = waits.iter().map(|wait| wait / 1e3).collect();
                    Ok(Bar::new(&millis, figure))
                })
                .collect::<Outcome<_>>()?;
            groups.push(Group {
                bars,
                lines: vec![key.clone(), quantile.to_owned()],
            });
        }
    }
    Ok(Panel {
        title: "Wait of established clients beside full handshakes",
        scale: "milliseconds",
        series,
        groups,
    })
}

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        let bars = self.groups.iter().flat_map(|group| &group.bars);
        let most = bars.map(|bar| bar.high).fold(0.0, f64::max);
        // A storm in which nobody gets in has an axis all the same.
        let most = if most > 0.0 { most } else { 1.0 };
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_top(14 + HEAD)
            .x_label_area_size(FEET)
            .y_label_area_size(LEFT - 12)
            .build_cartesian_2d(0.0..self.groups.len() as f64, 0.0..most * 1.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .axis_style(GRID)
            .bold_line_style(GRID)
            .max_light_lines(0)
            .y_labels(6)
            .y_label_formatter(&|mark| mark_text(*mark))
            .y_label_style(text(15, TEXT))
            .y_desc(self.scale)
            .axis_desc_style(text(15, TEXT))
            .draw()?;
        let plot = chart.plotting_area();
        let words = |at, down, words: &str, size, v| {
            let style = text(size, TEXT).pos(Pos::new(HPos::Center, v));
            plot.draw(&(EmptyElement::at(at) + Text::new(words.to_owned(), (0, down), style)))
        };
        for (left, group) in self.groups.iter().enumerate() {
            let left = left as f64;
            let wide = FILLED / group.bars.len() as f64;
            for (place, (bar, (_, colour))) in group.bars.iter().zip(&self.series).enumerate() {
                let x = left + (1.0 - FILLED) / 2.0 + wide * place as f64;
                let (middle, gap) = (x + wide / 2.0, wide * 0.04);
                let corners = [(x + gap, 0.0), (x + wide - gap, bar.middle)];
                let range = [(middle, bar.low), (middle, bar.high)];
                plot.draw(&Rectangle::new(corners, colour.filled()))?;
                plot.draw(&PathElement::new(range, TITLE.mix(0.65)))?;
                words((middle, bar.high), -3, &bar.label, 12, VPos::Bottom)?;
            }
            for (line, name) in (0..).zip(&group.lines) {
                words((left + 0.5, 0.0), 8 + 15 * line, name, 15, VPos::Top)?;
            }
        }
        self.draw_head(area)
    }

    /// Title and legend, in the panel's own pixels.
    fn draw_head(&self, area: &Area<'_>) -> Drawn {
        let left = LEFT as i32;
        let bold = ("sans-serif", 19, FontStyle::Bold).into_font();
        area.draw(&Text::new(self.title, (left, 14), bold.color(&TITLE)))?;
        let longest = self.series.iter().map(|(name, _)| name.len()).max();
        let step = (28 + 8 * longest.unwrap_or(0) as i32).max(100);
        for (index, (name, colour)) in (0..).zip(&self.series) {
            let (x, y) = (left + step * index, 38);
            area.draw(&Rectangle::new([(x, y), (x + 11, y + 11)], colour.filled()))?;
            area.draw(&Text::new(name.clone(), (x + 17, y - 1), text(15, TEXT)))?;
        }
        Ok(())
    }
}

/// Of a size in the library's measure: 15 come to 12 pixels.
fn text<'a>(size: u32, colour: RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&colour)
}

fn mark_text(mark: f64) -> String {
    if mark.fract() == 0.0 {
        grouped(mark)
    } else {
        format!("{mark:.1}")
    }
}

/// A rate in few characters.
fn thousands(rate: f64) -> String {
    match rate {
        r if r >= 10_000.0 => format!("{:.0}k", r / 1e3),
        r if r >= 1_000.0 => format!("{:.1}k", r / 1e3),
        r => format!("{r:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

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
        assert_eq!(
            svg.matches("opacity=\"0.65\"").count(),
            bars,
            "a line on every bar"
        );
        for text in [
            "1.00",
            "1.2k",
            "times plain",
            "per second",
            "TLS 1.2",
            "4 workers",
        ] {
            assert!(svg.lines().any(|line| line == text), "{text}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_storm_and_a_stall_have_panels_of_their_own() {
        let mut raw = RAW_HEADING.to_owned();
        for side in ["ours", "ours on the workers", "theirs"] {
            for load in storm::LOADS {
                let row = storm::row(load);
                let _ = writeln!(raw, "storm,RSA-8192,{row},0,{side},of_peak,0");
            }
            for name in ["p50_us", "p99_us"] {
                let _ = writeln!(raw, "stall,P-256,mn,0,{side},{name},1500");
            }
        }
        let svg = draw(&Figures::read(&raw).expect("readable")).expect("complete");
        assert_eq!(svg.matches("opacity=\"0.65\"").count(), 3 * 3 + 3 * 2);
        for (text, times) in [
            ("0 %", 9),
            ("1.50", 6),
            ("10 × the peak", 1),
            ("ours on the workers", 2),
        ] {
            let found = svg.lines().filter(|line| *line == text).count();
            assert_eq!(found, times, "{text}");
        }
        assert!(!svg.contains("Handshakes a second"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let raw = raw().replace("TLS 1.3,get 1 MiB", "TLS 1.3,get 2 MiB");
        let figures = Figures::read(&raw).expect("readable");
        let error = draw(&figures).expect_err("a row is missing").to_string();
        assert!(error.contains("TLS 1.3, get 1 MiB"), "{error}");
        assert!(Figures::read("a,b\n").is_err());
        assert!(draw(&Figures::read(RAW_HEADING).expect("readable")).is_err());
    }
}
