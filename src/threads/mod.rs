//! One way to run a thread: started under a name, counted, with signals kept away, ended by a stop and a join.
//!
//! ```text
//!   Crew::start_resting ─► Thread ─ life(bell): work, rest until rung or a time, work, … told to stop ─► join
//!   Crew::start ─────────► Thread ─ life: turns of an event loop, woken through its Mailbox ───────────► join
//! ```
//!
//! Every thread of the server but the main one is a [`Thread`] of its [`Crew`]. Those that look after something rest on a
//! [`Bell`]; those that serve descriptors wait in a loop of their own, and what they are told lies in a [`Mailbox`]
//! beside it. A thread that panics, or ends with an error, ends the process and says its name and its reason: a server
//! that lacks one of its threads would serve worse and worse and tell nobody. Handled signals go to the main thread
//! alone, which waits for them. Under `-o drop_privileges` a thread gives up what its [`Role`] does not need: one that rests
//! before it begins, one with an event loop when it has that. Locks of this room are leaves.
//! (options-and-process.md §4.7, §6.1)

#![forbid(unsafe_code)]

mod bell;
mod mail;
mod roll;

pub use bell::{Bell, Stopped, Woken};
pub use mail::{KeptPlace, Mailbox};

use std::fmt::Display;
use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use crate::os::privileges::{NotGivenUp, Privileges, Role};
use crate::os::{heap, process, signal};
use crate::settings::ExitStatus;
use crate::settings::voice::say;
use crate::threads::roll::{Place, Roll};

/// The threads of one server, counted. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Crew {
    roll: Arc<Roll>,
    privileges: Privileges,
}

impl Crew {
    /// No threads yet; those to come have these privileges.
    #[must_use]
    pub fn new(privileges: Privileges) -> Crew {
        Crew {
            privileges,
            ..Crew::default()
        }
    }

    /// The calling thread, one of these or the main one, gives up what it does not need for its role.
    ///
    /// # Errors
    /// [`NotGivenUp`]; the thread must not go on.
    pub fn give_up(&self, role: Role) -> Result<(), NotGivenUp> {
        self.privileges.give_up(role)
    }

    /// Starts a thread that ends by itself when it has been told to, in words of its own.
    ///
    /// `name` is what `ps -T` shows, up to 15 bytes. What `life` comes to is looked at: an error ends the process.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start<O: Outcome>(
        &self,
        name: impl Into<String>,
        life: impl FnOnce() -> O + Send + 'static,
    ) -> io::Result<Thread> {
        let mut place = Place::take(&self.roll);
        let name = name.into();
        let handle = thread::Builder::new().name(name.clone()).spawn(move || {
            signal::keep_away();
            heap::settle();
            place.begin();
            if let Some(fault) = life().fault() {
                end_process(&name, &fault);
            }
        })?;
        Ok(Thread { handle, bell: None })
    }

    /// Starts a thread that first sees whether it can begin, and waits for its [`Report`]. Otherwise as
    /// [`start`](Crew::start).
    ///
    /// # Errors
    /// The system has no thread to give, or what the thread has reported; it has ended then.
    pub fn start_and_wait<O: Outcome>(
        &self,
        name: impl Into<String>,
        life: impl FnOnce(Report) -> O + Send + 'static,
    ) -> io::Result<Thread> {
        let (report, word) = mpsc::channel();
        let thread = self.start(name, move || life(Report(report)))?;
        let gone = || Err(io::Error::from(io::ErrorKind::BrokenPipe));
        match word.recv().unwrap_or_else(|_| gone()) {
            Ok(()) => Ok(thread),
            Err(error) => {
                thread.join();
                Err(error)
            }
        }
    }

    /// Starts a thread that rests on `bell`, which serves one thread at a time and forgets that it has stopped another; its
    /// role says what it keeps of the privileges. Otherwise as [`start`](Crew::start).
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start_resting<O: Outcome>(
        &self,
        name: &'static str,
        role: Role,
        bell: &Arc<Bell>,
        life: impl FnOnce(&Bell) -> O + Send + 'static,
    ) -> io::Result<Thread> {
        bell.reopen();
        let heard = Arc::clone(bell);
        let privileges = self.privileges;
        let thread = self.start(name, move || -> Result<(), String> {
            privileges
                .give_up(role)
                .map_err(|error| error.to_string())?;
            life(&heard).fault().map_or(Ok(()), Err)
        })?;
        Ok(Thread {
            bell: Some(Arc::clone(bell)),
            ..thread
        })
    }

    /// Waits until every thread that has been started is under way: what the system opens and closes for a new one is
    /// closed then, and descriptors to come are numbered in the order in which they are opened.
    pub fn wait_until_begun(&self) {
        self.roll.wait_for_beginners();
    }

    /// How many threads have been started and have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.roll.running()
    }
}

/// What the starter of a thread waits for: whether it could begin.
#[derive(Debug)]
pub struct Report(Sender<io::Result<()>>);

impl Report {
    /// Tells whether what the thread needs could be made, and gives it if so; `None` when it is to end.
    pub fn tell<T>(self, made: io::Result<T>) -> Option<T> {
        let (word, made) = match made {
            Ok(made) => (Ok(()), Some(made)),
            Err(error) => (Err(error), None),
        };
        // The starter waits for this word.
        let _ = self.0.send(word);
        made
    }
}

