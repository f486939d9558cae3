//! libevent: bases, registrations and timers, and how a callback gets at `&mut` of the thread's own things.
//!
//! Workers and the main thread each own a [`Base`]. [`Base::run_once`] *lends* the handler to the callbacks of one
//! turn: its address lies in a cell of the base during the C call, a trampoline takes it out, calls
//! [`Handler`], and puts it back. So `&mut H` exists once at a time, and no callback reaches a handler
//! outside `run_once`. libevent hands the descriptor to the callback; it is the key under which the handler finds
//! its conn.
//!
//! Bases are made without locks: nothing of this room is `Send`, and only `os::notify` crosses threads. Every
//! registration keeps its base alive, so the order in which they are dropped does not matter. [`http`] has libevent's HTTP
//! server call a handler in the same way.

#![allow(unsafe_code, reason = "libevent is a C library that calls back")]

pub mod appetite;
mod ffi;
pub mod http;

use std::cell::Cell;
use std::ffi::{c_int, c_short, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::Duration;

use libevent::{ExitReason, LoopFlags};

use crate::os::Interest;

/// What a turn of the loop calls.
pub trait Handler {
    /// A registered descriptor is ready for what was asked of it.
    fn ready(&mut self, fd: RawFd, what: Ready);

    /// A timer has run out; handlers that make none need not say what then.
    fn timer(&mut self, id: TimerId) {
        unreachable!("nobody made timer {id:?}");
    }
}

/// What a descriptor is ready for; an error or a hang-up counts as both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Reading will not block.
    Read,
    /// Writing will not block.
    Write,
    /// Neither will.
    Both,
}

/// The handler's own name for one of its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(pub u32);

/// What a base will carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A few descriptors that hardly change (the main thread).
    Few,
    /// Conns by the thousand: changes of interest are merged until the next wait.
    Conns,
}

/// How a turn treats the time in which nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleeps until something is ready.
    Block,
    /// Looks, and returns at once.
    Poll,
}

type Callback = unsafe extern "C" fn(c_int, c_short, *mut c_void);

/// The part of a base that registrations share; the address of it is the context of every descriptor callback.
struct Core {
    base: libevent::Base,
    /// The handler of the turn under way: null between turns, and while a callback has taken it.
    lent: Cell<*mut c_void>,
    on_ready: Callback,
    on_timer: Callback,
}

impl Core {
    fn raw(&self) -> *mut libevent_sys::event_base {
        // SAFETY: the pointer is used within calls of libevent on this thread, and `self` outlives them.
        unsafe { self.base.as_raw() }.as_ptr()
    }

    /// # Safety
    /// Only a callback of a base made by `Base<H>` with the same `H` may call it.
    unsafe fn call<H: Handler>(&self, what: impl FnOnce(&mut H)) {
        let handler = self.lent.replace(ptr::null_mut());
        assert!(!handler.is_null(), "a callback outside run_once");
        // SAFETY: run_once put the address of its own `&mut H` there and waits for the C call to return, and the
        // cell is empty until this call is over: nobody else forms a reference. `H` is right by the caller's promise.
        what(unsafe { &mut *handler.cast::<H>() });
        self.lent.set(handler);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: the base came from event_base_new_with_config and is freed here only; every event of it held a
        // count of this core and has been freed before.
        unsafe { libevent_sys::event_base_free(self.raw()) };
    }
}

/// An event base whose callbacks act on an `H`.
pub struct Base<H> {
    core: Rc<Core>,
    handler: PhantomData<fn(&mut H)>,
}

impl<H: Handler> Base<H> {
    /// A base of its own for this thread.
    ///
    /// # Errors
    /// libevent could not make one: no memory, or no descriptors.
    pub fn new(load: Load) -> io::Result<Base<H>> {
        let base = new_base(load)?;
        // SAFETY: the base was made the line above and has no other owner.
        let base = unsafe { libevent::Base::from_raw(base) };
        let core = Core {
            base,
            lent: Cell::new(ptr::null_mut()),
            on_ready: on_ready::<H>,
            on_timer: on_timer::<H>,
        };
        Ok(Base {
            core: Rc::new(core),
            handler: PhantomData,
        })
    }

