//! The engine's own threads: hash growth and the LRU maintainer. Started at boot, joined at the stop.

use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

use crate::storage::Engine;

/// Running threads of an engine.
#[must_use = "the threads are stopped through it"]
pub struct Background {
    engine: &'static Engine,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads that the settings ask for.
    ///
    /// # Errors
    /// What the system says when it refuses a thread; those already running are stopped.
    pub fn start(&'static self) -> io::Result<Background> {
        self.maintainer_stop.set(false);
        self.assoc.begin();
        let mut background = Background {
            engine: self,
            threads: Vec::new(),
        };
        match background.spawn_all() {
            Ok(()) => Ok(background),
            Err(error) => {
                background.stop();
                Err(error)
            }
        }
    }
}

impl Background {
    fn spawn_all(&mut self) -> io::Result<()> {
        let engine = self.engine;
        if engine.hash_expands {
            self.spawn("mc-assocmaint", move || engine.assoc.run(engine))?;
        }
        if engine.has_maintainer {
            self.spawn("mc-lrumaint", move || engine.maintain(engine.own_thread()))?;
            engine.maintainer_runs.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(life)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Ends the threads and waits for them.
    pub fn stop(self) {
        self.engine.assoc.stop();
        self.engine.maintainer_stop.set(true);
        for thread in self.threads {
            // A thread that panicked has said so; the others are waited for all the same.
            let _ = thread.join();
        }
        self.engine.maintainer_runs.store(false, Ordering::Relaxed);
    }
}
