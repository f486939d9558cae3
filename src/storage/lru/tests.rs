//! Ids, backoff and list surgery; what the queues do to items is tested with the engine's other behaviour.

use super::maintainer::next_backoff;
use super::{LruId, Segment};
use crate::storage::slabs::ClassId;

#[test]
fn an_id_is_class_and_segment() {
    let numbers = [
        (Segment::Hot, 22),
        (Segment::Warm, 86),
        (Segment::Cold, 150),
        (Segment::Temp, 214),
    ];
    for (segment, number) in numbers {
        let id = LruId::of(ClassId::new(22), segment);
        assert_eq!(id.number(), number);
        assert_eq!((id.class(), id.segment()), (ClassId::new(22), segment));
    }
    assert_eq!(
        LruId::new(22).in_segment(Segment::Cold),
        LruId::new(22 + 128)
    );
}

#[test]
fn an_idle_class_is_looked_at_ever_less_often() {
    let mut backoff = 0;
    let mut steps = 0;
    while backoff < 999_999 {
        let next = next_backoff(backoff, 0);
        assert!(next > backoff);
        backoff = next;
        steps += 1;
    }
    assert_eq!(next_backoff(0, 0), 1_000);
    assert_eq!(next_backoff(1_000, 0), 1_125);
    assert_eq!(next_backoff(999_999, 0), 999_999);
    assert!((50..70).contains(&steps), "{steps}");
}

#[test]
fn work_halves_the_interval_down_to_none() {
    assert_eq!(next_backoff(8_000, 3), 4_000);
    assert_eq!(next_backoff(1_999, 1), 0);
    assert_eq!(next_backoff(0, 1), 0);
}
