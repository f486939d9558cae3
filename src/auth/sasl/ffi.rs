//! libsasl2: the calls that a server needs, and the functions that it calls back.
//!
//! Declared by hand from the library's manual pages, each under its own name; results of C become [`Answer`]s here. The
//! library is loaded once a process ([`Loaded`]), which also owns what it is given to call back; a [`Context`] is one
//! exchange, and keeps the library loaded. Its calls may come from several threads at a time, one a context: what the
//! library guards by itself it guards with the mutexes that it gets here. What is called back does not panic.

#![allow(
    unsafe_code,
    reason = "calls of a C library, and functions that it calls back"
)]

use std::cell::UnsafeCell;
use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::fmt;
use std::hint;
use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "sasl-pwdb")]
use std::path::PathBuf;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::auth::sasl::{NotStarted, path};
#[cfg(feature = "sasl-pwdb")]
use crate::auth::{
    Verdict,
    sasl::pwdb::{self, Asked},
};
use crate::limits::MECHANISM_MAX;
use crate::lock::lock;
use crate::os::heap;
use crate::settings::Tunables;
#[cfg(feature = "sasl-pwdb")]
use crate::settings::voice::say;
use crate::settings::voice::tell;

const SASL_OK: c_int = 0;
const SASL_CONTINUE: c_int = 1;
const SASL_FAIL: c_int = -1;
#[cfg(feature = "sasl-pwdb")]
const SASL_NOAUTHZ: c_int = -14;

const SASL_CB_LIST_END: c_ulong = 0;
const SASL_CB_LOG: c_ulong = 2;
const SASL_CB_GETCONFPATH: c_ulong = 5;
#[cfg(feature = "sasl-pwdb")]
const SASL_CB_SERVER_USERDB_CHECKPASS: c_ulong = 0x8005;

/// The name of this program, and of its service, for the library.
const NAME: &CStr = c"memcached";
/// A mechanism's name at its longest, with the zero byte that ends it in C.
const MECHANISM: usize = MECHANISM_MAX + 1;
/// Names the configuration's folder.
const CONF_PATH: &str = "SASL_CONF_PATH";
/// Names the plain file of users.
#[cfg(feature = "sasl-pwdb")]
const PWDB: &str = "MEMCACHED_SASL_PWDB";

/// sasl_conn_t
#[repr(C)]
struct RawConn {
    _opaque: [u8; 0],
}

/// sasl_callback_t
#[repr(C)]
struct Callback {
    id: c_ulong,
    proc: *const c_void,
    /// A [`Book`].
    context: *const c_void,
}

// SAFETY: `proc` is a function, and `context` a book that lives longer (`Loaded`) and is Sync.
unsafe impl Send for Callback {}
// SAFETY: as above; nothing writes to it.
unsafe impl Sync for Callback {}

unsafe extern "C" {
    fn sasl_set_mutex(
        alloc: extern "C" fn() -> *mut c_void,
        lock: unsafe extern "C" fn(*mut c_void) -> c_int,
        unlock: unsafe extern "C" fn(*mut c_void) -> c_int,
        free: unsafe extern "C" fn(*mut c_void),
    );
    fn sasl_server_init(callbacks: *const Callback, name: *const c_char) -> c_int;
    fn sasl_server_done() -> c_int;
    fn sasl_server_new(
        service: *const c_char,
        host: *const c_char,
        realm: *const c_char,
        local: *const c_char,
        remote: *const c_char,
        callbacks: *const Callback,
        flags: c_uint,
        conn: *mut *mut RawConn,
    ) -> c_int;
    fn sasl_listmech(
        conn: *mut RawConn,
        user: *const c_char,
        prefix: *const c_char,
        separator: *const c_char,
        suffix: *const c_char,
        result: *mut *const c_char,
        len: *mut c_uint,
        count: *mut c_int,
    ) -> c_int;
    fn sasl_server_start(
        conn: *mut RawConn,
        mechanism: *const c_char,
        input: *const c_char,
        input_len: c_uint,
        output: *mut *const c_char,
        output_len: *mut c_uint,
    ) -> c_int;
    fn sasl_server_step(
        conn: *mut RawConn,
        input: *const c_char,
        input_len: c_uint,
        output: *mut *const c_char,
        output_len: *mut c_uint,
    ) -> c_int;
    fn sasl_dispose(conn: *mut *mut RawConn);
}