/// A running thread.
#[derive(Debug)]
#[must_use = "a thread is stopped and waited for"]
pub struct Thread {
    handle: JoinHandle<()>,
    bell: Option<Arc<Bell>>,
}

impl Thread {
    /// Tells a thread that rests on a bell to stop, and waits until it has.
    pub fn stop(self) {
        if let Some(bell) = &self.bell {
            bell.stop();
        }
        self.join();
    }

    /// Waits until the thread has ended.
    ///
    /// # Panics
    /// When the thread has panicked, with what it panicked about; where panics end the process nobody comes here.
    pub fn join(self) {
        if let Err(reason) = self.handle.join() {
            if !thread::panicking() {
                panic::resume_unwind(reason);
            }
        }
    }
}

/// What the life of a thread comes to.
pub trait Outcome {
    /// The operator's word for what went wrong, if anything did.
    fn fault(self) -> Option<String>;
}

impl Outcome for () {
    fn fault(self) -> Option<String> {
        None
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn fault(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// A thread cannot go on. Unit tests live on and are told by a panic.
fn end_process(name: &str, fault: &str) -> ! {
    if cfg!(panic = "abort") {
        say!("{name}: {fault}");
        process::leave(ExitStatus::Failure as u8);
    }
    panic!("{name}: {fault}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_thread_bears_its_name_and_is_counted_until_it_ends() {
        let crew = Crew::default();
        let (tell, told) = mpsc::channel();
        let (hold, until) = mpsc::channel::<()>();
        let thread = crew.start("mc-test", move || {
            let name = thread::current().name().map(str::to_owned);
            tell.send(name).expect("the test waits");
            let _ = until.recv();
        });
        let thread = thread.expect("a thread");
        assert_eq!(told.recv().expect("told").as_deref(), Some("mc-test"));
        assert_eq!(crew.running(), 1);
        drop(hold);
        thread.join();
        assert_eq!(crew.running(), 0);
    }

    #[test]
    fn a_thread_that_rests_is_rung_and_stopped_and_its_bell_used_again() {
        let crew = Crew::default();
        let bell = Arc::new(Bell::default());
        for _ in 0..2 {
            let (tell, told) = mpsc::channel();
            let thread = crew.start_resting("mc-test", Role::Tend, &bell, move |bell| {
                while let Ok(woken) = bell.rest_for(LONG) {
                    tell.send(woken).expect("the test waits");
                }
            });
            let thread = thread.expect("a thread");
            bell.ring();
            assert_eq!(told.recv().expect("told"), Woken::Rung);
            thread.stop();
        }
        assert_eq!(crew.running(), 0);
    }

    #[test]
    fn all_have_begun_or_the_wait_goes_on() {
        let crew = Crew::default();
        crew.wait_until_begun();
        let beginner = Place::take(&crew.roll);
        let (tell, told) = mpsc::channel();
        let waiting = crew.clone();
        let waiter = thread::spawn(move || {
            waiting.wait_until_begun();
            tell.send(()).expect("the test waits");
        });
        crew.start("mc-test", || ()).expect("a thread").join();
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
        drop(beginner);
        told.recv_timeout(LONG).expect("the wait has ended");
        waiter.join().expect("no panic");
    }

    #[test]
    fn whoever_waits_hears_whether_a_thread_could_begin() {
        let crew = Crew::default();
        let (tell, told) = mpsc::channel();
        let begin = |made: io::Result<u8>| {
            let tell = tell.clone();
            crew.start_and_wait("mc-test", move |report| {
                tell.send(report.tell(made)).expect("the test waits");
            })
        };
        begin(Ok(7)).expect("it has begun").join();
        assert_eq!(told.recv().expect("told"), Some(7));
        let refused = begin(Err(io::Error::other("no such thing")));
        let refused = refused.map(Thread::join).expect_err("it has not");
        assert_eq!(refused.to_string(), "no such thing");
        assert_eq!(told.recv().expect("told"), None);
        let silent = crew.start_and_wait("mc-test", drop);
        let silent = silent.map(Thread::join).expect_err("it has said nothing");
        assert_eq!(silent.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(crew.running(), 0);
    }

    #[test]
    #[should_panic(expected = "the reason")]
    fn a_panic_comes_out_where_the_thread_is_waited_for() {
        let crew = Crew::default();
        let thread = crew.start("mc-test", || -> () { panic!("the reason") });
        thread.expect("a thread").stop();
    }

    #[test]
    #[should_panic(expected = "mc-test: no such thing")]
    fn an_error_is_told_with_the_threads_name() {
        let crew = Crew::default();
        let thread = crew.start("mc-test", || {
            Err::<(), _>(io::Error::other("no such thing"))
        });
        thread.expect("a thread").join();
    }

    #[test]
    fn one_that_has_failed_is_not_counted_on() {
        let crew = Crew::default();
        let thread = crew.start("mc-test", || -> () { panic!("expected by the test") });
        let joined = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            thread.expect("a thread").join();
        }));
        assert!(joined.is_err());
        assert_eq!(crew.running(), 0);
    }
}
