//! UDP sockets on their way to the workers, which serve them by themselves.
//!
//! Without a comma in `-l` each worker gets a descriptor of its own for each socket, and whichever wakes first takes a
//! datagram; with one, a socket is one worker's. They are handed out once, at start, in the turn that clients take later.
//! Main thread. (auth-and-udp.md §B1)

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use crate::roster::counts::ConnStats;
use crate::settings::WorkerSettings;
use crate::worker::inbox::{Message, Turns};

/// Hands the sockets out and counts what became of them; gives the number of descriptors.
///
/// # Errors
/// There are no descriptors for it, or no memory.
pub fn hand_out(
    sockets: Vec<OwnedFd>,
    settings: &WorkerSettings,
    turns: &Turns,
    counts: &ConnStats,
) -> io::Result<usize> {
    let mut endpoints = Vec::new();
    for socket in sockets {
        for _ in 1..settings.threads_per_udp {
            endpoints.push(socket.try_clone()?);
        }
        endpoints.push(socket);
    }
    let count = endpoints.len();
    for endpoint in endpoints {
        let posted = turns.next().post(Message::Endpoint(endpoint));
        posted.map_err(|_| io::ErrorKind::OutOfMemory)?;
        counts.listener_opened();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::sync::Arc;

    use crate::worker::inbox::Inbox;

    /// How many descriptors each of three workers gets of so many sockets.
    fn shares(sockets: usize, threads_per_udp: u32) -> Vec<usize> {
        let inboxes: Vec<Arc<Inbox>> = (0..3)
            .map(|_| Arc::new(Inbox::new().expect("a notifier")))
            .collect();
        let sockets = (0..sockets).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"));
        let settings = WorkerSettings {
            threads_per_udp,
            ..WorkerSettings::default()
        };
        let counts = ConnStats::new();
        let (sockets, turns) = (sockets.map(OwnedFd::from).collect(), Turns::new(&inboxes));
        let count = hand_out(sockets, &settings, &turns, &counts).expect("descriptors");
        let shares: Vec<usize> = inboxes.iter().map(|inbox| inbox.open().count()).collect();
        assert_eq!(count, shares.iter().sum());
        assert_eq!(counts.total(), count as u64);
        shares
    }

    #[test]
    fn every_worker_has_every_socket_or_each_socket_one_worker() {
        assert_eq!(shares(0, 3), [0, 0, 0]);
        assert_eq!(shares(1, 3), [1, 1, 1]);
        assert_eq!(shares(2, 3), [2, 2, 2]);
        assert_eq!(shares(2, 1), [1, 1, 0]);
    }
}
