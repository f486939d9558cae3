//! The one door through which certificates are loaded again, and the thread that goes through it by itself.
//!
//! `refresh_certs` comes here on a worker, SIGHUP on the main thread, and with `-o ssl_refresh_interval` the thread
//! `mc-tlsrefresh`, which looks every so many seconds whether a file that an option names is another than at the last
//! attempt, whoever made that. An attempt that failed is made again at each look, so a pair of files that was half
//! replaced heals by itself. Attempts wait for one another and each hears what became of its own.
//!
//! Lock: the one here is held for the length of an attempt, files are read under it, and neither an accept nor a
//! handshake wants it. (tls.md §13, §16 B2, B3)

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Clock;
use crate::lock::lock;
use crate::os::privileges::Role;
use crate::settings::voice::say;
use crate::threads::{Bell, Crew, Thread};
use crate::tls::{Current, TlsContext, TlsError};

/// Distinct failures that the thread remembers having told; there are hardly more ways for a few files to be wrong.
const TOLD_MAX: usize = 16;

/// The door.
#[derive(Debug)]
pub(super) struct Refresher {
    current: &'static Current,
    clock: &'static Clock,
    files: Vec<PathBuf>,
    last: Mutex<Attempt>,
}

/// What there was at the last attempt.
#[derive(Debug)]
struct Attempt {
    stamps: Vec<Stamp>,
    failed: bool,
}

/// What tells a file from another one under its name; `None` while there is none that can be looked at.
type Stamp = Option<Identity>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The files that a first load is about to read, as they are before it: what changes meanwhile is found later.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

impl Watched {
    pub(super) fn look(files: Vec<PathBuf>) -> Watched {
        Watched {
            stamps: stamps(&files),
            files,
        }
    }
}

impl Refresher {
    /// For what was loaded from `watched` and is `current` now.
    pub(super) fn new(
        current: &'static Current,
        clock: &'static Clock,
        watched: Watched,
    ) -> Refresher {
        Refresher {
            current,
            clock,
            files: watched.files,
            last: Mutex::new(Attempt {
                stamps: watched.stamps,
                failed: false,
            }),
        }
    }

    /// What is in use.
    pub(super) fn current(&self) -> &'static Current {
        self.current
    }

    /// Loads certificates again, whoever asks for it.
    ///
    /// # Errors
    /// What is wrong; the certificates in use stay.
    pub(super) fn refresh(&self) -> Result<(), TlsError> {
        let mut last = self.last();
        let stamps = stamps(&self.files);
        self.attempt(&mut last, stamps)
    }

    /// The same if there is reason to: a file has changed since the last attempt, or that has failed.
    pub(super) fn refresh_if_changed(&self) -> Result<(), TlsError> {
        let mut last = self.last();
        let stamps = stamps(&self.files);
        if !last.failed && last.stamps == stamps {
            return Ok(());
        }
        self.attempt(&mut last, stamps)
    }

    /// `stamps` are older than what is read here, so a file that changes meanwhile is read again.
    fn attempt(&self, last: &mut Attempt, stamps: Vec<Stamp>) -> Result<(), TlsError> {
        let result = self.current.refresh(self.clock.now());
        *last = Attempt {
            stamps,
            failed: result.is_err(),
        };
        tell_warning(&*result?);
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Attempt> {
        // It is replaced whole, so it is sound even after a panic.
        lock(&self.last)
    }
}

/// Tells the operator what is odd about certificates that were loaded.
pub(super) fn tell_warning(context: &TlsContext) {
    if let Some(warning) = context.warning() {
        say!("{warning}");
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok()?;
    Some(Identity {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    })
}

/// Starts the thread, where certificates are to be looked at in an interval.
///
/// # Errors
/// No thread could be made.
pub(super) fn start(
    crew: &Crew,
    refresher: Option<&'static Refresher>,
    interval_secs: Option<u32>,
) -> io::Result<Option<Thread>> {
    let (Some(refresher), Some(secs @ 1..)) = (refresher, interval_secs) else {
        return Ok(None);
    };
    let interval = Duration::from_secs(secs.into());
    let bell = Arc::new(Bell::default());
    crew.start_resting("mc-tlsrefresh", Role::Reread, &bell, move |bell| {
        watch(refresher, interval, bell);
    })
    .map(Some)
}

fn watch(refresher: &Refresher, interval: Duration, bell: &Bell) {
    let mut told = Told::default();
    while bell.rest_for(interval).is_ok() {
        match refresher.refresh_if_changed() {
            Ok(()) => told.forget(),
            Err(error) => {
                let text = error.to_string();
                if told.is_news(&text) {
                    say!("Could not reload TLS certificates: {text}");
                }
            }
        }
    }
}

/// Failures that the operator has heard of since things were last in order.
#[derive(Debug, Default)]
struct Told(Vec<String>);

impl Told {
    fn is_news(&mut self, text: &str) -> bool {
        if self.0.iter().any(|told| told == text) {
            return false;
        }
        if self.0.len() == TOLD_MAX {
            self.0.remove(0);
        }
        self.0.push(text.to_owned());
        true
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_another_when_it_is_replaced_rewritten_or_gone() {
        let folder = std::env::temp_dir().join(format!("memcached-stamps-{}", std::process::id()));
        fs::create_dir(&folder).expect("a fresh folder");
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "one").expect("written");
        symlink(&file, &link).expect("linked");
        let files = vec![link.clone()];
        let mut seen = stamps(&files);
        assert_eq!(stamps(&files), seen, "nothing has changed");
        let mut changed = |what: &str| {
            let now = stamps(&files);
            assert_ne!(now, seen, "{what}");
            seen = now;
        };
        fs::write(&file, "three").expect("written");
        changed("rewritten through the link");
        fs::write(folder.join("new"), "three").expect("written");
        fs::rename(folder.join("new"), &file).expect("renamed");
        changed("replaced by one of the same size");
        fs::remove_file(&link).expect("removed");
        changed("gone");
        symlink(&file, &link).expect("linked");
        changed("back");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_failure_is_news_once_until_things_are_in_order() {
        let mut told = Told::default();
        let news: Vec<bool> = ["a", "b", "a", "b"]
            .into_iter()
            .map(|text| told.is_news(text))
            .collect();
        assert_eq!(news, [true, true, false, false]);
        told.forget();
        assert!(told.is_news("a"));
        for n in 0..100 {
            assert!(told.is_news(&n.to_string()));
        }
        assert!(told.0.len() <= TOLD_MAX);
    }
}
