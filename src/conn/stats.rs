//! What this room shows in `stats`: the list of `stats conns`, and numbers of conns and buffers for the general list.

#![forbid(unsafe_code)]

use crate::clock::Clock;
use crate::conn::buffers::BufferGauges;
use crate::conn::card::Cards;
use crate::limits::READ_BUFFER;
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
            line(&format!("{fd}:addr"), &look.address.to_string());
            if let Some(own) = look.listen_address {
                line(&format!("{fd}:listen_addr"), &own.to_string());
            }
            line(&format!("{fd}:state"), look.state.name());
            let silent = now.saturating_sub(look.last_cmd.0);
            line(&format!("{fd}:secs_since_last_cmd"), &silent.to_string());
        }
    }
}

/// Sums over the buffers of all workers, in the words of the general list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferValues {
    /// `response_obj_count`.
    pub response_objects: u64,
    /// `response_obj_bytes`.
    pub response_bytes: u64,
    /// `read_buf_count`.
    pub count: u64,
    /// Of those, buffers that lie idle.
    pub free: u64,
}

impl BufferValues {
    /// The sums at this moment.
    #[must_use]
    pub fn of<'g>(gauges: impl IntoIterator<Item = &'g BufferGauges>) -> BufferValues {
        let mut sum = BufferValues::default();
        for worker in gauges {
            sum.response_objects += worker.outs.get();
            sum.count += worker.share.made() as u64;
            sum.free += worker.share.idle() as u64;
        }
        sum.response_bytes = sum.response_objects * READ_BUFFER as u64;
        sum
    }
}
