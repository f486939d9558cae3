//! `bench gates`: what the everyday requests cost, counted, and a failure where one became dearer.
//!
//! Instructions and system calls ([`counts`]) and the program's size are held against the table in the
//! tree ([`table`]) where it holds for the toolchain at hand ([`toolchain`]). Where it does not, the
//! caller builds the server of the commit before and names it with `--before`: both are counted then,
//! one after the other, and what the commits since raised in the table is forgiven.

mod table;
mod toolchain;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::counts;
use crate::fail::{Context, Fail, Outcome};
use crate::lab::{Lab, Mode, Side};
use crate::options::Options;
use crate::report;
use crate::workload;
use table::{Costs, Move, SIZE, Table};

const ROWS: &[&str] = &["get", "set", "mg-p32", "get-p32", "mget50"];
const MODES: [Mode; 2] = [Mode::Plain, Mode::Tls];
/// The status of a run that would have to hold the server against another one.
const ANOTHER_TOOLCHAIN: u8 = 3;

/// What the server is held against.
#[derive(Debug, PartialEq, Eq)]
enum Road {
    /// The table, which is then written anew.
    Write,
    /// The table.
    Table,
    /// The server of an earlier commit.
    Before,
    /// Nothing yet: for these reasons it would have to be an earlier commit's server.
    Elsewhere(Vec<String>),
}

impl Road {
    fn choose(options: &Options, differences: Vec<String>) -> Self {
        match differences {
            _ if options.write => Road::Write,
            _ if options.before.is_some() => Road::Before,
            same if same.is_empty() => Road::Table,
            others => Road::Elsewhere(others),
        }
    }
}

/// Counts, compares, and returns the report.
pub fn run(mut options: Options) -> Outcome<String> {
    options.modes = MODES.to_vec();
    if let Some(before) = &options.before {
        options.against = before.clone();
    }
    let known = match read_table(&options.table) {
        Err(_) if options.write => Table::default(),
        found => found?,
    };
    let lab = Lab::set_up(options)?;
    let build = lab.options.build.clone();
    let build = build
        .or_else(|| known.holds_for.get("build"))
        .unwrap_or_default();
    let here = toolchain::here(&lab, &build)?;
    match Road::choose(&lab.options, known.holds_for.differences(&here)) {
        Road::Elsewhere(differences) => Err(Fail::new(
            format!(
                "the table {} holds for another toolchain:\n  {}",
                lab.options.table.display(),
                differences.join("\n  ")
            ),
            "hold the server against the commit before: --before PROGRAM, as `make gates` does",
        )
        .with_status(ANOTHER_TOOLCHAIN)),
        Road::Table => judge(
            table::compare(&known.costs, &count(&lab, Side::Ours)?),
            "table",
        ),
        Road::Before => {
            let before = match &lab.options.before_table {
                Some(path) => read_table(path)?.costs,
                None => Costs::default(),
            };
            let was = table::forgive(&count(&lab, Side::Theirs)?, &before, &known.costs);
            judge(table::compare(&was, &count(&lab, Side::Ours)?), "before")
        }
        Road::Write => {
            let now = Table {
                holds_for: here,
                noted: known.noted,
                costs: count(&lab, Side::Ours)?,
            };
            report::save(&lab.options.table, &now.text())?;
            Ok(table::report(
                &table::compare(&known.costs, &now.costs),
                "table",
                "raised",
            ))
        }
    }
}

fn read_table(path: &Path) -> Outcome<Table> {
    let text = fs::read_to_string(path).context(
        format_args!("reading {}", path.display()),
        "--table names the table of counted costs; `--write` makes one",
    )?;
    Table::parse(&text)
}

/// All costs of one side's server.
fn count(lab: &Lab, side: Side) -> Outcome<Costs> {
    let mut costs = Costs::default();
    for mode in MODES {
        for &name in ROWS {
            let workload = workload::find(name)
                .map(|workload| counts::fewer(lab, workload))
                .ok_or_else(|| Fail::new(format!("no workload {name:?} in the table"), ""))?;
            let place = format!("{mode} {name}");
            let during = |fail: Fail| fail.during(format_args!("{place}, {side}"));
            let instructions =
                counts::count_instructions(lab, side, mode, workload).map_err(during)?;
            let calls: f64 = counts::count_syscalls(lab, side, mode, workload)
                .map_err(during)?
                .values()
                .sum();
            eprintln!("{place:<14} {instructions:.0} instructions, {calls:.2} system calls");
            costs
                .0
                .push((format!("instructions {place}"), instructions));
            costs.0.push((format!("calls {place}"), calls));
        }
    }
    // Instructions first: they move most, and are read first.
    costs
        .0
        .sort_by_key(|(name, _)| !name.starts_with("instructions"));
    let program = match side {
        Side::Ours => &lab.options.server,
        Side::Theirs => &lab.options.against,
    };
    costs.0.push((SIZE.to_owned(), size(program)?));
    Ok(costs)
}

/// Bytes of code and data, without what only a debugger reads.
fn size(program: &Path) -> Outcome<f64> {
    let output = Command::new("size")
        .arg(program)
        .stdin(Stdio::null())
        .output()
        .context("running size", "install binutils")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.lines().nth(1).unwrap_or_default().split_whitespace();
    let mut next = || words.next()?.parse::<f64>().ok();
    match (next(), next()) {
        (Some(code), Some(data)) => Ok(code + data),
        _ => Err(Fail::new(
            format!("size does not tell the size of {}", program.display()),
            "try it by hand",
        )),
    }
}

fn judge(moves: Vec<Move>, was: &str) -> Outcome<String> {
    let text = table::report(&moves, was, "TOO DEAR");
    let dear = moves.iter().filter(|one| one.fails()).count();
    if dear == 0 {
        return Ok(format!(
            "{text}\nNo cost rose further than it may: {}.\n",
            table::limits()
        ));
    }
    Err(Fail::new(
        format!(
            "costs that rose too far: {dear}, of {} ({})\n\n{text}",
            moves.len(),
            table::limits()
        ),
        "make them cheaper; where the price is meant, `make gates_update`, and the commit says why",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::parse;

    #[test]
    fn an_unknown_toolchain_is_held_against_the_commit_before() {
        let others = || vec!["rustc: 1.96.0 here, 1.95.0 in the table".to_owned()];
        let mut options = parse("gates").expect("valid");
        assert_eq!(Road::choose(&options, Vec::new()), Road::Table);
        assert_eq!(Road::choose(&options, others()), Road::Elsewhere(others()));
        options.before = Some("before/memcached".into());
        assert_eq!(Road::choose(&options, others()), Road::Before);
        options.write = true;
        assert_eq!(Road::choose(&options, others()), Road::Write);
    }

    #[test]
    fn a_cost_that_rose_too_far_fails_the_run() {
        let moved = |now: f64| {
            vec![Move {
                name: "instructions plain get".to_owned(),
                was: Some(1000.0),
                now: Some(now),
            }]
        };
        assert!(judge(moved(1029.0), "table").is_ok());
        let error = judge(moved(1031.0), "table").expect_err("3.1 % above");
        assert_eq!(error.status(), 1);
        assert!(error.to_string().contains("+3.10 %"), "{error}");
    }
}