/// What is at hand for the functions that are called back.
#[derive(Debug)]
pub(super) struct Book {
    tunables: &'static Tunables,
    #[cfg(feature = "sasl-pwdb")]
    users: Option<PathBuf>,
    /// The realm of users that name none.
    #[cfg(feature = "sasl-pwdb")]
    host: CString,
}

impl Book {
    /// With what the environment says now.
    #[cfg_attr(not(feature = "sasl-pwdb"), expect(unused_variables))]
    pub(super) fn new(tunables: &'static Tunables, host: &CStr) -> Book {
        Book {
            tunables,
            #[cfg(feature = "sasl-pwdb")]
            users: users(tunables),
            #[cfg(feature = "sasl-pwdb")]
            host: host.to_owned(),
        }
    }

    /// What is called back, in a list that ends as C wants it.
    fn callbacks(&self) -> Box<[Callback]> {
        let callback = |id, proc| Callback {
            id,
            proc,
            context: ptr::from_ref(self).cast(),
        };
        let mut list = vec![
            callback(SASL_CB_LOG, note as *const c_void),
            callback(SASL_CB_GETCONFPATH, find_path as *const c_void),
        ];
        #[cfg(feature = "sasl-pwdb")]
        if self.users.is_some() {
            let id = SASL_CB_SERVER_USERDB_CHECKPASS;
            list.push(callback(id, check_password as *const c_void));
        }
        list.push(callback(SASL_CB_LIST_END, ptr::null()));
        list.into_boxed_slice()
    }
}

#[cfg(feature = "sasl-pwdb")]
fn users(tunables: &Tunables) -> Option<PathBuf> {
    let users = env::var_os(PWDB);
    if users.is_none() {
        tell!(
            tunables,
            1,
            "INFO: {PWDB} not specified. Internal passwd database disabled"
        );
    }
    users.map(PathBuf::from)
}

/// Whether the library is loaded: its state is the process's.
static LOADED: AtomicBool = AtomicBool::new(false);

/// The library, loaded; and what it may call back as long as it is.
pub(super) struct Loaded {
    /// Exchanges that there are; `None` once the library is unloaded.
    open: Mutex<Option<usize>>,
    _callbacks: Box<[Callback]>,
    _book: Box<Book>,
}