    /// What conns and listeners register through.
    #[must_use]
    pub fn registrar(&self) -> Registrar {
        Registrar {
            core: Rc::clone(&self.core),
        }
    }

    /// One turn: waits as `wait` says, then calls `handler` for all that is ready.
    ///
    /// # Errors
    /// The loop failed (`Exiting on error`); so does a turn that a handler asks of the base it is called from, in which
    /// nothing is called.
    pub fn run_once(&self, handler: &mut H, wait: Wait) -> io::Result<()> {
        // A callback has taken what was lent, so a turn that it begins finds nothing here either, and libevent, which
        // runs a base once at a time, refuses it.
        let before = self.core.lent.replace(ptr::from_mut(handler).cast());
        assert!(before.is_null(), "a handler was left in its cell");
        let flags = match wait {
            Wait::Block => LoopFlags::ONCE,
            Wait::Poll => LoopFlags::ONCE | LoopFlags::NONBLOCK,
        };
        let exit = self.core.base.loop_(flags);
        let back = self.core.lent.replace(ptr::null_mut());
        assert!(!back.is_null(), "a callback kept the handler");
        match exit {
            ExitReason::Error => Err(io::Error::other("event loop failed")),
            _ => Ok(()),
        }
    }
}

fn new_base(load: Load) -> io::Result<NonNull<libevent_sys::event_base>> {
    let no_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
    // SAFETY: takes nothing; null stands for failure.
    let config = NonNull::new(unsafe { libevent_sys::event_config_new() }).ok_or_else(no_memory)?;
    let mut flags = vec![libevent_sys::event_base_config_flag_EVENT_BASE_FLAG_NOLOCK];
    if load == Load::Conns {
        flags.push(libevent_sys::event_base_config_flag_EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    }
    for flag in flags {
        // SAFETY: the configuration lives until event_config_free below.
        unsafe { libevent_sys::event_config_set_flag(config.as_ptr(), flag as c_int) };
    }
    // SAFETY: as above; the base keeps nothing of the configuration.
    let base = unsafe { libevent_sys::event_base_new_with_config(config.as_ptr()) };
    // SAFETY: made above, freed once.
    unsafe { libevent_sys::event_config_free(config.as_ptr()) };
    NonNull::new(base).ok_or_else(io::Error::last_os_error)
}

/// Makes registrations with one base; clones share it.
#[derive(Clone)]
pub struct Registrar {
    core: Rc<Core>,
}

impl Registrar {
    /// Watches `fd` until the event is dropped. The descriptor has to stay open as long.
    ///
    /// # Errors
    /// libevent or the kernel refused it.
    pub fn watch(&self, fd: RawFd, want: Interest) -> io::Result<Event> {
        self.watch_by(Trigger::Level, fd, want)
    }

    /// As [`watch`](Registrar::watch), but the handler is called once for each change, where the kernel can tell: when
    /// more has come, when there is room again, when the peer has hung up. What is there already is the first change.
    /// Whoever is called goes on until the descriptor blocks, or remembers that it has not.
    ///
    /// # Errors
    /// libevent or the kernel refused it.
    pub fn watch_changes(&self, fd: RawFd, want: Interest) -> io::Result<Event> {
        self.watch_by(Trigger::Edge, fd, want)
    }

    fn watch_by(&self, trigger: Trigger, fd: RawFd, want: Interest) -> io::Result<Event> {
        let context = Rc::as_ptr(&self.core).cast_mut().cast();
        // SAFETY: the base is alive, and so is the context, the core of `self`, for as long as the event, which
        // holds a count of it.
        let raw = unsafe {
            libevent_sys::event_new(
                self.core.raw(),
                fd,
                flags_of(want, trigger),
                Some(self.core.on_ready),
                context,
            )
        };
        let mut event = Event {
            raw: NonNull::new(raw).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?,
            core: Rc::clone(&self.core),
            fd,
            trigger,
            assigned: want,
            added: false,
        };
        event.add()?;
        Ok(event)
    }

    /// A timer that is not running; its handler call carries `id`.
    ///
    /// # Errors
    /// No memory.
    pub fn timer(&self, id: TimerId) -> io::Result<Timer> {
        let context = Box::new(TimerContext {
            core: Rc::clone(&self.core),
            id,
        });
        let context = NonNull::from(Box::leak(context));
        // SAFETY: the base is alive; the context lives until `Timer::drop`, which frees the event first.
        let raw = unsafe {
            libevent_sys::event_new(
                self.core.raw(),
                -1,
                0,
                Some(self.core.on_timer),
                context.as_ptr().cast(),
            )
        };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: leaked above, and no event knows it.
            drop(unsafe { Box::from_raw(context.as_ptr()) });
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        };
        Ok(Timer { raw, context })
    }
}

