//! The engine's own threads: hash growth and the LRU maintainer. Started at boot, joined at the stop.

use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

use crate::storage::Engine;

/// Running threads of an engine. They stop one by one, since between them the server stops its workers.
#[must_use = "the threads are stopped through it"]
pub struct Background {
    engine: &'static Engine,
    growth: Option<JoinHandle<()>>,
    maintainer: Option<JoinHandle<()>>,
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
            growth: None,
            maintainer: None,
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
            self.growth = Some(spawn("mc-assocmaint", move || engine.assoc.run(engine))?);
        }
        if engine.has_maintainer {
            let life = move || engine.maintain(engine.own_thread());
            self.maintainer = Some(spawn("mc-lrumaint", life)?);
            engine.maintainer_runs.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends the growth of the hash table, and waits for its thread.
    pub fn stop_growth(&mut self) {
        self.engine.assoc.stop();
        join(self.growth.take());
    }

    /// Ends the LRU maintainer and waits for it; whether there was one.
    pub fn stop_maintainer(&mut self) -> bool {
        self.engine.maintainer_stop.set(true);
        let ran = join(self.maintainer.take());
        self.engine.maintainer_runs.store(false, Ordering::Relaxed);
        ran
    }

    /// Ends all threads and waits for them.
    pub fn stop(mut self) {
        self.stop_growth();
        self.stop_maintainer();
    }
}

fn spawn(name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(life)
}

/// Waits for a thread; whether there was one.
fn join(thread: Option<JoinHandle<()>>) -> bool {
    let Some(thread) = thread else {
        return false;
    };
    // One that panicked has said so, and what comes after it is done all the same.
    let _ = thread.join();
    true
}
