//! Costs that do not depend on the machine's mood: instructions and system calls per request.
//!
//! A known number of requests goes to one worker from ten connections in lockstep, once under
//! valgrind's callgrind, once under strace. Server and client share one CPU, which the server never
//! takes from the client: it wakes up when the client waits, with one request of each connection
//! ready. On CPUs of their own it would wake up for the first one or two, and the turns of its event
//! loop, 3 % of a small request, would depend on who is faster.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::fail::{Context, Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped};
use crate::lab::{Lab, Mode, Side};
use crate::lockstep::Lockstep;
use crate::os::{self, ChildSetup, Signal};
use crate::process;
use crate::server::{Server, ServerPlan};
use crate::workload::{self, KeySpace, SMALL, Workload};

/// Rows when `--only` names none.
const USUAL: &[&str] = &[
    "get", "get-p32", "mget50", "mg-p32", "set", "set-p32", "bget", "bmget50", "get-64k", "set-64k",
];
const CONNECTIONS: usize = 10;
/// One read takes a small record whole; a second one now and then is allowed.
const READS_GOAL: f64 = 1.4;
/// Fewer keys than for timing: filling under valgrind is slow, and counts do not mind caches.
const FEW: KeySpace = KeySpace {
    count: 10_000,
    ..SMALL
};
/// valgrind keeps this many descriptors, and memcached wants its limit to be exactly `-c`.
const VALGRIND_FDS: u64 = 12;
const MAX_FDS: u64 = 1024;
const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// Instructions per request.
pub fn instructions(lab: &Lab) -> Outcome<Findings> {
    let mut findings = Findings::default();
    for &mode in &lab.options.modes {
        // Writing to a String cannot fail.
        let _ = write!(
            findings.text,
            "\n## Instructions per request, {}\n\n\
             User space, busiest worker thread, by callgrind; {} connection(s); mget50 and bmget50 per key.\n\n\
             | Workload | ours | theirs | ratio |\n|---|---|---|---|\n",
            mode.title(),
            connections(lab),
        );
        for workload in chosen(lab) {
            let mut counts = [0.0; 2];
            for (index, side) in Side::BOTH.into_iter().enumerate() {
                let counted = count_instructions(lab, side, mode, workload)
                    .map_err(|e| e.during(format_args!("{}, {mode}, {side}", workload.name)))?;
                counts[index] = counted;
                let place: [&dyn std::fmt::Display; 3] = [&"instructions", &mode, &workload.name];
                findings.note(place, 0, side, "instructions", counted);
            }
            let [ours, theirs] = counts;
            let name = workload.name;
            eprintln!(
                "{mode:<5} {name:<9} instructions: ours {ours:.0}, theirs {theirs:.0}, ratio {:.2}",
                ours / theirs
            );
            let _ = writeln!(
                findings.text,
                "| {name} | {} | {} | **{:.2}** |",
                grouped(ours),
                grouped(theirs),
                ours / theirs
            );
            let name = format!("instructions {mode} {name}");
            findings.ratios.push((name, ours / theirs));
        }
    }
    Ok(findings)
}

/// System calls per request.
pub fn syscalls(lab: &Lab) -> Outcome<Findings> {
    let mut findings = Findings::default();
    for &mode in &lab.options.modes {
        let _ = write!(
            findings.text,
            "\n## System calls per batch, {}\n\n\
             By strace, worker thread; {} connection(s) served together. Per batch: one request, or \
             one whole pipeline.\n\n\
             | Workload | ours | theirs | ours: which | theirs: which |\n|---|---|---|---|---|\n",
            mode.title(),
            connections(lab),
        );
        for workload in chosen(lab) {
            let mut cells = Vec::new();
            for side in Side::BOTH {
                let calls = count_syscalls(lab, side, mode, workload)
                    .map_err(|e| e.during(format_args!("{}, {mode}, {side}", workload.name)))?;
                for (name, count) in &calls {
                    let place: [&dyn std::fmt::Display; 3] = [&"syscalls", &mode, &workload.name];
                    findings.note(place, 0, side, name, *count);
                }
                cells.push(calls);
            }
            let totals: Vec<f64> = cells.iter().map(|calls| calls.values().sum()).collect();
            eprintln!(
                "{mode:<5} {:<9} system calls: ours {:.2}, theirs {:.2}",
                workload.name, totals[0], totals[1]
            );
            let _ = writeln!(
                findings.text,
                "| {} | {} | {} | {} | {} |",
                workload.name,
                figure(totals[0]),
                figure(totals[1]),
                listing(&cells[0]),
                listing(&cells[1]),
            );
            let name = format!("syscalls {mode} {}", workload.name);
            findings.ratios.push((name, totals[0] / totals[1]));
        }
    }
    Ok(findings)
}

