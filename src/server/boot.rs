//! The steps of the boot that can fail, and what the operator hears when they do.
//!
//! `server::serve` calls them in the order of options-and-process.md §4.1, on the main thread. Each step says what
//! is worth a warning itself; what ends the start comes back as a [`BootError`], which knows its lines and the exit
//! status.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

use crate::auth::file::{FileError, Logins};
use crate::auth::sasl::{self, NotStarted};
use crate::clock::Clock;
use crate::handshake::{self, Handshakers};
use crate::listener::ListenError;
use crate::metrics::{self, NoMetrics};
use crate::os::mmap::{self, NoHugePages};
use crate::os::notify::Notifier;
use crate::os::privileges::{Needs, NotGivenUp, Privileges};
use crate::os::process::{self, Directory, Groups, IdentityError, PidFile, Streams};
use crate::os::{reason, signal};
use crate::roster::counts::ConnStats;
use crate::server::leak;
use crate::server::manager::Manager;
use crate::server::refresh::{Refresher, Watched, tell_warning};
use crate::settings::voice::{say, tell};
use crate::settings::{
    AuthSettings, ExitStatus, MetricsPlace, Refusal, Settings, TlsSettings, Tunables,
};
use crate::storage::{Engine, EngineError};
use crate::threads::Thread;
use crate::tls::{Current, TlsCounters, TlsError};
use crate::worker::host::Hosts;
use crate::worker::inbox::Turns;
use crate::worker::queues::Queues;
use crate::worker::{self, StartError, Workers, idle};

/// Silence that no client keeps: with a negative `idle_timeout` the sweep runs and closes nobody.
const NEVER_SECS: u32 = u32::MAX / 2;

/// Why the server did not start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BootError {
    /// For stderr.
    lines: Vec<String>,
    status: ExitStatus,
}

impl BootError {
    pub(super) fn new(status: ExitStatus, line: impl Into<String>) -> BootError {
        BootError {
            lines: vec![line.into()],
            status,
        }
    }

    /// The kernel refused something the server cannot be without.
    pub(super) fn kernel(what: &str, error: &io::Error) -> BootError {
        BootError::new(ExitStatus::OsError, format!("{what}: {}", reason(error)))
    }

    /// Tells the operator, and gives the exit status.
    pub(super) fn tell(&self) -> u8 {
        for line in &self.lines {
            say!("{line}");
        }
        self.status as u8
    }
}

impl From<Refusal> for BootError {
    fn from(refusal: Refusal) -> BootError {
        BootError {
            lines: Some(refusal.message)
                .filter(|text| !text.is_empty())
                .into_iter()
                .collect(),
            status: refusal.status,
        }
    }
}

impl From<TlsError> for BootError {
    fn from(error: TlsError) -> BootError {
        let status = match error {
            // A version that the parser lets pass and OpenSSL does not know is a mistake of the command line.
            TlsError::MinVersion => ExitStatus::Failure,
            TlsError::NotBuilt
            | TlsError::Chain(_)
            | TlsError::Key(_)
            | TlsError::Pair(_)
            | TlsError::Authorities(_)
            | TlsError::RevocationLists(_)
            | TlsError::AllowWithoutAuthorities
            | TlsError::AllowList(_)
            | TlsError::Ciphers(_)
            | TlsError::CipherSuites(_)
            | TlsError::TicketKeysTwice
            | TlsError::TicketKeys(_)
            | TlsError::KeyLog(_)
            | TlsError::KernelTls
            | TlsError::OpenSsl(_) => ExitStatus::Usage,
        };
        BootError::new(status, error.to_string())
    }
}

impl From<IdentityError> for BootError {
    fn from(error: IdentityError) -> BootError {
        let status = match error {
            IdentityError::Unnamed => ExitStatus::Usage,
            IdentityError::Unknown(_) => ExitStatus::NoUser,
            IdentityError::Groups(_) | IdentityError::Refused(..) => ExitStatus::OsError,
        };
        BootError::new(status, error.to_string())
    }
}

impl From<EngineError> for BootError {
    fn from(error: EngineError) -> BootError {
        BootError::new(ExitStatus::Failure, error.0)
    }
}

impl From<StartError> for BootError {
    fn from(error: StartError) -> BootError {
        BootError::new(ExitStatus::Failure, error.to_string())
    }
}

