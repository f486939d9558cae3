//! What [`http`](super::http) calls of libevent and the crate `libevent-sys` does not declare: its HTTP server, of
//! libevent_extra, and what that is made of.
//!
//! Written after event2/http.h, event2/bufferevent.h, event2/buffer.h and event2/listener.h of libevent 2.1; all of it has
//! been there since 2.1.1. The crate links both libraries.

#![allow(
    unsafe_code,
    non_camel_case_types,
    reason = "declares functions of a C library under their names"
)]

use std::ffi::{c_char, c_int, c_short, c_uint, c_void};

use libevent_sys::event_base;

/// Declares types that are known by their address alone.
macro_rules! opaque {
    ($($name:ident),+ $(,)?) => {
        $(#[repr(C)]
        pub(super) struct $name {
            _opaque: [u8; 0],
        })+
    };
}

opaque!(
    bufferevent,
    evbuffer,
    evconnlistener,
    evhttp,
    evhttp_bound_socket,
    evhttp_connection,
    evhttp_request,
    evhttp_uri,
    evkeyvalq,
);

/// `EVHTTP_REQ_GET`
pub(super) const GET: c_uint = 1;
/// `EVHTTP_REQ_HEAD`
pub(super) const HEAD: c_uint = 4;

/// What a server calls with each request.
pub(super) type RequestCallback = unsafe extern "C" fn(*mut evhttp_request, *mut c_void);
/// What makes the conn of a client.
pub(super) type ArrivalCallback =
    unsafe extern "C" fn(*mut event_base, *mut c_void) -> *mut bufferevent;
/// What a listener calls when it could not accept.
pub(super) type ListenerCallback = unsafe extern "C" fn(*mut evconnlistener, *mut c_void);
/// What a conn calls when there is something to read or room to write.
pub(super) type DataCallback = unsafe extern "C" fn(*mut bufferevent, *mut c_void);
/// What it calls at its end and when a time has run out.
pub(super) type EventCallback = unsafe extern "C" fn(*mut bufferevent, c_short, *mut c_void);

/// `BUFFEREVENT_SSL_ACCEPTING`
#[cfg(feature = "metrics-tls")]
pub(super) const SSL_ACCEPTING: c_int = 2;
/// `BEV_OPT_CLOSE_ON_FREE`
#[cfg(feature = "metrics-tls")]
pub(super) const CLOSE_ON_FREE: c_int = 1;

// Of libevent_openssl.
#[cfg(feature = "metrics-tls")]
unsafe extern "C" {
    pub(super) fn bufferevent_openssl_socket_new(
        base: *mut event_base,
        fd: c_int,
        ssl: *mut openssl_sys::SSL,
        state: c_int,
        options: c_int,
    ) -> *mut bufferevent;
    pub(super) fn bufferevent_openssl_get_ssl(conn: *mut bufferevent) -> *mut openssl_sys::SSL;
}

unsafe extern "C" {
    pub(super) fn evbuffer_new() -> *mut evbuffer;
    pub(super) fn evbuffer_free(buffer: *mut evbuffer);
    pub(super) fn evbuffer_add(buffer: *mut evbuffer, data: *const c_void, len: usize) -> c_int;

    pub(super) fn bufferevent_socket_new(
        base: *mut event_base,
        fd: c_int,
        options: c_int,
    ) -> *mut bufferevent;
    pub(super) fn bufferevent_incref(conn: *mut bufferevent);
    pub(super) fn bufferevent_decref(conn: *mut bufferevent) -> c_int;
    pub(super) fn bufferevent_getfd(conn: *mut bufferevent) -> c_int;
    pub(super) fn bufferevent_getcb(
        conn: *mut bufferevent,
        on_read: *mut Option<DataCallback>,
        on_write: *mut Option<DataCallback>,
        on_event: *mut Option<EventCallback>,
        context: *mut *mut c_void,
    );
    pub(super) fn bufferevent_setwatermark(
        conn: *mut bufferevent,
        events: c_short,
        low: usize,
        high: usize,
    );

    pub(super) fn evconnlistener_enable(listener: *mut evconnlistener) -> c_int;
    pub(super) fn evconnlistener_disable(listener: *mut evconnlistener) -> c_int;
    pub(super) fn evconnlistener_set_error_cb(
        listener: *mut evconnlistener,
        callback: Option<ListenerCallback>,
    );

    pub(super) fn evhttp_new(base: *mut event_base) -> *mut evhttp;
    pub(super) fn evhttp_free(http: *mut evhttp);
    pub(super) fn evhttp_accept_socket_with_handle(
        http: *mut evhttp,
        fd: c_int,
    ) -> *mut evhttp_bound_socket;
    pub(super) fn evhttp_bound_socket_get_listener(
        bound: *mut evhttp_bound_socket,
    ) -> *mut evconnlistener;
    pub(super) fn evhttp_set_gencb(
        http: *mut evhttp,
        callback: Option<RequestCallback>,
        context: *mut c_void,
    );
    pub(super) fn evhttp_set_bevcb(
        http: *mut evhttp,
        callback: Option<ArrivalCallback>,
        context: *mut c_void,
    );
    pub(super) fn evhttp_set_allowed_methods(http: *mut evhttp, methods: u16);
    pub(super) fn evhttp_set_max_headers_size(http: *mut evhttp, bytes: isize);
    pub(super) fn evhttp_set_max_body_size(http: *mut evhttp, bytes: isize);
    pub(super) fn evhttp_set_timeout(http: *mut evhttp, seconds: c_int);

    pub(super) fn evhttp_request_get_command(request: *const evhttp_request) -> c_uint;
    pub(super) fn evhttp_request_get_evhttp_uri(
        request: *const evhttp_request,
    ) -> *const evhttp_uri;
    pub(super) fn evhttp_request_get_input_headers(request: *mut evhttp_request) -> *mut evkeyvalq;
    pub(super) fn evhttp_request_get_output_headers(request: *mut evhttp_request)
    -> *mut evkeyvalq;
    pub(super) fn evhttp_request_get_connection(
        request: *mut evhttp_request,
    ) -> *mut evhttp_connection;
    pub(super) fn evhttp_connection_get_bufferevent(
        conn: *mut evhttp_connection,
    ) -> *mut bufferevent;
    pub(super) fn evhttp_uri_get_path(uri: *const evhttp_uri) -> *const c_char;
    pub(super) fn evhttp_find_header(
        headers: *const evkeyvalq,
        name: *const c_char,
    ) -> *const c_char;
    pub(super) fn evhttp_add_header(
        headers: *mut evkeyvalq,
        name: *const c_char,
        value: *const c_char,
    ) -> c_int;
    pub(super) fn evhttp_send_reply(
        request: *mut evhttp_request,
        code: c_int,
        words: *const c_char,
        body: *mut evbuffer,
    );
    pub(super) fn evhttp_send_error(
        request: *mut evhttp_request,
        code: c_int,
        words: *const c_char,
    );
}