/// Calls that take bytes from a socket, for each small request in the chosen modes.
pub fn reads(lab: &Lab) -> Outcome<Findings> {
    let mut findings = Findings::default();
    let _ = write!(
        findings.text,
        "\n## Reads per small request\n\n\
         `read`, `recv` and their kin of the worker thread for each request of 100 bytes, by strace; \
         {} connection(s) served together.\n\n\
         | Request | ours | theirs |\n|---|---|---|\n",
        connections(lab),
    );
    for &mode in &lab.options.modes {
        for name in ["get", "set"] {
            let workload = workload::find(name)
                .map(|workload| fewer(lab, workload))
                .ok_or_else(|| Fail::new(format!("no workload {name:?} in the table"), ""))?;
            let mut each = [0.0; 2];
            for (index, side) in Side::BOTH.into_iter().enumerate() {
                let calls = count_syscalls(lab, side, mode, workload)
                    .map_err(|e| e.during(format_args!("{name}, {mode}, {side}")))?;
                let reading = |call: &str| call.starts_with("read") || call.starts_with("recv");
                each[index] = calls
                    .iter()
                    .filter(|(call, _)| reading(call))
                    .map(|(_, count)| count)
                    .sum();
                findings.note([&"reads", &mode, &name], 0, side, "reads", each[index]);
            }
            let [ours, theirs] = each;
            eprintln!("{mode:<5} {name:<9} reads: ours {ours:.2}, theirs {theirs:.2}");
            let title = mode.title();
            let _ = writeln!(
                findings.text,
                "| {name}, {title} | {} | {} |",
                figure(ours),
                figure(theirs)
            );
            if mode != Mode::Plain {
                findings.goals.push(Goal {
                    what: format!("reads for each small {name}, {title}"),
                    bound: Bound::AtMost(READS_GOAL),
                    measured: ours,
                    unit: "",
                });
            }
        }
    }
    Ok(findings)
}

fn connections(lab: &Lab) -> usize {
    lab.options.connections.unwrap_or(CONNECTIONS)
}

/// The rows to count, with their connections and keys made fewer.
fn chosen(lab: &Lab) -> Vec<Workload> {
    let by_default = |w: &Workload| !lab.options.only.is_empty() || USUAL.contains(&w.name);
    let mut workloads = lab.options.workloads();
    workloads.retain(by_default);
    for workload in &mut workloads {
        *workload = fewer(lab, *workload);
    }
    workloads
}

/// The workload as it is counted.
pub fn fewer(lab: &Lab, mut workload: Workload) -> Workload {
    workload.connections = connections(lab);
    if workload.keys == SMALL {
        workload.keys = FEW;
    }
    workload
}

/// Rounds that make about 10,000 requests, 32,000 pipelined ones, 50,000 keys or 1,000 large values.
fn rounds(workload: &Workload) -> usize {
    let units = match workload {
        w if w.keys != FEW => 1_000,
        w if w.batch_units() >= 50 => 50_000,
        w if w.depth > 1 => 32_000,
        _ => 10_000,
    };
    (units / workload.batch_units() / workload.connections).max(1)
}

fn ready(lab: &Lab, server: &Server, mode: Mode, workload: Workload) -> Outcome<Lockstep> {
    let mut admin = server.admin()?;
    workload::fill(&mut admin, workload.keys, 0..workload.keys.count)?;
    let mut conns = Lockstep::connect(&lab.target(server, mode), workload, lab.options.seed)?;
    for _ in 0..3 {
        conns.round()?;
    }
    Ok(conns)
}

/// The thread that used most CPU while some rounds were run: the worker.
fn busiest_worker(server: &Server, conns: &mut Lockstep) -> Outcome<u32> {
    let before = process::thread_times(server.pid())?;
    for _ in 0..20 {
        conns.round()?;
    }
    let after = process::thread_times(server.pid())?;
    let used = |id: &u32, time: u64| time.saturating_sub(before.get(id).copied().unwrap_or(0));
    after
        .into_iter()
        .max_by_key(|(id, time)| used(id, *time))
        .map(|(id, _)| id)
        .ok_or_else(|| Fail::new("the server has no threads", "it has ended: see its log"))
}

fn run_rounds(conns: &mut Lockstep, rounds: usize) -> Outcome<usize> {
    let mut units = 0;
    for _ in 0..rounds {
        units += conns.round()?;
    }
    Ok(units)
}

/// The plan of a server that shares the one CPU of the counting.
fn shared_plan(lab: &Lab, side: Side, mode: Mode) -> ServerPlan {
    ServerPlan {
        threads: 1,
        setup: ChildSetup {
            cpu: Some(lab.shared_cpu()),
            yielding: true,
            ..ChildSetup::default()
        },
        ..lab.plan(side, mode)
    }
}

fn share_cpu(lab: &Lab) -> Outcome<os::Stay> {
    os::stay_on(lab.shared_cpu()).context("pinning the client", "name another --server-cpu")
}

