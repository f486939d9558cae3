//! The value of an item on its way into the output: copied while its bucket is held, or kept by a reference.
//!
//! The same rule for the gets of all codecs, so that one number, `limits::COPY_MAX`, says where copying stops paying.

use crate::limits::COPY_MAX;
use crate::response::Out;
use crate::storage::{ItemRef, LockedItem};

/// A value, which in memory ends in CR LF.
pub(super) enum Value<'g> {
    /// Copying costs less than a reference and a gathered send.
    Small(&'g [u8]),
    /// Sent from item memory.
    Large(ItemRef),
}

impl<'g> Value<'g> {
    /// `None` when too many readers hold the item already.
    #[inline]
    pub(super) fn of(item: &LockedItem<'g>) -> Option<Value<'g>> {
        if item.value_len() <= COPY_MAX {
            if let Some(value) = item.value_crlf() {
                return Some(Value::Small(value));
            }
        }
        item.retain().map(Value::Large)
    }

    /// With its CR LF.
    #[inline]
    pub(super) fn push(self, out: &mut Out) {
        match self {
            Value::Small(value) => out.push(value),
            Value::Large(held) => out.push_item(held),
        }
    }

    /// Without its CR LF.
    #[inline]
    pub(super) fn push_bare(self, out: &mut Out) {
        match self {
            Value::Small(value) => out.push(&value[..value.len() - b"\r\n".len()]),
            Value::Large(held) => out.push_bare_item(held),
        }
    }
}