impl From<NotGivenUp> for BootError {
    fn from(error: NotGivenUp) -> BootError {
        BootError::new(ExitStatus::Failure, error.to_string())
    }
}

impl From<FileError> for BootError {
    fn from(error: FileError) -> BootError {
        BootError {
            lines: error.lines().collect(),
            status: ExitStatus::Failure,
        }
    }
}

impl From<NoMetrics> for BootError {
    fn from(error: NoMetrics) -> BootError {
        BootError::new(ExitStatus::OsError, error.to_string())
    }
}

impl From<ListenError> for BootError {
    fn from(error: ListenError) -> BootError {
        BootError {
            lines: error.lines,
            status: error.status,
        }
    }
}

/// Installs the handlers of signals. From here on one that ends the server is kept until the main loop runs.
pub(super) fn heed_signals() -> Result<&'static Notifier, BootError> {
    let failed = |error| BootError::kernel("Failed to install signal handlers", &error);
    let woken = leak(Notifier::new().map_err(failed)?);
    signal::install(woken).map_err(failed)?;
    Ok(woken)
}

/// Loads what `-Z` needs; `None` without it.
pub(super) fn load_certificates(
    settings: &TlsSettings,
    counters: &'static TlsCounters,
    clock: &'static Clock,
) -> Result<Option<&'static Refresher>, BootError> {
    if !settings.enabled {
        return Ok(None);
    }
    let watched = Watched::look(Current::files(settings));
    let current = Current::load(settings, counters, clock.now())?;
    tell_warning(&current.get());
    Ok(Some(leak(Refresher::new(leak(current), clock, watched))))
}

/// Core files, open files, and whose rights the server runs with. Gives the limit of descriptors.
pub(super) fn take_limits_and_identity(
    settings: &Settings,
    manager: &Manager,
) -> Result<u64, BootError> {
    let os = |line: &str| BootError::new(ExitStatus::OsError, line);
    if settings.process.core_dumps {
        process::raise_core_limit().map_err(|_| os("failed to ensure corefile creation"))?;
    }
    let own = Hosts::DESCRIPTORS
        + handshake::descriptors(settings)
        + metrics::descriptors(settings)
        + manager.descriptors();
    let descriptors = process::limit_open_files(settings.network.conn_limit, own).map_err(|_| {
        os("failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.")
    })?;
    if let Groups::Kept(error) = process::drop_root(settings.process.user.as_deref())? {
        say!("{}", process::groups_line(&error));
    }
    Ok(descriptors)
}

/// Leaves the terminal, with `-d`. The service manager hears of it from the process that it has started itself.
pub(super) fn go_to_background(
    settings: &Settings,
    manager: &mut Manager,
) -> Result<(), BootError> {
    if !settings.process.daemonize {
        return Ok(());
    }
    let directory = if settings.process.core_dumps {
        Directory::Kept
    } else {
        Directory::Root
    };
    let streams = if settings.process.verbosity > 0 {
        Streams::Kept
    } else {
        Streams::Null
    };
    let farewell = |child| manager.follow(child);
    process::daemonize(directory, streams, farewell).map_err(|_| {
        BootError::new(
            ExitStatus::Failure,
            "failed to daemon() in order to daemonize",
        )
    })
}

/// Starts the library of `-S`, with the rights that it will be asked with.
pub(super) fn start_sasl(
    settings: &AuthSettings,
    tunables: &'static Tunables,
) -> Result<Option<&'static sasl::Library>, BootError> {
    if !settings.sasl {
        return Ok(None);
    }
    let failed = |NotStarted| BootError::new(ExitStatus::Failure, "Error initializing sasl.");
    Ok(Some(leak(sasl::Library::start(tunables).map_err(failed)?)))
}

/// Reads who may log in, with `-Y`; as the user that the server runs as, who will read it again.
pub(super) fn read_logins(settings: &AuthSettings) -> Result<Option<&'static Logins>, BootError> {
    let Some(path) = &settings.file else {
        return Ok(None);
    };
    Ok(Some(leak(Logins::read(path)?)))
}

/// Keeps memory from being paged out, with `-k`, where the kernel allows it.
pub(super) fn lock_memory(settings: &Settings) {
    if !settings.process.lock_memory {
        return;
    }
    if let Err(error) = process::lock_memory() {
        say!("warning: -k invalid, mlockall() failed: {}", reason(&error));
    }
}

