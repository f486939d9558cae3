//! The process itself: into the background, limits, whose rights it runs with, its pid file, its CPU time.
//!
//! The boot calls these once, in the order of options-and-process.md §4.1, before any thread exists; the CPU time
//! is asked for by `stats`. What the operator reads is the `Display` of an error; exit statuses are the boot's.

#![allow(
    unsafe_code,
    reason = "fork, limits and identity are calls of libc with raw results"
)]

use std::error::Error;
use std::ffi::{CStr, CString};
use std::fmt;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process;
use std::ptr;
use std::time::Duration;

use crate::os::{cvt, reason};

/// Where a background process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// In `/`, so that no file system is kept busy.
    Root,
    /// Where it was started; core files land there.
    Kept,
}

/// What a background process does with stdin, stdout and stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// They become `/dev/null`.
    Null,
    /// They stay open, for an operator who wants to hear.
    Kept,
}

/// Goes on in a child of its own session, in the background; the parent ends here with status 0, after a `farewell` for which it
/// is given the child's id.
///
/// To be called before the first thread: only the calling one goes on in the child.
///
/// # Errors
/// The kernel's.
pub fn daemonize(
    directory: Directory,
    streams: Streams,
    farewell: impl FnOnce(u32),
) -> io::Result<()> {
    // SAFETY: the boot calls this before it makes threads, so no lock can be held by a thread that is left behind.
    let child = cvt(unsafe { libc::fork() })?;
    if child != 0 {
        farewell(child.unsigned_abs());
        // SAFETY: ends the parent at once, without running what was registered for exit: that is the child's now.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: setsid takes no pointers.
    cvt(unsafe { libc::setsid() })?;
    if directory == Directory::Root {
        std::env::set_current_dir("/")?;
    }
    if streams == Streams::Null {
        let null = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        for stream in 0..=2 {
            // SAFETY: takes no pointers; `null` is open here, and 0 to 2 belong to the process as a whole.
            cvt(unsafe { libc::dup2(null.as_raw_fd(), stream) })?;
        }
    }
    Ok(())
}

/// Ends the process at once. Nothing that was registered for exit runs: libraries clean up there what other threads
/// still use.
pub fn leave(status: u8) -> ! {
    // SAFETY: _exit takes no pointers and does not return.
    unsafe { libc::_exit(status.into()) }
}

/// Raises the limit of core files as far as it goes.
///
/// # Errors
/// The kernel's, or "no core files" when the limit stays at 0.
pub fn raise_core_limit() -> io::Result<()> {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    if set_limit(libc::RLIMIT_CORE, unlimited).is_err() {
        let hard = limit(libc::RLIMIT_CORE)?.rlim_max;
        let most = libc::rlimit {
            rlim_cur: hard,
            rlim_max: hard,
        };
        set_limit(libc::RLIMIT_CORE, most)?;
    }
    match limit(libc::RLIMIT_CORE)?.rlim_cur {
        0 => Err(io::Error::other("no core files")),
        _ => Ok(()),
    }
}

/// Sets both limits of open files to `count` and, where that is allowed, `extra` more; this may also lower them. Gives
/// the hard limit that then holds: no descriptor will be as large.
///
/// # Errors
/// The kernel's, mostly for want of the right to raise the limit.
pub fn limit_open_files(count: u32, extra: u32) -> io::Result<u64> {
    let set = |count: u32| {
        let wanted = libc::rlimit {
            rlim_cur: count.into(),
            rlim_max: count.into(),
        };
        set_limit(libc::RLIMIT_NOFILE, wanted)
    };
    match set(count.saturating_add(extra)).or_else(|_| set(count)) {
        Err(_) if cfg!(feature = "debug-server") => {}
        result => result?,
    }
    #[allow(clippy::useless_conversion, reason = "rlim_t is not u64 everywhere")]
    let hard = limit(libc::RLIMIT_NOFILE)?.rlim_max.into();
    Ok(hard)
}

/// Lets other threads of the process go before the calling one while all CPUs are busy, where the system tells threads apart;
/// a refusal changes nothing.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        /// A thread that wakes up goes before one that is so much nicer, which still gets about a quarter of a CPU.
        const STEP: libc::c_int = 5;
        // SAFETY: takes no pointers; 0 stands for the calling thread.
        let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, niceness() + STEP) };
    }
}

