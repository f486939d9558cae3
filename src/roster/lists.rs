//! The list of `stats conns`: every open conn and listener, looked at through its card.
//!
//! Runs on the worker that was asked. (stats-and-admin.md §5)

#![forbid(unsafe_code)]

use crate::clock::Clock;
use crate::os::socket::Address;
use crate::roster::cards::{Cards, Kind};
use crate::stats::Section;

/// `stats conns`.
#[derive(Debug)]
pub struct ConnsSection {
    /// Every conn's card.
    pub cards: &'static Cards,
    /// What seconds since a command are counted to.
    pub clock: &'static Clock,
}

impl Section for ConnsSection {
    fn lines(&self, line: &mut dyn FnMut(&str, &str)) {
        let now = self.clock.now().0;
        for look in self.cards.looks() {
            let fd = look.fd;
            let shown = |address: &Address| address.shown(look.kind.carries()).to_string();
            if look.kind == Kind::Udp {
                line(&format!("{fd}:UDP"), "UDP");
            }
            line(&format!("{fd}:addr"), &shown(&look.address));
            if let Some(own) = &look.listen_address {
                line(&format!("{fd}:listen_addr"), &shown(own));
            }
            line(&format!("{fd}:state"), look.state.name());
            let silent = now.saturating_sub(look.last_cmd.0);
            line(&format!("{fd}:secs_since_last_cmd"), &silent.to_string());
        }
    }
}