/// With `-L`: whether there are large pages, and how large they are, for an operator who wants to hear.
pub(super) fn look_for_large_pages(settings: &Settings) -> Result<(), BootError> {
    if !settings.storage.large_pages {
        return Ok(());
    }
    mmap::huge_pages().map_err(no_large_pages)?;
    if let Some(size) = mmap::huge_page_size() {
        tell!(settings, 2, "huge page size: {size}");
    }
    Ok(())
}

fn no_large_pages(why: NoHugePages) -> BootError {
    BootError {
        lines: vec![
            why.to_string(),
            "Will use default page size.".to_owned(),
            "Cannot enable large pages on this system".to_owned(),
            "(There is no support as of this version)".to_owned(),
        ],
        status: ExitStatus::Failure,
    }
}

/// What threads will keep of the process's privileges. Whoever takes more ends the process from now on.
pub(super) fn privileges(settings: &Settings) -> Result<Privileges, BootError> {
    let process = &settings.process;
    if !process.drop_privileges {
        return Ok(Privileges::Kept);
    }
    let privileges = Privileges::Dropped(Needs {
        certificates: settings.tls.enabled,
        logins: settings.auth.file.is_some(),
        removals: process.daemonize && process.pid_file.is_some()
            || matches!(settings.metrics.place, Some(MetricsPlace::Unix(_))),
        relaxed: process.relaxed_privileges,
    });
    privileges
        .watch()
        .map_err(|error| BootError::kernel("Can't watch for SIGSYS", &error))?;
    Ok(privileges)
}

/// The slab classes, for an operator who wants to hear.
pub(super) fn tell_classes(settings: &Settings, engine: &Engine) {
    for class in engine.class_sizes() {
        tell!(
            settings,
            2,
            "slab class {:>3}: chunk size {:>9} perslab {:>7}",
            class.id,
            class.chunk,
            class.per_page
        );
    }
}

/// How clients find their workers: in turn, or with `-N` by the queue of the network card that feeds them.
pub(super) fn turns(settings: &Settings, workers: &Workers, counts: &'static ConnStats) -> Turns {
    let inboxes = workers.inboxes();
    let turns = Turns::new(inboxes);
    match settings.network.napi_ids {
        0 => turns,
        _ => turns.by_queues(Queues::new(inboxes.len(), counts)),
    }
}

/// Starts the sweep that `idle_timeout` asks for.
pub(super) fn start_idle_sweep(
    services: &worker::Services,
    workers: &Workers,
    handshakers: &Handshakers,
) -> Result<Option<Thread>, BootError> {
    let Some(limit) = idle_limit(services.settings.workers.idle_timeout_secs) else {
        return Ok(None);
    };
    idle::start(services, handshakers.owners(workers), limit)
        .map(Some)
        .map_err(|error| BootError::new(ExitStatus::Failure, reason(&error)))
}

/// What `idle_timeout` means to the sweep; `None` for no sweep.
fn idle_limit(option_secs: i32) -> Option<u32> {
    match option_secs {
        0 => None,
        secs => Some(u32::try_from(secs).unwrap_or(NEVER_SECS)),
    }
}

