//! What `/proc` says of a server: CPU time of its threads, memory, open descriptors; and how long a thread of the
//! tool had to wait.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

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

/// CPU time by the name of the threads, in nanoseconds; those of one name are added up. The first thread has the name
/// of the program's file, which may be any, and is called main here.
pub fn times_by_name(pid: u32) -> Outcome<BTreeMap<String, u64>> {
    let mut times = BTreeMap::new();
    for (thread, used) in thread_times(pid)? {
        let name = match thread == pid {
            true => Ok("main".to_owned()),
            false => fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")),
        };
        // A thread that has just ended has no name any more, and counts no longer.
        if let Ok(name) = name {
            *times.entry(name.trim_end().to_owned()).or_insert(0) += used;
        }
    }
    Ok(times)
}

/// How long the calling thread has waited for a CPU that others had: the second field of its schedstat, zero where
/// the kernel does not tell.
pub fn own_delay() -> Duration {
    delay_in("/proc/thread-self/schedstat")
}

/// How long a thread of any process has waited for a CPU.
pub fn delay_of(thread: u32) -> Duration {
    delay_in(&format!("/proc/{thread}/schedstat"))
}

fn delay_in(path: &str) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    Duration::from_nanos(delay_nanos(&text).unwrap_or(0))
}

fn delay_nanos(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().nth(1)?.parse().ok()
}

/// Memory in bytes that the machine can give to new processes without swapping.
pub fn available_bytes() -> Outcome<u64> {
    Ok(field("/proc/meminfo", "MemAvailable:")? * 1024)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_by_their_names() {
        let look = || times_by_name(std::process::id()).expect("a process");
        let thread = std::thread::Builder::new().name("one of many".to_owned());
        let times = thread.spawn(look).expect("a thread").join();
        let times = times.expect("no panic");
        assert!(times.contains_key("one of many"), "{times:?}");
        assert!(times["main"] > 0, "{times:?}");
        assert!(available_bytes().expect("Linux") > 1 << 20);
    }

    #[test]
    fn the_wait_for_a_cpu_stands_behind_the_time_on_it() {
        assert_eq!(delay_nanos("25276041 94102038 17\n"), Some(94_102_038));
        assert_eq!(delay_nanos(""), None);
    }
}