impl Loaded {
    /// Loads the library with its plug-ins.
    ///
    /// # Errors
    /// It is loaded already, or does not want to be.
    pub(super) fn new(book: Book) -> Result<Loaded, NotStarted> {
        if LOADED.swap(true, Ordering::AcqRel) {
            return Err(NotStarted);
        }
        let book = Box::new(book);
        let callbacks = book.callbacks();
        // SAFETY: the four functions are a mutex's, and nobody uses the library yet.
        unsafe { sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free) };
        // SAFETY: the list ends as it should; it and its book stay where they are until the library is unloaded.
        let result = unsafe { sasl_server_init(callbacks.as_ptr(), NAME.as_ptr()) };
        let loaded = Loaded {
            open: Mutex::new(Some(0)),
            _callbacks: callbacks,
            _book: book,
        };
        // What has begun is ended by the drop.
        if result == SASL_OK {
            Ok(loaded)
        } else {
            Err(NotStarted)
        }
    }

    /// An exchange for a service of this name's machine; `None` where there is no memory, or no library any more.
    pub(super) fn context(&self, host: &CStr) -> Option<Context<'_>> {
        let mut open = lock(&self.open);
        let count = open.as_mut()?;
        let mut conn = ptr::null_mut();
        let none = ptr::null();
        // SAFETY: the library is loaded; the names end in a zero byte, and null stands for what is not given.
        let result = unsafe {
            sasl_server_new(
                NAME.as_ptr(),
                host.as_ptr(),
                none,
                none,
                none,
                ptr::null(),
                0,
                &raw mut conn,
            )
        };
        let conn = NonNull::new(conn).filter(|_| result == SASL_OK)?;
        *count += 1;
        Some(Context {
            conn,
            stage: Stage::Fresh,
            loaded: self,
        })
    }

    /// Gives all that the library has back, unless an exchange is open.
    pub(super) fn unload(&self) {
        let mut open = lock(&self.open);
        if *open == Some(0) {
            *open = None;
            // SAFETY: it was initialised, once, and no exchange is left; none begins while the lock is held.
            unsafe { sasl_server_done() };
            LOADED.store(false, Ordering::Release);
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // Contexts borrow it, so there is none.
        self.unload();
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

/// How far an exchange has come. The library does not ask itself: a step without a mechanism would end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No mechanism has been chosen, or the one that was has refused.
    Fresh,
    /// A challenge waits for its answer.
    Going,
    /// The client is known, for good.
    Done,
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Context<'l> {
    conn: NonNull<RawConn>,
    stage: Stage,
    loaded: &'l Loaded,
}

// SAFETY: the library binds no context to a thread, and calls with it take the only handle there is.
unsafe impl Send for Context<'_> {}

/// What the library says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// The client is whom it says.
    Done,
    /// It is to answer this.
    GoOn(&'a [u8]),
    /// No; with the library's reason.
    Failed(c_int),
}

impl Answer<'_> {
    /// As the library numbers it.
    pub(super) fn code(&self) -> c_int {
        match self {
            Answer::Done => SASL_OK,
            Answer::GoOn(_) => SASL_CONTINUE,
            Answer::Failed(code) => *code,
        }
    }
}