/// One descriptor's registration. Dropping it takes it off the loop, a callback that is already due included.
pub struct Event {
    raw: NonNull<libevent_sys::event>,
    core: Rc<Core>,
    fd: RawFd,
    trigger: Trigger,
    assigned: Interest,
    added: bool,
}

/// When the handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    /// As long as the descriptor is ready.
    Level,
    /// Once for each change.
    Edge,
}

impl Event {
    /// Makes `want` what is waited for; does nothing when it is already.
    ///
    /// # Errors
    /// The kernel refused the descriptor; the event then waits for nothing.
    #[inline]
    pub fn rearm(&mut self, want: Interest) -> io::Result<()> {
        if self.added && self.assigned == want {
            return Ok(());
        }
        self.change(want)
    }

    /// Waits for nothing until the next [`rearm`](Event::rearm).
    pub fn pause(&mut self) {
        if self.added {
            self.added = false;
            // SAFETY: `raw` is a registered event of ours, on its own thread.
            unsafe { libevent_sys::event_del(self.raw.as_ptr()) };
        }
    }

    #[cold]
    fn change(&mut self, want: Interest) -> io::Result<()> {
        self.pause();
        if self.assigned != want {
            let context = Rc::as_ptr(&self.core).cast_mut().cast();
            // SAFETY: the event is off the loop (paused above); base and context as in `Registrar::watch`.
            unsafe {
                libevent_sys::event_assign(
                    self.raw.as_ptr(),
                    self.core.raw(),
                    self.fd,
                    flags_of(want, self.trigger),
                    Some(self.core.on_ready),
                    context,
                )
            };
            self.assigned = want;
        }
        self.add()
    }

    fn add(&mut self) -> io::Result<()> {
        // SAFETY: `raw` is an event of ours, assigned and off the loop; null stands for no timeout.
        match unsafe { libevent_sys::event_add(self.raw.as_ptr(), ptr::null()) } {
            0 => {
                self.added = true;
                Ok(())
            }
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `raw` came from event_new and is freed here only; its base is alive through `core`. event_free
        // also takes the event off the queue of due callbacks.
        unsafe { libevent_sys::event_free(self.raw.as_ptr()) };
    }
}

struct TimerContext {
    core: Rc<Core>,
    id: TimerId,
}

/// A timer: runs out once for each time it is set.
pub struct Timer {
    raw: NonNull<libevent_sys::event>,
    context: NonNull<TimerContext>,
}

impl Timer {
    /// Lets it run out `after` from now; what was set before is forgotten.
    ///
    /// # Errors
    /// No memory.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let interval = libevent_sys::timeval {
            tv_sec: after.as_secs() as _,
            tv_usec: after.subsec_micros() as _,
        };
        // SAFETY: `raw` is an event of ours on its own thread; libevent copies the interval.
        match unsafe { libevent_sys::event_add(self.raw.as_ptr(), &interval) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Stops it.
    pub fn stop(&self) {
        // SAFETY: `raw` is an event of ours on its own thread; stopping one that does not run is allowed.
        unsafe { libevent_sys::event_del(self.raw.as_ptr()) };
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: `raw` came from event_new and is freed here only, while the context keeps its base alive.
        unsafe { libevent_sys::event_free(self.raw.as_ptr()) };
        // SAFETY: leaked in `Registrar::timer`, taken back once; the event that knew it is gone.
        drop(unsafe { Box::from_raw(self.context.as_ptr()) });
    }
}

/// The version of the libevent that runs, e.g. `2.1.12-stable`.
#[must_use]
pub fn version() -> &'static str {
    // SAFETY: takes nothing and answers a static string.
    let version = unsafe { libevent_sys::event_get_version() };
    // SAFETY: static and terminated, as libevent's manual says.
    let version = unsafe { std::ffi::CStr::from_ptr(version) };
    version.to_str().unwrap_or("unknown")
}

