//! What those who watch are told of a conn, whichever thread has it: that it has come, that its TLS failed, that it is
//! gone.

#![forbid(unsafe_code)]

use std::os::fd::RawFd;

use crate::logger::{Closed, Event, Kinds, Log, Peer, Wire};
use crate::os::socket::Address;
use crate::protocol::CloseReason;
use crate::roster::cards::OpenCard;
use crate::transport::Failure;

/// A client has come.
pub fn new(log: &Log, fd: RawFd, card: &OpenCard) {
    if log.wants(Kinds::CONN_EVENTS) {
        with_peer(card, |peer| log.write(&Event::ConnNew { peer, fd }));
    }
}

/// What was read or written last could not be; that is told of TLS alone.
pub fn failed(log: &Log, fd: RawFd, failure: &Failure) {
    if !log.wants(Kinds::CONN_EVENTS) {
        return;
    }
    if let Failure::Tls(fault) = failure {
        let text = fault.text.as_bytes();
        log.write(&Event::ConnTlsError { fd, text });
    }
}

/// A client is gone.
pub fn closed(log: &Log, fd: RawFd, card: &OpenCard, reason: CloseReason) {
    if !log.wants(Kinds::CONN_EVENTS) {
        return;
    }
    let reason = match reason {
        CloseReason::Error => Closed::Error,
        CloseReason::Normal => Closed::Normal,
        CloseReason::IdleTimeout => Closed::IdleTimeout,
        CloseReason::Shutdown => Closed::Shutdown,
    };
    with_peer(card, |peer| {
        log.write(&Event::ConnClose { peer, reason, fd });
    });
}

fn with_peer(card: &OpenCard, tell: impl FnOnce(Peer<'_>)) {
    match card.address() {
        Address::Inet(address) => tell(Peer {
            ip: address.ip().to_string().as_bytes(),
            port: address.port(),
            wire: Wire::Tcp,
        }),
        Address::Unix(_) | Address::Unnamed => tell(Peer {
            ip: b"unix",
            port: 0,
            wire: Wire::Local,
        }),
    }
}