/// How nice the calling thread is to others; -1 may stand for "unknown" as well.
#[cfg(target_os = "linux")]
fn niceness() -> libc::c_int {
    // SAFETY: takes no pointers; 0 stands for the calling thread.
    unsafe { libc::getpriority(libc::PRIO_PROCESS as _, 0) }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) type Resource = libc::c_int;

pub(super) fn limit(resource: Resource) -> io::Result<libc::rlimit> {
    let mut limit = MaybeUninit::uninit();
    // SAFETY: `limit` is a writable rlimit for the length of the call.
    cvt(unsafe { libc::getrlimit(resource, limit.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded, so it has filled the struct.
    Ok(unsafe { limit.assume_init() })
}

fn set_limit(resource: Resource, limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a readable rlimit for the length of the call.
    cvt(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    Ok(())
}

/// Why the process cannot become the user it is to run as. `Display` is the operator's line, or lines.
#[derive(Debug)]
pub enum IdentityError {
    /// Started as root without a user's name.
    Unnamed,
    /// No such user.
    Unknown(String),
    /// The supplementary groups could not be dropped, and not for want of the right to.
    Groups(io::Error),
    /// The user's group or user id could not be taken on, and what had become of the groups by then.
    Refused(String, Groups),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Unnamed => f.write_str("must add '-u root' to start as root"),
            IdentityError::Unknown(user) => write!(f, "can't find the user {user} to switch to"),
            IdentityError::Groups(error) => f.write_str(&groups_line(error)),
            IdentityError::Refused(user, groups) => {
                if let Groups::Kept(error) = groups {
                    writeln!(f, "{}", groups_line(error))?;
                }
                write!(f, "failed to assume identity of user {user}")
            }
        }
    }
}

impl Error for IdentityError {}

/// The operator's line about supplementary groups that stay.
#[must_use]
pub fn groups_line(error: &io::Error) -> String {
    format!("failed to drop supplementary groups: {}", reason(error))
}

/// What became of the supplementary groups.
#[derive(Debug)]
pub enum Groups {
    /// Dropped, or the process was not root and keeps its own.
    Settled,
    /// Kept, since the right to drop them is missing (as in some containers); worth a [`groups_line`].
    Kept(io::Error),
}

/// Gives up root's rights for those of `user`, groups first. Without root's rights `user` is not even looked up.
///
/// # Errors
/// [`IdentityError`]; the process must not go on.
pub fn drop_root(user: Option<&str>) -> Result<Groups, IdentityError> {
    // SAFETY: getuid takes no pointers and cannot fail.
    let real = unsafe { libc::getuid() };
    // SAFETY: geteuid takes no pointers and cannot fail.
    let effective = unsafe { libc::geteuid() };
    if real != 0 && effective != 0 {
        return Ok(Groups::Settled);
    }
    let name = match user {
        Some(name) if !name.is_empty() => name,
        _ => return Err(IdentityError::Unnamed),
    };
    let (uid, gid) = ids_of(name).ok_or_else(|| IdentityError::Unknown(name.to_string()))?;
    // SAFETY: with a length of 0 the list is not read, so it may be null.
    let groups = match cvt(unsafe { libc::setgroups(0, ptr::null()) }) {
        Ok(_) => Groups::Settled,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Groups::Kept(error),
        Err(error) => return Err(IdentityError::Groups(error)),
    };
    // SAFETY: setgid takes no pointers.
    let taken_on = cvt(unsafe { libc::setgid(gid) })
        // SAFETY: setuid takes no pointers.
        .and_then(|_| cvt(unsafe { libc::setuid(uid) }));
    match taken_on {
        Ok(_) => Ok(groups),
        Err(_) => Err(IdentityError::Refused(name.to_string(), groups)),
    }
}

/// User and group id of a user.
fn ids_of(name: &str) -> Option<(libc::uid_t, libc::gid_t)> {
    /// Far more than the longest entry of any user database.
    const ENTRY_MAX: usize = 1 << 20;
    let name = CString::new(name).ok()?;
    let mut strings: Vec<libc::c_char> = vec![0; 1024];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` ends with a NUL; `entry`, `found` and `strings` are writable for the length of the call, the
        // last for as many characters as are said.
        let error = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                strings.as_mut_ptr(),
                strings.len(),
                &raw mut found,
            )
        };
        match error {
            libc::ERANGE if strings.len() < ENTRY_MAX => strings.resize(strings.len() * 2, 0),
            0 if !found.is_null() => {
                // SAFETY: `found` is not null, so the call has filled `entry`.
                let entry = unsafe { entry.assume_init() };
                return Some((entry.pw_uid, entry.pw_gid));
            }
            _ => return None,
        }
    }
}

/// Keeps all memory, present and future, from being paged out.
///
/// # Errors
/// The kernel's, mostly for want of the right to.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mlockall takes no pointers.
    cvt(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })?;
    Ok(())
}

/// A pid file, written or to be written. It is not removed on drop: only a daemon removes it, at its exit.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

/// What could not be done with a pid file. `Display` is the operator's line; the server runs on.
#[derive(Debug)]
pub enum PidFileError {
    /// The file beside it, from which it is renamed, could not be made.
    Write(PathBuf, io::Error),
    /// That file could not be renamed.
    Rename(PathBuf, io::Error),
    /// It could not be removed.
    Remove(PathBuf, io::Error),
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PidFileError::Write(path, error) => write!(
                f,
                "Could not open the pid file {} for writing: {}",
                path.display(),
                reason(error)
            ),
            PidFileError::Rename(path, error) => write!(
                f,
                "Could not rename the pid file from {}: {}",
                path.display(),
                reason(error)
            ),
            PidFileError::Remove(path, error) => write!(
                f,
                "Could not remove the pid file {}: {}",
                path.display(),
                reason(error)
            ),
        }
    }
}

impl Error for PidFileError {}

impl PidFile {
    /// The pid file at `path`; nothing is done with it yet.
    pub fn new(path: impl Into<PathBuf>) -> PidFile {
        PidFile { path: path.into() }
    }

    /// The process that the file names, if there is one and it lives.
    #[must_use]
    pub fn running(&self) -> Option<i32> {
        let text = fs::read_to_string(&self.path).ok()?;
        let pid: i32 = text.split_whitespace().next()?.parse().ok()?;
        (pid > 0 && is_alive(pid)).then_some(pid)
    }

    /// Writes this process's id. The file is there whole or not at all, whoever reads it.
    ///
    /// # Errors
    /// [`PidFileError`], to be told; the server runs without the file.
    pub fn write(&self) -> Result<(), PidFileError> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".tmp");
        let aside = PathBuf::from(aside);
        let written = fs::write(&aside, format!("{}\n", process::id()))
            .map_err(|error| PidFileError::Write(aside.clone(), error))
            .and_then(|()| {
                fs::rename(&aside, &self.path)
                    .map_err(|error| PidFileError::Rename(aside.clone(), error))
            });
        if written.is_err() {
            // What cannot be made the pid file is of no use to anybody; the first failure is what is told.
            let _ = fs::remove_file(&aside);
        }
        written
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`PidFileError`], to be told.
    pub fn remove(&self) -> Result<(), PidFileError> {
        fs::remove_file(&self.path).map_err(|error| PidFileError::Remove(self.path.clone(), error))
    }
}

/// Whether a process of that id exists, ours or another user's.
fn is_alive(pid: i32) -> bool {
    // SAFETY: signal 0 is never delivered; only the id is looked up.
    match cvt(unsafe { libc::kill(pid, 0) }) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

/// CPU time the process has used.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel, on its behalf.
    pub system: Duration,
}

/// What this machine calls itself.
///
/// # Errors
/// Its name is longer than any that may be.
pub fn host_name() -> io::Result<CString> {
    // One more than the kernel allows, so that a zero byte is left.
    let mut name = [0_u8; 256];
    // SAFETY: `name` is writable for the length that is told, which leaves the last byte alone.
    cvt(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) })?;
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_owned())
}

/// CPU time of all threads since the start.
#[must_use]
pub fn cpu_time() -> CpuTime {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a writable rusage for the length of the call. The call cannot fail for RUSAGE_SELF.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: all bytes were zero before the call, which is a valid rusage.
    let usage = unsafe { usage.assume_init() };
    let since = |time: libc::timeval| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    CpuTime {
        user: since(usage.ru_utime),
        system: since(usage.ru_stime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    /// A path of this test alone, removed with all that lies beside it under the same name.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("mc-process-{}-{name}", process::id());
            let scratch = Scratch(std::env::temp_dir().join(name));
            fs::create_dir(&scratch.0).unwrap();
            scratch
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_pid_file_holds_the_id_until_removed() {
        let scratch = Scratch::new("pid");
        let path = scratch.0.join("pid");
        let file = PidFile::new(&path);
        assert_eq!(file.running(), None);
        file.write().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", process::id()));
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
        assert_eq!(file.running(), i32::try_from(process::id()).ok());
        file.remove().unwrap();
        let complaint = file.remove().unwrap_err().to_string();
        let expected = format!(
            "Could not remove the pid file {}: No such file or directory",
            path.display()
        );
        assert_eq!(complaint, expected);
    }

    #[test]
    fn a_pid_file_that_cannot_take_its_name_leaves_nothing() {
        let scratch = Scratch::new("name");
        let path = scratch.0.join("folder");
        fs::create_dir(&path).unwrap();
        let error = PidFile::new(&path).write().unwrap_err();
        assert!(matches!(error, PidFileError::Rename(_, _)), "{error}");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pid_file_for_which_there_is_no_room_leaves_nothing() {
        let scratch = Scratch::new("room");
        let path = scratch.0.join("pid");
        std::os::unix::fs::symlink("/dev/full", scratch.0.join("pid.tmp")).unwrap();
        let error = PidFile::new(&path).write().unwrap_err();
        assert!(
            error.to_string().ends_with(": No space left on device"),
            "{error}"
        );
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
    }

    #[test]
    fn a_pid_file_without_a_living_process_is_silent() {
        let scratch = Scratch::new("stale");
        let path = scratch.0.join("pid");
        for text in ["", "abc\n", "-1\n", "0\n", "2147483647\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(PidFile::new(&path).running(), None, "{text:?}");
        }
    }

    #[test]
    fn a_pid_file_that_cannot_be_made_names_the_file_beside_it() {
        let complaint = PidFile::new("/nowhere/mc/pid").write().unwrap_err();
        assert_eq!(
            complaint.to_string(),
            "Could not open the pid file /nowhere/mc/pid.tmp for writing: No such file or directory"
        );
    }

    #[test]
    fn users_are_found_by_name() {
        assert_eq!(ids_of("root"), Some((0, 0)));
        assert_eq!(ids_of("no such user"), None);
        assert_eq!(ids_of("nul\0inside"), None);
    }

    #[test]
    fn root_must_name_a_user_who_exists() {
        // SAFETY: getuid takes no pointers and cannot fail.
        let root = unsafe { libc::getuid() } == 0;
        for (user, complaint) in [
            (None, "must add '-u root' to start as root"),
            (Some(""), "must add '-u root' to start as root"),
            (
                Some("no such user"),
                "can't find the user no such user to switch to",
            ),
        ] {
            match drop_root(user) {
                Err(error) => assert_eq!(error.to_string(), complaint),
                Ok(groups) => assert!(!root && matches!(groups, Groups::Settled)),
            }
        }
    }

    #[test]
    fn limits_that_hold_already_can_be_set() {
        let hard = limit(libc::RLIMIT_NOFILE).unwrap().rlim_max;
        let Ok(count) = u32::try_from(hard) else {
            return;
        };
        assert_eq!(limit_open_files(count, 0).unwrap(), u64::from(count));
        assert_eq!(limit(libc::RLIMIT_NOFILE).unwrap().rlim_cur, hard);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_stands_back_from_where_it_stands() {
        let stood_back = std::thread::spawn(|| {
            [0; 3].map(|_| {
                stand_back();
                niceness()
            })
        });
        let before = niceness();
        let least = |steps: libc::c_int| (before + 5 * steps).min(19);
        let stood_back = stood_back.join().expect("it ends");
        assert_eq!(stood_back, [least(1), least(2), least(3)]);
        assert_eq!(niceness(), before, "that of others stays");
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time();
        let deadline = Instant::now() + Duration::from_secs(10);
        let used = |time: CpuTime| time.user + time.system;
        while used(cpu_time()) <= used(before) && Instant::now() < deadline {
            thread::yield_now();
        }
        assert!(used(cpu_time()) > used(before));
    }
}