/// Writes the pid file of `-P`. The server runs without one that cannot be written.
pub(super) fn write_pid_file(path: &Path) -> Option<PidFile> {
    let file = PidFile::new(path);
    if let Some(pid) = file.running() {
        say!("WARNING: The pid file contained the following (running) pid: {pid}");
    }
    match file.write() {
        Ok(()) => Some(file),
        Err(error) => {
            say!("{error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::tls;

    static COUNTERS: TlsCounters = TlsCounters::new();

    #[test]
    fn a_refusal_without_words_says_nothing() {
        let error = BootError::from(Refusal {
            message: String::new(),
            status: ExitStatus::Usage,
        });
        assert!(error.lines.is_empty());
        assert_eq!(error.tell(), 64);
    }

    #[test]
    fn an_unknown_tls_version_is_a_mistake_of_the_command_line() {
        let status_of = |error| BootError::from(error).status;
        assert_eq!(status_of(TlsError::MinVersion), ExitStatus::Failure);
        assert_eq!(status_of(TlsError::KernelTls), ExitStatus::Usage);
        assert_eq!(
            status_of(TlsError::Ciphers("none".to_owned())),
            ExitStatus::Usage
        );
    }

    #[test]
    fn each_trouble_with_the_user_has_its_status() {
        let told = |error| {
            let error = BootError::from(error);
            (error.lines.concat(), error.status)
        };
        assert_eq!(
            told(IdentityError::Unnamed),
            (
                "must add '-u root' to start as root".to_owned(),
                ExitStatus::Usage
            )
        );
        assert_eq!(
            told(IdentityError::Unknown("x".to_owned())),
            (
                "can't find the user x to switch to".to_owned(),
                ExitStatus::NoUser
            )
        );
        assert_eq!(
            told(IdentityError::Refused("x".to_owned(), Groups::Settled)),
            (
                "failed to assume identity of user x".to_owned(),
                ExitStatus::OsError
            )
        );
        let kept = Groups::Kept(io::Error::from_raw_os_error(libc::EPERM));
        let lines = "failed to drop supplementary groups: Operation not permitted\n\
                     failed to assume identity of user x";
        assert_eq!(
            told(IdentityError::Refused("x".to_owned(), kept)),
            (lines.to_owned(), ExitStatus::OsError)
        );
    }

    #[test]
    fn without_large_pages_the_start_ends() {
        let error = no_large_pages(NoHugePages::NotDetected);
        assert_eq!(
            error.lines.join("|"),
            "Transparent huge pages support not detected.|Will use default page size.|\
             Cannot enable large pages on this system|(There is no support as of this version)"
        );
        assert_eq!(error.status as u8, 1);
    }

    #[test]
    fn the_kernels_refusal_is_told_with_what_was_asked() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let error = BootError::kernel("Can't create an event base", &error);
        let full = crate::os::words(libc::EMFILE);
        assert_eq!(error.lines, [format!("Can't create an event base: {full}")]);
        assert_eq!(error.status as u8, 71);
    }

    #[test]
    fn certificates_are_loaded_for_tls_alone() {
        let mut settings = TlsSettings {
            chain_cert: Some("/nonexistent/chain.pem".to_owned()),
            ..TlsSettings::default()
        };
        let clock = leak(Clock::new());
        let loaded = load_certificates(&settings, &COUNTERS, clock).expect("nothing to load");
        assert!(loaded.is_none());
        settings.enabled = true;
        let error = load_certificates(&settings, &COUNTERS, clock).expect_err("no such file");
        assert_eq!(error.status, ExitStatus::Usage);
        let start = if tls::BUILT {
            "Error loading the certificate chain: /nonexistent/chain.pem : "
        } else {
            "This server is not built with TLS support."
        };
        assert!(error.lines[0].starts_with(start), "{:?}", error.lines);
    }

    #[test]
    fn privileges_are_dropped_when_asked_for_and_as_the_options_need() {
        let mut settings = Settings::default();
        settings.process.pid_file = Some("/pid".to_owned());
        assert_eq!(privileges(&settings), Ok(Privileges::Kept));
        settings.process.drop_privileges = true;
        let needs = Needs::default();
        assert_eq!(privileges(&settings), Ok(Privileges::Dropped(needs)));
        settings.process.daemonize = true;
        settings.tls.enabled = true;
        let needs = Needs {
            certificates: true,
            removals: true,
            ..Needs::default()
        };
        assert_eq!(privileges(&settings), Ok(Privileges::Dropped(needs)));
    }

    #[test]
    fn a_negative_idle_timeout_sweeps_and_closes_nobody() {
        assert_eq!(idle_limit(0), None);
        assert_eq!(idle_limit(30), Some(30));
        assert_eq!(idle_limit(-1), Some(NEVER_SECS));
    }

    #[test]
    fn a_pid_file_that_cannot_be_written_is_no_reason_to_stop() {
        assert!(write_pid_file(Path::new("/nonexistent/dir/pid")).is_none());
        let path = std::env::temp_dir().join(format!("mc-boot-{}.pid", std::process::id()));
        let file = write_pid_file(&path).expect("the file is written");
        let text = fs::read_to_string(&path).expect("it is there");
        assert_eq!(text, format!("{}\n", std::process::id()));
        file.remove().expect("it is removed");
    }
}