/// User-space instructions of the worker thread for each unit.
pub fn count_instructions(lab: &Lab, side: Side, mode: Mode, workload: Workload) -> Outcome<f64> {
    let _here = share_cpu(lab)?;
    let prefix = format!("cg-{side}-{mode}-{}", workload.name);
    let out = lab.scratch().join(&prefix);
    let mut plan = shared_plan(lab, side, mode);
    plan.wrapper = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        "--separate-threads=yes",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("--callgrind-out-file={}", out.display())])
    .collect();
    plan.max_conns = usize::try_from(MAX_FDS - VALGRIND_FDS).unwrap_or(usize::MAX);
    plan.setup.max_fds = Some(MAX_FDS);
    let mut server = Server::start(&plan)?;
    let mut conns = ready(lab, &server, mode, workload)?;
    callgrind_control(server.pid(), "on")?;
    let units = run_rounds(&mut conns, rounds(&workload))?;
    callgrind_control(server.pid(), "off")?;
    server.stop();
    let total = busiest_thread(lab.scratch(), &prefix)?;
    Ok(total as f64 / units as f64)
}

fn callgrind_control(pid: u32, switch: &str) -> Outcome<()> {
    let output = Command::new("callgrind_control")
        .args(["-i", switch, &pid.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("running callgrind_control", "install valgrind")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains("OK") {
        return Ok(());
    }
    Err(Fail::new(
        format!("callgrind_control -i {switch}: {}", said(&output)),
        "the server may have ended; start it under valgrind by hand",
    ))
}

/// The largest total of all threads' files.
fn busiest_thread(folder: &Path, prefix: &str) -> Outcome<u64> {
    let mut most = 0;
    for entry in fs::read_dir(folder).context("looking for callgrind's files", "")? {
        let path = entry.context("looking for callgrind's files", "")?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        if !name.is_some_and(|n| n.starts_with(prefix)) {
            continue;
        }
        let text = fs::read_to_string(&path).context(path.display(), "")?;
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("totals: "))
            .and_then(|n| n.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        most = most.max(total);
        // The next row's prefix may begin like this one's.
        let _ = fs::remove_file(&path);
    }
    if most == 0 {
        return Err(Fail::new(
            "callgrind wrote no totals",
            "the server must end by itself on SIGTERM; try `valgrind --tool=callgrind` by hand",
        ));
    }
    Ok(most)
}

/// System calls of the worker thread for each batch, by name.
pub fn count_syscalls(
    lab: &Lab,
    side: Side,
    mode: Mode,
    workload: Workload,
) -> Outcome<BTreeMap<String, f64>> {
    let _here = share_cpu(lab)?;
    let server = Server::start(&shared_plan(lab, side, mode))?;
    let mut conns = ready(lab, &server, mode, workload)?;
    let table = lab.scratch().join("strace.txt");
    let worker = busiest_worker(&server, &mut conns)?;
    let strace = Strace::attach(worker, &table)?;
    let rounds = rounds(&workload);
    run_rounds(&mut conns, rounds)?;
    strace.detach()?;
    let text = fs::read_to_string(&table).context(table.display(), "")?;
    let batches = (rounds * workload.connections) as f64;
    Ok(strace_table(&text)
        .into_iter()
        .map(|(name, calls)| (name, calls as f64 / batches))
        // Clocks and attaching leave a call or two; they are not the requests'.
        .filter(|(_, each)| *each >= 0.005)
        .collect())
}

/// A strace that counts the calls of one thread.
struct Strace {
    child: Child,
}

impl Strace {
    fn attach(thread: u32, table: &Path) -> Outcome<Self> {
        let child = Command::new("strace")
            .args(["-c", "-p", &thread.to_string(), "-o"])
            .arg(table)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("running strace", "install strace")?;
        let mut strace = Strace { child };
        let limit = Instant::now() + ATTACH_LIMIT;
        while !process::traced(thread)? {
            let ended = strace.child.try_wait().context("watching strace", "")?;
            if ended.is_some() || Instant::now() > limit {
                return Err(Fail::new(
                    "strace cannot attach to the server",
                    "run as root, or allow ptrace (kernel.yama.ptrace_scope)",
                ));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(strace)
    }

    fn detach(mut self) -> Outcome<()> {
        os::send_signal(self.child.id(), Signal::Interrupt).context("stopping strace", "")?;
        self.child.wait().context("stopping strace", "")?;
        Ok(())
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Calls by name, from strace's summary: `% seconds usecs/call calls [errors] name`.
fn strace_table(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, calls) = (words.last()?, words.get(3)?.parse().ok()?);
            (*name != "total").then(|| ((*name).to_owned(), calls))
        })
        .collect()
}

fn listing(calls: &BTreeMap<String, f64>) -> String {
    let mut calls: Vec<(&String, &f64)> = calls.iter().collect();
    calls.sort_by(|a, b| b.1.total_cmp(a.1));
    let words: Vec<String> = calls
        .iter()
        .map(|(name, count)| format!("{name} {count:.2}"))
        .collect();
    words.join(", ")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straces_summary_is_read_with_and_without_errors() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           1       600           sendmsg
 40.00    0.000400           1       500       100 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1      1100       100 total
";
        let table = strace_table(text);
        assert_eq!(table.len(), 2);
        assert_eq!(table["sendmsg"], 600);
        assert_eq!(table["read"], 500);
    }
}
