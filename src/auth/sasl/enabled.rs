//! One process's library and one conn's exchange with it, in safe code on top of `ffi`.

use std::ffi::CString;

use crate::auth::Verdict;
use crate::auth::sasl::ffi::{Answer, Book, Context, Loaded};
use crate::auth::sasl::{NotStarted, Step};
use crate::os::heap;
use crate::os::process;
use crate::settings::Tunables;
use crate::settings::voice::tell;

/// The library in use. It is told of this machine by its name, which becomes the realm of users that name none.
#[derive(Debug)]
pub struct Library {
    loaded: Loaded,
    host: CString,
    tunables: &'static Tunables,
}

impl Library {
    /// Starts the library, which reads its configuration and its plug-ins. Once a process.
    ///
    /// # Errors
    /// It does not start; the operator has heard why, where that was wanted.
    pub fn start(tunables: &'static Tunables) -> Result<Library, NotStarted> {
        let host = process::host_name().map_err(|_| NotStarted)?;
        let library = Library {
            loaded: Loaded::new(Book::new(tunables, &host))?,
            host,
            tunables,
        };
        tell!(tunables, 1, "Initialized SASL.");
        Ok(library)
    }

    /// Lets the library clean up, when no conn is left that speaks with it.
    pub fn end(&self) {
        self.loaded.unload();
    }
}

/// A conn's exchange; one pointer, and nothing before the first request.
#[derive(Debug, Default)]
pub struct Exchange(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    context: Context<'static>,
    tunables: &'static Tunables,
}

impl Exchange {
    /// The names of the mechanisms that clients may choose from, blanks between them; `None` when there is nothing to be had.
    pub fn mechanisms(&mut self, library: &'static Library) -> Option<&[u8]> {
        self.open(library)?.context.mechanisms()
    }

    /// Begins: `mechanism` is the client's choice, `data` what it says first, which may be nothing.
    pub fn start(&mut self, library: &'static Library, mechanism: &[u8], data: &[u8]) -> Step<'_> {
        match self.open(library) {
            Some(open) => {
                let answer = open.context.start(mechanism, data);
                step(answer, open.tunables)
            }
            None => Step::Over(Verdict::Refused),
        }
    }

    /// Goes on with what the client answers to a challenge. Without one it is refused.
    pub fn step(&mut self, data: &[u8]) -> Step<'_> {
        match &mut self.0 {
            Some(open) => {
                let answer = open.context.step(data);
                step(answer, open.tunables)
            }
            None => Step::Over(Verdict::Refused),
        }
    }

    /// A challenge waits for its answer.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.context.is_going())
    }

    fn open(&mut self, library: &'static Library) -> Option<&mut Open> {
        if self.0.is_none() {
            let open = Open {
                context: library.loaded.context(&library.host)?,
                tunables: library.tunables,
            };
            self.0 = heap::boxed(open).ok();
        }
        self.0.as_deref_mut()
    }
}

fn step<'a>(answer: Answer<'a>, tunables: &Tunables) -> Step<'a> {
    let code = answer.code();
    tell!(tunables, 1, "sasl result code:  {code}");
    match answer {
        Answer::Done => Step::Over(Verdict::Granted),
        Answer::GoOn(challenge) => Step::Challenge(challenge),
        Answer::Failed(code) => {
            tell!(tunables, 1, "Unknown sasl response:  {code}");
            Step::Over(Verdict::Refused)
        }
    }
}
