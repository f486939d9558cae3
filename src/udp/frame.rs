//! The frame: eight bytes before every payload, four numbers of sixteen bits, the high byte first.
//!
//! ```text
//!            0    2          4       6          8
//!  request   | id | ignored  | 1     | ignored  | payload …
//!  answer    | id | sequence | total | 0        | payload, up to 1392 bytes
//! ```
//!
//! A request lies in one datagram. An answer is one message of as many as it needs; all of them carry the request's
//! number. Pure bytes: no socket, no memory of its own. (auth-and-udp.md §B2, §B4)

use crate::limits::DATAGRAM;

/// Bytes before the payload.
pub(super) const HEADER: usize = 8;
/// Payload that an answer's datagram carries at most.
pub(super) const PAYLOAD_MAX: usize = DATAGRAM - HEADER;

/// The number that a client gave its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId(u16);

/// Looks into a datagram that was received: its number and where its payload begins. `None` for one that is nothing or
/// not all of a request, which is ignored.
pub(super) fn open(datagram: &[u8]) -> Option<(RequestId, usize)> {
    let (header, payload) = datagram.split_first_chunk::<HEADER>()?;
    let [id_high, id_low, _, _, total_high, total_low, _, _] = *header;
    let id = RequestId(u16::from_be_bytes([id_high, id_low]));
    let total = u16::from_be_bytes([total_high, total_low]);
    (total == 1 && !payload.is_empty()).then_some((id, HEADER))
}

/// One answer on its way: which of its datagrams comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    id: RequestId,
    sequence: u16,
    total: u16,
}

impl Message {
    /// An answer of so many bytes. What cannot be numbered any more, beyond 91 million of them, is not sent: nobody could
    /// tell where it belongs.
    pub(super) fn new(id: RequestId, len: usize) -> Message {
        Message {
            id,
            sequence: 0,
            total: u16::try_from(len.div_ceil(PAYLOAD_MAX)).unwrap_or(u16::MAX),
        }
    }

    /// All of its datagrams have left.
    pub(super) fn is_over(&self) -> bool {
        self.sequence == self.total
    }

    /// The next one is the last.
    pub(super) fn is_at_last(&self) -> bool {
        self.total - self.sequence == 1
    }

    /// What has not left is given up.
    pub(super) fn end(&mut self) {
        self.sequence = self.total;
    }

    /// What stands before the payload of the next one.
    pub(super) fn header(&self) -> [u8; HEADER] {
        let [id_high, id_low] = self.id.0.to_be_bytes();
        let [sequence_high, sequence_low] = self.sequence.to_be_bytes();
        let [total_high, total_low] = self.total.to_be_bytes();
        [
            id_high,
            id_low,
            sequence_high,
            sequence_low,
            total_high,
            total_low,
            0,
            0,
        ]
    }

    /// One more has left.
    pub(super) fn advance(&mut self) {
        assert!(!self.is_over(), "more datagrams than were numbered");
        self.sequence += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId(0xabcd);

    fn headers(len: usize) -> Vec<[u8; HEADER]> {
        let mut message = Message::new(ID, len);
        let mut headers = Vec::new();
        while !message.is_over() {
            headers.push(message.header());
            message.advance();
        }
        headers
    }

    #[test]
    fn of_a_request_number_and_total_are_looked_at() {
        let opened = Some((ID, HEADER));
        assert_eq!(open(b"\xab\xcd\0\0\0\x01\0\0x"), opened);
        assert_eq!(open(b"\xab\xcd\xff\xfe\0\x01\xff\xffx"), opened);
        for total in [0_u16, 2, 255, 256, 257, 65_535] {
            let mut datagram = *b"\xab\xcd\0\0\0\0\0\0mn\r\n";
            datagram[4..6].copy_from_slice(&total.to_be_bytes());
            assert_eq!(open(&datagram), None, "total {total}");
        }
    }

    #[test]
    fn what_is_too_short_for_a_request_is_none() {
        let datagram = b"\xab\xcd\0\0\0\x01\0\0m";
        for len in 0..datagram.len() {
            assert_eq!(open(&datagram[..len]), None, "{len} bytes");
        }
        assert!(open(datagram).is_some());
    }

    #[test]
    fn an_answer_is_numbered_from_zero() {
        assert_eq!(headers(1), [*b"\xab\xcd\0\0\0\x01\0\0"]);
        assert_eq!(
            headers(2 * PAYLOAD_MAX + 1),
            [
                *b"\xab\xcd\0\0\0\x03\0\0",
                *b"\xab\xcd\0\x01\0\x03\0\0",
                *b"\xab\xcd\0\x02\0\x03\0\0"
            ]
        );
    }

    #[test]
    fn a_full_datagram_stays_one() {
        assert_eq!(PAYLOAD_MAX, 1_392);
        for (len, datagrams) in [(1, 1), (1_391, 1), (1_392, 1), (1_393, 2), (2_784, 2)] {
            assert_eq!(headers(len).len(), datagrams, "{len} bytes");
        }
    }

    #[test]
    fn numbers_end_and_so_does_the_answer() {
        let most = usize::from(u16::MAX) * PAYLOAD_MAX;
        for len in [most, most + 1, usize::MAX] {
            let headers = headers(len);
            assert_eq!(headers.len(), 65_535);
            assert_eq!(headers[65_534], *b"\xab\xcd\xff\xfe\xff\xff\0\0");
        }
    }

    /// Any bytes at all: what is opened is what the four numbers say, and an answer to it opens as its own request would.
    #[test]
    fn any_bytes_are_a_request_or_none() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..20_000 {
            let len = (random() % 20) as usize;
            let mut datagram: Vec<u8> = (0..len).map(|_| random() as u8).collect();
            if round % 2 == 0 && len >= 6 {
                // Or hardly any would be a request.
                datagram[4..6].copy_from_slice(&[0, (random() % 3) as u8]);
            }
            let is_request = len > HEADER && datagram[4..6] == [0, 1];
            let opened = open(&datagram);
            assert_eq!(opened.is_some(), is_request, "{datagram:?}");
            if let Some((id, payload_at)) = opened {
                assert_eq!(payload_at, HEADER);
                let header = Message::new(id, 1).header();
                assert_eq!(header[..2], datagram[..2]);
                assert_eq!(open(&[&header[..], b"x"].concat()), Some((id, HEADER)));
            }
        }
    }
}
