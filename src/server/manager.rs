//! What the service manager hears of the server: that it is ready, reloads, stops, and is alive.
//!
//! The main thread tells it. Alive is a server whose main loop turns and whose workers read what they are told: a knock is
//! left in each inbox, and only when all have been taken in does the manager hear, and the next ones are left. So a
//! worker that hangs is missed, however well the others do. (sd_notify(3))

#![forbid(unsafe_code)]

use std::process;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Timer;
use crate::os::reason;
use crate::os::service::{self, Notes};
use crate::settings::voice::say;
use crate::worker::inbox::{Inbox, Message};

/// What an operator is shown of a server that has nothing special to say.
const SERVING: &str = "Serving clients";
/// Rounds in the time of silence that the manager bears: a worker may miss one.
const ROUNDS: u32 = 4;
/// Nobody wants to hear more often.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The manager, or nobody.
#[derive(Debug)]
pub(super) struct Manager {
    notes: Notes,
    /// With `-d`: the manager has started another process than this one.
    in_background: bool,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// What is in use is what the files say.
    Done,
    /// Some of it is older, and the operator has heard why.
    Failed,
}

impl Reload {
    /// What it comes to together with another.
    pub(super) fn and(self, other: Reload) -> Reload {
        match self {
            Reload::Done => other,
            Reload::Failed => Reload::Failed,
        }
    }
}

impl Manager {
    pub(super) fn new(notes: Notes, in_background: bool) -> Manager {
        Manager {
            notes,
            in_background,
        }
    }

    /// Descriptors that it keeps.
    pub(super) fn descriptors(&self) -> u32 {
        self.notes.descriptors()
    }

    /// The process that was started is about to end, and `child` to take its place.
    pub(super) fn follow(&mut self, child: u32) {
        self.notes.tell(format!("MAINPID={child}"));
    }

    /// Clients can come.
    pub(super) fn ready(&mut self) {
        self.serving(SERVING);
    }

    /// Files are about to be read again.
    pub(super) fn reloading(&mut self) {
        let now = service::monotonic().as_micros();
        let note = format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reloading");
        self.notes.tell(note);
    }

    /// They have been read.
    pub(super) fn reloaded(&mut self, how: Reload) {
        match how {
            Reload::Done => self.serving(SERVING),
            Reload::Failed => self.serving(&format!("{SERVING}; the last reload failed")),
        }
    }

    fn serving(&mut self, status: &str) {
        let mut note = format!("READY=1\nSTATUS={status}");
        if self.in_background {
            note += &format!("\nMAINPID={}", process::id());
        }
        self.notes.tell(note);
    }

    /// Nobody is served any more.
    pub(super) fn stopping(&mut self) {
        self.notes.tell("STOPPING=1\nSTATUS=Stopping");
    }

    /// What had no room before may have some now.
    pub(super) fn tick(&mut self) {
        self.notes.flush();
    }

    fn alive(&self) {
        // One that finds no room is not worth keeping: the next says the same.
        let _ = self.notes.offer("WATCHDOG=1");
    }
}

/// The rounds that are made where the manager watches.
pub(super) struct Rounds {
    timer: Timer,
    period: Duration,
    inboxes: Vec<Arc<Inbox>>,
    /// Held by each knock that nobody has taken in.
    knock: Arc<()>,
}

impl Rounds {
    /// For a manager that bears so much silence.
    pub(super) fn new(timer: Timer, silence: Duration, inboxes: &[Arc<Inbox>]) -> Rounds {
        Rounds {
            timer,
            period: (silence / ROUNDS).max(PERIOD_MIN),
            inboxes: inboxes.to_vec(),
            knock: Arc::default(),
        }
    }

    /// One of them: tells the manager if all workers have taken in the last, and knocks again.
    pub(super) fn go(&self, manager: &Manager) {
        if Arc::strong_count(&self.knock) == 1 {
            manager.alive();
            for inbox in &self.inboxes {
                // Where there is no memory for it the worker is not asked this time.
                let _ = inbox.post(Message::Knock(Arc::clone(&self.knock)));
            }
        }
        if let Err(error) = self.timer.set(self.period) {
            say!("the service manager hears no more: {}", reason(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::RawFd;
    use std::os::unix::net::UnixDatagram;

    use crate::event::{Base, Handler, Load, Ready, TimerId};

    /// A manager's socket, and who tells it.
    fn manager(name: &str, in_background: bool) -> (UnixDatagram, Manager) {
        let path = std::env::temp_dir().join(format!("mc-manager-{}-{name}", process::id()));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let notes = Notes::open(Some(path.clone().into())).expect("it is there");
        std::fs::remove_file(path).expect("removed");
        (socket, Manager::new(notes, in_background))
    }

    /// The next note, if there is one.
    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut space = [0; 200];
        let len = socket.recv(&mut space).ok()?;
        Some(String::from_utf8_lossy(&space[..len]).into_owned())
    }

    #[test]
    fn each_step_is_told_in_the_managers_words() {
        let (socket, mut manager) = manager("steps", false);
        manager.ready();
        let ready = "READY=1\nSTATUS=Serving clients";
        assert_eq!(heard(&socket).as_deref(), Some(ready));
        manager.reloading();
        let note = heard(&socket).expect("it is told");
        assert!(note.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{note}");
        manager.reloaded(Reload::Failed);
        let failed = "READY=1\nSTATUS=Serving clients; the last reload failed";
        assert_eq!(heard(&socket).as_deref(), Some(failed));
        manager.reloaded(Reload::Done);
        assert_eq!(heard(&socket).as_deref(), Some(ready));
        manager.stopping();
        let stopping = "STOPPING=1\nSTATUS=Stopping";
        assert_eq!(heard(&socket).as_deref(), Some(stopping));
    }

    #[test]
    fn in_the_background_the_manager_is_told_whom_to_follow() {
        let (socket, mut manager) = manager("background", true);
        manager.follow(77);
        assert_eq!(heard(&socket).as_deref(), Some("MAINPID=77"));
        manager.ready();
        let own = format!("\nMAINPID={}", process::id());
        assert!(heard(&socket).expect("it is told").ends_with(&own));
    }

    /// Who waits for nothing.
    struct Idler;

    impl Handler for Idler {
        fn ready(&mut self, _fd: RawFd, _what: Ready) {}
    }

    #[test]
    fn a_worker_that_does_not_read_its_mail_is_missed() {
        let (socket, manager) = manager("rounds", false);
        let base: Base<Idler> = Base::new(Load::Few).expect("a base");
        let timer = base.registrar().timer(TimerId(0)).expect("a timer");
        let inboxes = [(); 2].map(|()| Arc::new(Inbox::new().expect("a notifier")));
        let rounds = Rounds::new(timer, Duration::from_secs(600), &inboxes);
        let told_after = |readers: &[Arc<Inbox>]| {
            for inbox in readers {
                assert_eq!(inbox.open().count(), 1, "one knock, however long it lies");
            }
            rounds.go(&manager);
            heard(&socket)
        };
        let alive = Some("WATCHDOG=1".to_owned());
        assert_eq!(told_after(&[]), alive);
        assert_eq!(told_after(&[]), None);
        assert_eq!(told_after(&inboxes[..1]), None);
        assert_eq!(told_after(&[]), None);
        assert_eq!(told_after(&inboxes[1..]), alive);
        assert_eq!(told_after(&inboxes), alive);
    }
}
