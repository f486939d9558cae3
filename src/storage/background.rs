//! The engine's own threads: hash growth, the crawler, the LRU maintainer and the page mover. Started at boot, joined at
//! the stop.
//!
//! The crawler's is started and ended by commands, too, so whoever it is then, it is kept there.

use std::io;
use std::sync::atomic::Ordering;

use crate::os::privileges::Role;
use crate::storage::Engine;
use crate::threads::{Bell, Crew, Thread};

/// Running threads of an engine. They stop one by one, since between them the server stops its workers.
#[must_use = "the threads are stopped through it"]
pub struct Background {
    engine: &'static Engine,
    growth: Option<Thread>,
    maintainer: Option<Thread>,
    mover: Option<Thread>,
}

impl Engine {
    /// Starts the threads that the settings ask for, in `crew`.
    ///
    /// # Errors
    /// What the system says when it refuses a thread; those already running are stopped.
    pub fn start(&'static self, crew: &Crew) -> io::Result<Background> {
        let mut background = Background {
            engine: self,
            growth: None,
            maintainer: None,
            mover: None,
        };
        match background.start_all(crew) {
            Ok(()) => Ok(background),
            Err(error) => {
                background.stop();
                Err(error)
            }
        }
    }
}

impl Background {
    fn start_all(&mut self, crew: &Crew) -> io::Result<()> {
        let engine = self.engine;
        if engine.hash_expands {
            let life = move |bell: &Bell| engine.assoc.run(engine, bell);
            let thread =
                crew.start_resting("mc-assocmaint", Role::Tend, engine.assoc.bell(), life)?;
            self.growth = Some(thread);
        }
        if engine.has_crawler {
            engine.enable_crawler(crew)?;
        }
        if engine.has_maintainer {
            let desk = engine.desk();
            let life = move |bell: &Bell| engine.maintain(&desk, bell);
            let thread =
                crew.start_resting("mc-lrumaint", Role::Tend, &engine.maintainer_bell, life)?;
            self.maintainer = Some(thread);
            engine.maintainer_runs.store(true, Ordering::Relaxed);
        }
        if engine.mover.is_there() {
            let desk = engine.desk();
            let life = move |bell: &Bell| engine.move_pages(&desk, bell);
            let thread =
                crew.start_resting("mc-slabmaint", Role::Tend, engine.mover.bell(), life)?;
            self.mover = Some(thread);
        }
        Ok(())
    }

    /// Ends the growth of the hash table, and waits for its thread.
    pub fn stop_growth(&mut self) {
        if let Some(thread) = self.growth.take() {
            thread.stop();
        }
    }

    /// Ends the crawler, if it runs, and waits for it.
    pub fn stop_crawler(&mut self) {
        self.engine.stop_crawler();
    }

    /// Ends the LRU maintainer and waits for it; whether there was one.
    pub fn stop_maintainer(&mut self) -> bool {
        let Some(thread) = self.maintainer.take() else {
            return false;
        };
        thread.stop();
        self.engine.maintainer_runs.store(false, Ordering::Relaxed);
        true
    }

    /// Ends the page mover and waits for it; whether there was one. A page that it is emptying stays.
    pub fn stop_mover(&mut self) -> bool {
        self.mover.take().map(Thread::stop).is_some()
    }

    /// Ends all threads and waits for them.
    pub fn stop(mut self) {
        self.stop_growth();
        self.stop_crawler();
        self.stop_maintainer();
        self.stop_mover();
    }
}
