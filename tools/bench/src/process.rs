//! What `/proc` says of a server: CPU time of its threads, memory, open descriptors.

use std::collections::BTreeMap;
use std::fs;

use crate::fail::{Context, Outcome};

const GONE: &str = "the server has probably ended; its last words stand in its log above";

/// CPU time a process has used, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime {
    /// All threads that are alive.
    pub all: u64,
    /// The first thread, which in memcached is the one that accepts.
    pub listener: u64,
}

/// Sums the CPU time of all threads.
pub fn cpu_time(pid: u32) -> Outcome<CpuTime> {
    let threads = thread_times(pid)?;
    Ok(CpuTime {
        all: threads.values().sum(),
        listener: threads.get(&pid).copied().unwrap_or(0),
    })
}

/// CPU time by thread, in nanoseconds: the first field of each schedstat.
pub fn thread_times(pid: u32) -> Outcome<BTreeMap<u32, u64>> {
    let dir = format!("/proc/{pid}/task");
    let mut times = BTreeMap::new();
    for entry in fs::read_dir(&dir).context(&dir, GONE)? {
        let entry = entry.context(&dir, GONE)?;
        let id = entry.file_name().to_str().and_then(|n| n.parse().ok());
        // A thread may end between the listing and the read; its time no longer counts.
        let text = fs::read_to_string(entry.path().join("schedstat"));
        if let (Some(id), Ok(text)) = (id, text) {
            let used = text.split_whitespace().next().and_then(|n| n.parse().ok());
            times.insert(id, used.unwrap_or(0));
        }
    }
    Ok(times)
}

/// Resident memory in bytes, counted page by page.
pub fn resident_bytes(pid: u32) -> Outcome<u64> {
    // The VmRSS line of `status` may be dozens of pages behind on each CPU; this one is exact.
    Ok(field(&format!("/proc/{pid}/smaps_rollup"), "Rss:")? * 1024)
}

/// Whether a tracer is attached to the thread.
pub fn traced(thread: u32) -> Outcome<bool> {
    Ok(field(&format!("/proc/{thread}/status"), "TracerPid:")? != 0)
}

fn field(path: &str, name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(path).context(path, GONE)?;
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0))
}

/// Number of open descriptors.
pub fn open_fds(pid: u32) -> Outcome<usize> {
    let dir = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&dir).context(&dir, GONE)?.count())
}
