// What the server calls of libevent 2.1, written by hand: the same on every architecture, and no
// libclang is needed. The crate libevent-sys copies this file (LIBEVENT_SYS_BINDINGS_FILE).
// Source: libevent's manual, event2/event.h and event2/event_struct.h of 2.1.

pub type evutil_socket_t = ::std::os::raw::c_int;
pub type event_callback_fn = ::std::option::Option<
    unsafe extern "C" fn(evutil_socket_t, ::std::os::raw::c_short, *mut ::std::os::raw::c_void),
>;
pub type event_finalize_callback_fn =
    ::std::option::Option<unsafe extern "C" fn(*mut event, *mut ::std::os::raw::c_void)>;

#[repr(C)]
pub struct event_base {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct event_config {
    _opaque: [u8; 0],
}

/// The head of `struct event_callback` and `struct event` as in libevent 2.1. The crate `libevent` reads
/// `ev_evcallback.evcb_arg`; what follows the head is libevent's own.
#[repr(C)]
#[derive(Copy, Clone)]
pub struct event_callback {
    pub evcb_active_next: [*mut ::std::os::raw::c_void; 2],
    pub evcb_flags: ::std::os::raw::c_short,
    pub evcb_pri: u8,
    pub evcb_closure: u8,
    pub evcb_callback: *mut ::std::os::raw::c_void,
    pub evcb_arg: *mut ::std::os::raw::c_void,
}

#[repr(C)]
pub struct event {
    pub ev_evcallback: event_callback,
}

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct timeval {
    pub tv_sec: ::std::os::raw::c_long,
    pub tv_usec: ::std::os::raw::c_long,
}

pub const EV_TIMEOUT: u32 = 1;
pub const EV_READ: u32 = 2;
pub const EV_WRITE: u32 = 4;
pub const EV_SIGNAL: u32 = 8;
pub const EV_PERSIST: u32 = 16;
pub const EV_ET: u32 = 32;
pub const EV_FINALIZE: u32 = 64;
pub const EV_CLOSED: u32 = 128;
pub const EVLOOP_ONCE: u32 = 1;
pub const EVLOOP_NONBLOCK: u32 = 2;
pub const EVLOOP_NO_EXIT_ON_EMPTY: u32 = 4;
pub const EVENT_BASE_FLAG_NOLOCK: u32 = 1;
pub const EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: u32 = 16;
pub type event_base_config_flag = ::std::os::raw::c_uint;
pub const event_base_config_flag_EVENT_BASE_FLAG_NOLOCK: event_base_config_flag = 1;
pub const event_base_config_flag_EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: event_base_config_flag = 16;

unsafe extern "C" {
    pub fn event_base_new() -> *mut event_base;
    pub fn event_base_new_with_config(cfg: *const event_config) -> *mut event_base;
    pub fn event_base_free(base: *mut event_base);
    pub fn event_base_loop(base: *mut event_base, flags: ::std::os::raw::c_int) -> ::std::os::raw::c_int;
    pub fn event_base_loopexit(base: *mut event_base, tv: *const timeval) -> ::std::os::raw::c_int;
    pub fn event_base_loopbreak(base: *mut event_base) -> ::std::os::raw::c_int;
    pub fn event_base_loopcontinue(base: *mut event_base) -> ::std::os::raw::c_int;
    pub fn event_base_got_exit(base: *mut event_base) -> ::std::os::raw::c_int;
    pub fn event_base_got_break(base: *mut event_base) -> ::std::os::raw::c_int;
    pub fn event_config_new() -> *mut event_config;
    pub fn event_config_set_flag(cfg: *mut event_config, flag: ::std::os::raw::c_int) -> ::std::os::raw::c_int;
    pub fn event_config_free(cfg: *mut event_config);
    pub fn event_new(
        base: *mut event_base,
        fd: evutil_socket_t,
        what: ::std::os::raw::c_short,
        callback: event_callback_fn,
        arg: *mut ::std::os::raw::c_void,
    ) -> *mut event;
    pub fn event_assign(
        ev: *mut event,
        base: *mut event_base,
        fd: evutil_socket_t,
        what: ::std::os::raw::c_short,
        callback: event_callback_fn,
        arg: *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int;
    pub fn event_free(ev: *mut event);
    pub fn event_add(ev: *mut event, timeout: *const timeval) -> ::std::os::raw::c_int;
    pub fn event_del(ev: *mut event) -> ::std::os::raw::c_int;
    pub fn event_active(ev: *mut event, res: ::std::os::raw::c_int, ncalls: ::std::os::raw::c_short);
    pub fn event_get_callback_arg(ev: *const event) -> *mut ::std::os::raw::c_void;
    pub fn event_finalize(
        flags: ::std::os::raw::c_uint,
        ev: *mut event,
        callback: event_finalize_callback_fn,
    ) -> ::std::os::raw::c_int;
    pub fn event_free_finalize(
        flags: ::std::os::raw::c_uint,
        ev: *mut event,
        callback: event_finalize_callback_fn,
    ) -> ::std::os::raw::c_int;
    pub fn event_get_version() -> *const ::std::os::raw::c_char;
    pub fn event_base_get_method(base: *const event_base) -> *const ::std::os::raw::c_char;
}