impl Context<'_> {
    /// The names of all mechanisms, blanks between them.
    pub(super) fn mechanisms(&mut self) -> Option<&[u8]> {
        let (mut text, mut len) = (ptr::null(), 0);
        let nothing = c"";
        // SAFETY: the context is self's; the marks end in a zero byte, null stands for what is not given or wanted, and
        // the library writes to `text` and `len` alone.
        let result = unsafe {
            sasl_listmech(
                self.conn.as_ptr(),
                ptr::null(),
                nothing.as_ptr(),
                c" ".as_ptr(),
                nothing.as_ptr(),
                &raw mut text,
                &raw mut len,
                ptr::null_mut(),
            )
        };
        // SAFETY: the library's own text, good until the next call with this context, which takes self.
        (result == SASL_OK).then(|| unsafe { bytes(text, len) })
    }

    /// Begins with a mechanism, and what the client says first.
    pub(super) fn start(&mut self, mechanism: &[u8], data: &[u8]) -> Answer<'_> {
        let mut name = [0; MECHANISM];
        let room = &mut name[..MECHANISM - 1];
        if self.stage == Stage::Done || mechanism.len() > room.len() {
            return self.fail();
        }
        room[..mechanism.len()].copy_from_slice(mechanism);
        let Ok(len) = c_uint::try_from(data.len()) else {
            return self.fail();
        };
        // Nothing is not the same as an empty answer.
        let data = if data.is_empty() {
            ptr::null()
        } else {
            data.as_ptr()
        };
        let (mut text, mut text_len) = (ptr::null(), 0);
        // SAFETY: the context is self's; the name ends in a zero byte, since the last one was left out; `data` has `len`
        // bytes or is null, and the library writes to `text` and `text_len` alone.
        let result = unsafe {
            sasl_server_start(
                self.conn.as_ptr(),
                name.as_ptr().cast(),
                data.cast(),
                len,
                &raw mut text,
                &raw mut text_len,
            )
        };
        // SAFETY: what the library wrote there, of this context.
        unsafe { self.answer(result, text, text_len) }
    }

    /// Goes on with the answer to a challenge.
    pub(super) fn step(&mut self, data: &[u8]) -> Answer<'_> {
        let len = c_uint::try_from(data.len());
        let (Stage::Going, Ok(len)) = (self.stage, len) else {
            return self.fail();
        };
        let (mut text, mut text_len) = (ptr::null(), 0);
        // SAFETY: the context is self's and has a mechanism that waits; `data` has `len` bytes, and the library writes to
        // `text` and `text_len` alone.
        let result = unsafe {
            sasl_server_step(
                self.conn.as_ptr(),
                data.as_ptr().cast(),
                len,
                &raw mut text,
                &raw mut text_len,
            )
        };
        // SAFETY: what the library wrote there, of this context.
        unsafe { self.answer(result, text, text_len) }
    }

    /// A challenge waits for its answer.
    pub(super) fn is_going(&self) -> bool {
        self.stage == Stage::Going
    }

    /// The library is not asked.
    fn fail(&mut self) -> Answer<'_> {
        if self.stage == Stage::Going {
            self.stage = Stage::Fresh;
        }
        Answer::Failed(SASL_FAIL)
    }

    /// # Safety
    /// `text` is what the last call with this context has written, `len` its length.
    unsafe fn answer(&mut self, result: c_int, text: *const c_char, len: c_uint) -> Answer<'_> {
        match result {
            SASL_OK => {
                self.stage = Stage::Done;
                Answer::Done
            }
            SASL_CONTINUE => {
                self.stage = Stage::Going;
                // SAFETY: the caller's promise; the text is good until the next call, which takes self.
                Answer::GoOn(unsafe { bytes(text, len) })
            }
            code => {
                self.stage = Stage::Fresh;
                Answer::Failed(code)
            }
        }
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        let mut open = lock(&self.loaded.open);
        let mut conn = self.conn.as_ptr();
        // SAFETY: the context is self's, which ends; the library is loaded as long as it is counted.
        unsafe { sasl_dispose(&raw mut conn) };
        *open = open.map(|count| count - 1);
    }
}

/// # Safety
/// `text` is null, or has `len` bytes that stay as they are for `'a`.
unsafe fn bytes<'a>(text: *const c_char, len: c_uint) -> &'a [u8] {
    if text.is_null() {
        return b"";
    }
    // SAFETY: the caller's promise. An unsigned int fits the length of a slice.
    unsafe { slice::from_raw_parts(text.cast(), len as usize) }
}

/// Level of the operator's voice for the library's levels, by their numbers; `None`, `Err`, `Fail`, `Warn`, `Note`, `Debug`,
/// `Trace`, `Pass`.
const LEVELS: [i32; 8] = [i32::MAX, 0, 1, 1, 2, 2, 2, 2];

/// SASL_CB_LOG
unsafe extern "C" fn note(book: *const Book, level: c_int, message: *const c_char) -> c_int {
    let wanted = usize::try_from(level).ok().and_then(|at| LEVELS.get(at));
    if let (Some(wanted), false) = (wanted, message.is_null()) {
        // SAFETY: the book that was given to the library along with this function, and lives as long as it may call.
        let tunables = unsafe { &*book }.tunables;
        // SAFETY: the library's text, which ends in a zero byte.
        let message = unsafe { CStr::from_ptr(message) };
        tell!(
            tunables,
            *wanted,
            "SASL (severity {level}): {}",
            message.to_string_lossy()
        );
    }
    SASL_OK
}

