//! What frames the report: what was compared, on what machine, how; the workloads; and writing files.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::fail::{Context, Outcome};
use crate::findings::grouped;
use crate::lab::{Lab, Side};
use crate::workload::WORKLOADS;

/// What was measured, where and how.
pub fn heading(lab: &Lab) -> Outcome<String> {
    let mut text = String::from(
        "# Performance, measured\n\n\
         Made by `bench` (tools/bench). Both servers run at once with the same options and get the \
         same load in alternating order; a ratio is taken within each pair, ours by theirs, and the \
         median over the pairs counts. CPU is what the kernel charges all threads of the server; \
         requests are counted by the server. Every reply is checked. Absolute times belong to this \
         machine and this day; ratios, instructions and system calls carry over.\n\n",
    );
    text.push_str(&setting(lab)?);
    Ok(text)
}

/// Which servers, on what machine, how long.
pub fn setting(lab: &Lab) -> Outcome<String> {
    let mut text = String::new();
    for side in Side::BOTH {
        let mode = lab.options.modes[0];
        let plan = lab.plan(side, mode);
        let version = lab.start(side, mode)?.admin()?.version()?;
        let mut words = vec![plan.program.display().to_string()];
        words.extend(plan.extra);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "* {side}: `{}`, version {version}", words.join(" "));
    }
    let options = &lab.options;
    let place = match (lab.server_cpu, lab.client_cpu) {
        (Some(server), Some(client)) => format!("server on CPU {server}, client on CPU {client}"),
        _ => "not pinned".to_owned(),
    };
    let _ = writeln!(
        text,
        "* {} CPUs{}, Linux {}; `-t {}`, {place}, {} client thread(s), where nothing else is said",
        lab.cpus,
        cpu_model(),
        kernel(),
        lab.threads,
        lab.client_threads(),
    );
    let _ = writeln!(
        text,
        "* {} pairs over {} start(s), {} s warm-up, {} s measured; medians of the pairs",
        options.pairs,
        options.starts,
        options.warmup.as_secs_f64(),
        options.window().as_secs_f64(),
    );
    Ok(text)
}

/// The workloads, for the end of the report.
pub fn workloads() -> String {
    let mut text = String::from(
        "\n## The workloads\n\n\
         | Name | Connections | In flight on each | Keys | Value bytes | Counted |\n\
         |---|---|---|---|---|---|\n",
    );
    for w in WORKLOADS {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            w.name,
            w.connections,
            w.depth,
            grouped(f64::from(w.keys.count)),
            grouped(w.keys.value_len as f64),
            w.unit,
        );
    }
    text.push_str(
        "\nKeys are drawn evenly at random, by each connection for itself, and are all stored \
         before the run; flags 0, no expiry. get: `get K`; mg: `mg K s v`; set: `set K 0 0 n`; \
         mget50: one `get` with 50 keys; mixed: one set, then ten gets; bget: the \
         binary get; bmget50: 50 getkq and a noop; \
         connect: connect, one `get`, close, over and over.\n",
    );
    text
}

/// Writes a text to a file.
pub fn save(path: &Path, text: &str) -> Outcome<()> {
    fs::write(path, text).context(
        format_args!("writing {}", path.display()),
        "choose a file in an existing folder that can be written to",
    )
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "?".to_owned(), |s| s.trim().to_owned())
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(String::new, |(_, model)| format!(" ({})", model.trim()))
}