fn flags_of(want: Interest, trigger: Trigger) -> c_short {
    let flag = match want {
        Interest::Read => libevent_sys::EV_READ,
        Interest::Write => libevent_sys::EV_WRITE,
    };
    let how = match trigger {
        Trigger::Level => 0,
        Trigger::Edge => libevent_sys::EV_ET,
    };
    (flag | how | libevent_sys::EV_PERSIST) as c_short
}

/// Called by libevent for descriptors; `context` is the [`Core`] of the base that runs.
unsafe extern "C" fn on_ready<H: Handler>(fd: c_int, what: c_short, context: *mut c_void) {
    // SAFETY: `Registrar::watch` gave the core's address; run_once, which we are inside, borrows the base that
    // holds it. The event itself may be gone when the handler returns, and is not looked at.
    let core = unsafe { &*context.cast::<Core>() };
    let has = |flag: u32| (what as u32) & flag != 0;
    let what = match (has(libevent_sys::EV_READ), has(libevent_sys::EV_WRITE)) {
        (true, true) => Ready::Both,
        (false, true) => Ready::Write,
        _ => Ready::Read,
    };
    // SAFETY: the core's callbacks were chosen together with its handler type.
    unsafe { core.call(|handler: &mut H| handler.ready(fd, what)) };
}