/// The last path that the library was given. Its manual says that it frees it, and some of its versions do not: it comes
/// from malloc, and who looks for lost memory finds it here.
static PATH: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// SASL_CB_GETCONFPATH
unsafe extern "C" fn find_path(book: *const Book, to: *mut *mut c_char) -> c_int {
    // SAFETY: the book that was given to the library along with this function, and lives as long as it may call.
    let tunables = unsafe { &*book }.tunables;
    let named = env::var_os(CONF_PATH).map(Into::into);
    let found = path::find(named, |path| path.exists());
    let text = found.and_then(|found| CString::new(found.as_os_str().as_bytes()).ok());
    let Some(text) = text else {
        tell!(tunables, 1, "Failed to locate a config path");
        return SASL_FAIL;
    };
    tell!(
        tunables,
        1,
        "Reading configuration from: <{}>",
        text.to_string_lossy()
    );
    // SAFETY: it ends in a zero byte.
    let copy = unsafe { libc::strdup(text.as_ptr()) };
    if to.is_null() || copy.is_null() {
        return SASL_FAIL;
    }
    // Nobody reads it, so the compiler would leave it out.
    hint::black_box(&PATH).store(copy, Ordering::Relaxed);
    // SAFETY: the library wants it there.
    unsafe { to.write(copy) };
    SASL_OK
}

/// SASL_CB_SERVER_USERDB_CHECKPASS
#[cfg(feature = "sasl-pwdb")]
unsafe extern "C" fn check_password(
    _conn: *mut RawConn,
    book: *const Book,
    user: *const c_char,
    password: *const c_char,
    len: c_uint,
    _properties: *mut c_void,
) -> c_int {
    // SAFETY: the book that was given to the library along with this function, and lives as long as it may call.
    let book = unsafe { &*book };
    let (Some(users), false) = (&book.users, user.is_null()) else {
        return SASL_NOAUTHZ;
    };
    // SAFETY: the library's text, which ends in a zero byte.
    let user = unsafe { CStr::from_ptr(user) };
    // SAFETY: the library gives a password and its length, for the length of the call.
    let password = unsafe { bytes(password, len) };
    let full = pwdb::with_realm(user.to_bytes(), book.host.to_bytes());
    let shown = String::from_utf8_lossy(&full);
    match pwdb::ask(users, [user.to_bytes(), &full], password) {
        Asked::Judged(Verdict::Granted) => return SASL_OK,
        Asked::Judged(Verdict::Refused) => tell!(
            book.tunables,
            1,
            "INFO: User <{shown}> failed to authenticate"
        ),
        Asked::TooLong(len) => {
            say!("WARNING: Failed to authenticate <{shown}> due to too long password ({len})")
        }
    }
    SASL_NOAUTHZ
}

/// What the library knows as a mutex.
type RawMutex = UnsafeCell<libc::pthread_mutex_t>;

/// sasl_mutex_alloc_t
extern "C" fn mutex_new() -> *mut c_void {
    let mutex = RawMutex::new(libc::PTHREAD_MUTEX_INITIALIZER);
    heap::boxed(mutex).map_or(ptr::null_mut(), |mutex| Box::into_raw(mutex).cast())
}

/// sasl_mutex_lock_t
unsafe extern "C" fn mutex_lock(mutex: *mut c_void) -> c_int {
    // SAFETY: one of `mutex_new`, which the library has not given back.
    unsafe { libc::pthread_mutex_lock(mutex.cast()) }
}

/// sasl_mutex_unlock_t
unsafe extern "C" fn mutex_unlock(mutex: *mut c_void) -> c_int {
    // SAFETY: one of `mutex_new` that this thread has locked.
    unsafe { libc::pthread_mutex_unlock(mutex.cast()) }
}

/// sasl_mutex_free_t
unsafe extern "C" fn mutex_free(mutex: *mut c_void) {
    if mutex.is_null() {
        return;
    }
    // SAFETY: one of `mutex_new`, which the library gives back, unlocked.
    unsafe { libc::pthread_mutex_destroy(mutex.cast()) };
    // SAFETY: made by `Box::into_raw` there, and nobody's any more.
    drop(unsafe { Box::from_raw(mutex.cast::<RawMutex>()) });
}
