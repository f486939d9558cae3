//! The states of a conn, under the names that `stats conns` and `-vvv` print.

#![forbid(unsafe_code)]

/// Where a conn stands. One byte, so that its card can show it; what belongs to a state lies in fields beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not in use: the state of a free card.
    Closed,
    /// A listener.
    Listening,
    /// Between two commands.
    NewCmd,
    /// Nothing left to do: on the way to sleep.
    Waiting,
    /// Reading; also asleep until there is something to read.
    Read,
    /// The protocol is at work on what was read.
    ParseCmd,
    /// Receiving a value into its item.
    Nread,
    /// Discarding input that was refused.
    Swallow,
    /// Sending what is owed.
    Mwrite,
    /// Away from its worker, told things by another thread.
    Watch,
    /// Being given up.
    Closing,
}

/// Every state, by its number, with its name.
const STATES: [(State, &str); 11] = [
    (State::Closed, "conn_closed"),
    (State::Listening, "conn_listening"),
    (State::NewCmd, "conn_new_cmd"),
    (State::Waiting, "conn_waiting"),
    (State::Read, "conn_read"),
    (State::ParseCmd, "conn_parse_cmd"),
    (State::Nread, "conn_nread"),
    (State::Swallow, "conn_swallow"),
    (State::Mwrite, "conn_mwrite"),
    (State::Watch, "conn_watch"),
    (State::Closing, "conn_closing"),
];

impl State {
    /// The name of `stats conns`.
    #[must_use]
    pub fn name(self) -> &'static str {
        STATES[usize::from(self as u8)].1
    }

    /// The state of a card's byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> State {
        STATES[usize::from(byte)].0
    }

    /// Every state, by its number.
    pub fn all() -> impl Iterator<Item = State> {
        STATES.iter().map(|(state, _)| *state)
    }

    /// A conn may sleep in this state with output unsent: it waits for the rest of an upload, or for the socket.
    #[must_use]
    pub fn may_owe(self) -> bool {
        matches!(self, State::Nread | State::Swallow | State::Mwrite)
    }

    /// A conn that sleeps in this state waits for its client's next command.
    #[must_use]
    pub fn is_idle(self) -> bool {
        matches!(self, State::NewCmd | State::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        for (at, (state, name)) in STATES.iter().enumerate() {
            assert_eq!(usize::from(*state as u8), at, "{name}");
            assert_eq!(
                State::from_byte(u8::try_from(at).expect("few states")),
                *state
            );
        }
    }
}