/// Called by libevent for timers; `context` is a [`TimerContext`].
unsafe extern "C" fn on_timer<H: Handler>(_fd: c_int, _what: c_short, context: *mut c_void) {
    // SAFETY: `Registrar::timer` gave the address, and the timer is alive now. The handler may drop it, so what is
    // needed is copied out first.
    let (core, id) = unsafe {
        let context = &*context.cast::<TimerContext>();
        (Rc::clone(&context.core), context.id)
    };
    // SAFETY: the core's callbacks were chosen together with its handler type.
    unsafe { core.call(|handler: &mut H| handler.timer(id)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn changes_are_told_once_each() {
        let base: Base<Log> = Base::new(Load::Few).expect("a base");
        let (mut near, mut far) = UnixStream::pair().expect("a socket pair");
        let fd = near.as_raw_fd();
        let _event = base.registrar().watch_changes(fd, Interest::Read);
        let mut log = Log::default();
        let mut looks = |times| {
            for _ in 0..times {
                base.run_once(&mut log, Wait::Poll).expect("it runs");
            }
            log.ready.len()
        };
        assert_eq!(looks(2), 0);
        far.write_all(b"x").expect("sent");
        assert_eq!(looks(3), 1, "nobody has read it");
        far.write_all(b"y").expect("sent");
        assert_eq!(looks(3), 2, "more has come");
        drop(far);
        assert_eq!(looks(3), 3, "and the end");
        near.read_exact(&mut [0; 2]).expect("both are there");
    }

    #[derive(Default)]
    struct Log {
        ready: Vec<(RawFd, Ready)>,
        timers: Vec<TimerId>,
        /// Dropped from within a callback.
        victim: Option<Event>,
    }

    impl Handler for Log {
        fn ready(&mut self, fd: RawFd, what: Ready) {
            self.ready.push((fd, what));
            self.victim = None;
        }

        fn timer(&mut self, id: TimerId) {
            self.timers.push(id);
        }
    }

    fn base() -> Base<Log> {
        Base::new(Load::Conns).expect("a base")
    }

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a socket pair")
    }

    #[test]
    fn the_descriptor_is_the_key_of_a_callback() {
        let (base, mut log) = (base(), Log::default());
        let (mut near, far) = pair();
        let event = base
            .registrar()
            .watch(far.as_raw_fd(), Interest::Read)
            .expect("registered");
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.ready, []);
        near.write_all(b"x").expect("written");
        base.run_once(&mut log, Wait::Block).expect("a turn");
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        let expected = (far.as_raw_fd(), Ready::Read);
        assert_eq!(log.ready, [expected, expected], "level-triggered");
        drop(event);
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.ready.len(), 2);
    }

    #[test]
    fn rearming_changes_the_direction_and_pausing_stops_it() {
        let (base, mut log) = (base(), Log::default());
        let (near, far) = pair();
        let mut event = base
            .registrar()
            .watch(far.as_raw_fd(), Interest::Read)
            .expect("registered");
        event.rearm(Interest::Write).expect("re-armed");
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.ready, [(far.as_raw_fd(), Ready::Write)]);
        event.pause();
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.ready.len(), 1);
        event.rearm(Interest::Write).expect("re-armed");
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.ready.len(), 2);
        drop(near);
    }

    #[test]
    fn a_due_event_that_another_callback_drops_is_not_called() {
        let (base, mut log) = (base(), Log::default());
        let mut pairs = [pair(), pair()];
        let registrar = base.registrar();
        let keeper = registrar
            .watch(pairs[0].1.as_raw_fd(), Interest::Read)
            .expect("registered");
        log.victim = registrar.watch(pairs[1].1.as_raw_fd(), Interest::Read).ok();
        for (near, _) in &mut pairs {
            near.write_all(b"x").expect("written");
        }
        base.run_once(&mut log, Wait::Block).expect("a turn");
        let mut byte = [0];
        pairs[0].1.read_exact(&mut byte).expect("read");
        if log.ready.len() == 1 {
            assert_eq!(log.ready[0].0, pairs[0].1.as_raw_fd());
        }
        assert!(log.victim.is_none());
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert!(log.ready.len() <= 2);
        drop(keeper);
    }

    /// Asks its own base for a turn while it is called.
    struct Nester {
        base: Rc<Base<Nester>>,
        nested: Option<io::Result<()>>,
        calls: u32,
    }

    impl Handler for Nester {
        fn ready(&mut self, _fd: RawFd, _what: Ready) {
            self.calls += 1;
            let base = Rc::clone(&self.base);
            self.nested = Some(base.run_once(self, Wait::Poll));
        }
    }

    #[test]
    fn a_turn_within_a_turn_is_refused() {
        let base = Rc::new(Base::new(Load::Few).expect("a base"));
        let (mut near, far) = pair();
        let event = base.registrar().watch(far.as_raw_fd(), Interest::Read);
        let _event = event.expect("registered");
        near.write_all(b"x").expect("written");
        let mut nester = Nester {
            base: Rc::clone(&base),
            nested: None,
            calls: 0,
        };
        base.run_once(&mut nester, Wait::Block).expect("a turn");
        assert!(matches!(nester.nested, Some(Err(_))));
        assert_eq!(nester.calls, 1);
    }

    #[test]
    fn a_timer_runs_out_once_for_each_setting() {
        let (base, mut log) = (base(), Log::default());
        let timer = base.registrar().timer(TimerId(7)).expect("a timer");
        timer.set(Duration::from_millis(1)).expect("set");
        base.run_once(&mut log, Wait::Block).expect("a turn");
        assert_eq!(log.timers, [TimerId(7)]);
        timer.set(Duration::from_secs(600)).expect("set");
        timer.stop();
        base.run_once(&mut log, Wait::Poll).expect("a turn");
        assert_eq!(log.timers, [TimerId(7)]);
    }

    #[test]
    fn events_may_outlive_their_base() {
        let (_near, far) = pair();
        let base = base();
        let event = base
            .registrar()
            .watch(far.as_raw_fd(), Interest::Read)
            .expect("registered");
        let timer = base.registrar().timer(TimerId(1)).expect("a timer");
        timer.set(Duration::from_secs(1)).expect("set");
        drop(base);
        drop(event);
        drop(timer);
    }
}
