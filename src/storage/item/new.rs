//! An item being made: its memory laid out, its value filled in, then handed to the table or freed.

#![allow(
    unsafe_code,
    reason = "items lie in slab memory and are reached by address"
)]

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::storage::chunked::Chunks;
use crate::storage::item::{ItemPtr, Look, mark_bits};
use crate::storage::layout::{
    self, Body, CHUNKED, CLIENT_FLAGS, KEY_BINARY, LIST, STALE, TOKEN_SENT, WITH_CAS,
    WITH_CLIENT_FLAGS, size_before_body,
};
use crate::storage::locks::BucketGuard;
use crate::storage::lru::LruId;
use crate::storage::slabs::page::Chunk;
use crate::storage::{CasId, Engine, Hv, Marks, NoMemory, PerThread};

/// What a new item is made of.
pub(in crate::storage) struct Plan<'k> {
    pub(in crate::storage) key: &'k [u8],
    pub(in crate::storage) client_flags: u64,
    pub(in crate::storage) exptime: RelTime,
    /// Value and CR LF.
    pub(in crate::storage) nbytes: u32,
    /// Where it will be queued; its class is that of the whole size.
    pub(in crate::storage) lru_id: LruId,
    pub(in crate::storage) uses_cas: bool,
    /// The value comes in chunks, and `Chunk` holds its head alone.
    pub(in crate::storage) chunked: bool,
}

/// An allocated, unlinked item being filled. `Drop` frees it.
pub struct NewItem {
    item: ItemPtr,
    engine: &'static Engine,
    /// Bytes of value and CR LF that are there.
    pub(super) filled: u32,
    /// Of the key; decides the bucket, and so the guard, that the item will be linked under.
    hv: Hv,
}

// A NewItem owns its memory alone; it may be filled by one thread and stored by another.
// SAFETY: `item` is known to nobody else, and freeing takes the slab lock.
unsafe impl Send for NewItem {}

impl NewItem {
    /// Makes an item in `memory`.
    pub(in crate::storage) fn in_chunk(
        memory: Chunk,
        plan: &Plan<'_>,
        engine: &'static Engine,
    ) -> NewItem {
        let before_body = size_before_body(plan.uses_cas, plan.key.len(), plan.client_flags);
        let body = if plan.chunked {
            LIST
        } else {
            plan.nbytes as usize
        };
        assert!(
            before_body + body <= memory.size(),
            "the class was chosen for this size"
        );
        let class = memory.class();
        let item = ItemPtr(memory.into_base().cast());
        let nkey = u8::try_from(plan.key.len()).expect("keys have at most 250 bytes");
        let flag = |wanted: bool, flag: u16| if wanted { flag } else { 0 };
        let word = flag(plan.uses_cas, WITH_CAS)
            | flag(plan.chunked, CHUNKED)
            | flag(plan.client_flags != 0, WITH_CLIENT_FLAGS);
        // SAFETY: the chunk was handed over by value, is aligned to 8 and larger than a header.
        unsafe { item.begin(plan, nkey, word) };
        // SAFETY: the item was just made and is owned by this function.
        let look: Look<'_> = unsafe { item.look() };
        if let Some(cas) = look.cas_field() {
            // SAFETY: the assert above counts the field in; its offset keeps the chunk's alignment.
            unsafe { cas.write(0) };
        }
        let key_at = look.at(layout::key_offset(word));
        // SAFETY: the assert above counts key and NUL in; the source is the caller's, outside the chunk.
        unsafe { ptr::copy_nonoverlapping(plan.key.as_ptr(), key_at, plan.key.len()) };
        // SAFETY: as above, the byte behind the key.
        unsafe { key_at.wrapping_add(plan.key.len()).write(0) };
        if plan.client_flags != 0 {
            let wide = plan.client_flags.to_le_bytes();
            let to = look.at(layout::client_flags_offset(word, plan.key.len()));
            // SAFETY: the assert above counts the client flags in, and `wide` has at least as many bytes.
            unsafe { ptr::copy_nonoverlapping(wide.as_ptr(), to, CLIENT_FLAGS) };
        }
        if let Body::Chunked(chunks) = look.body() {
            // SAFETY: the assert above leaves LIST bytes for the body; the item is this function's.
            unsafe { chunks.begin(class) };
        }
        NewItem {
            item,
            engine,
            filled: 0,
            hv: engine.hash(plan.key),
        }
    }

    #[inline]
    pub(super) fn look(&self) -> Look<'_> {
        // SAFETY: the item is owned by self.
        unsafe { self.item.look() }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.look().key()
    }

    /// The key's hash value: whose stripe to lock for storing the item.
    #[inline]
    #[must_use]
    pub fn hv(&self) -> Hv {
        self.hv
    }

    /// Length of the value without CR LF.
    #[inline]
    #[must_use]
    pub fn value_len(&self) -> usize {
        self.look().nbytes() - 2
    }

    /// Bytes still to come, CR LF included.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.look().nbytes() - self.filled as usize
    }

    /// What is there of the value, without CR LF; `None` of one in chunks.
    #[must_use]
    pub fn whole_value(&self) -> Option<&[u8]> {
        match self.look().body() {
            Body::Whole(value) => {
                let len = self.value_len().min(self.filled as usize);
                // SAFETY: self, who alone may write, is borrowed.
                Some(&unsafe { value.bytes() }[..len])
            }
            Body::Chunked(_) => None,
        }
    }

    /// The next span to fill, not longer than [`NewItem::remaining`]; empty when complete. A large value takes its
    /// next chunk here.
    ///
    /// # Errors
    /// [`NoMemory`] when there is no chunk.
    #[inline]
    pub fn space(&mut self, me: &PerThread) -> Result<&mut [u8], NoMemory> {
        match self.look().body() {
            Body::Whole(value) => {
                // SAFETY: the item is self's alone, and the borrow of self makes the slice the only one.
                let value = unsafe { value.bytes_mut() };
                Ok(&mut value[self.filled as usize..])
            }
            // SAFETY: as above.
            Body::Chunked(chunks) => unsafe { self.chunk_space(chunks, me) },
        }
    }

    /// # Safety
    /// The slice is the only access to the value while it lives.
    #[cold]
    unsafe fn chunk_space<'a>(
        &self,
        chunks: Chunks<'a>,
        me: &PerThread,
    ) -> Result<&'a mut [u8], NoMemory> {
        let left = self.remaining();
        if left == 0 {
            return Ok(&mut []);
        }
        // SAFETY: the item is self's alone.
        if unsafe { chunks.room() } == 0 {
            let (chunk, capacity) = self.engine.next_part(left, me)?;
            let slabs = self.engine.slabs.lock();
            // SAFETY: as above; the slab lock is held.
            unsafe { chunks.append(chunk, capacity, &slabs) };
        }
        // SAFETY: as above, and the caller answers for the slice being the only one.
        let space = unsafe { chunks.space() };
        let len = space.len().min(left);
        Ok(&mut space[..len])
    }

    /// `n` bytes of the last `space` were written.
    ///
    /// # Panics
    /// When that was more than there was room for.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.remaining(), "more bytes than the value has");
        if let Body::Chunked(chunks) = self.look().body() {
            // SAFETY: the item is self's alone.
            unsafe { chunks.advance(n) };
        }
        // It is at most nbytes, which has 32 bits.
        self.filled += n as u32;
    }

    /// Fills from `bytes` as far as they go and the value has room; returns how many were taken.
    ///
    /// # Errors
    /// [`NoMemory`] when there is no chunk.
    #[inline]
    pub fn fill(&mut self, bytes: &[u8], me: &PerThread) -> Result<usize, NoMemory> {
        match self.look().body() {
            Body::Whole(value) => {
                // SAFETY: the item is self's alone, and so, as long as self is borrowed, is the slice.
                let space = &mut unsafe { value.bytes_mut() }[self.filled as usize..];
                let len = space.len().min(bytes.len());
                space[..len].copy_from_slice(&bytes[..len]);
                // It is at most nbytes, which has 32 bits.
                self.filled += len as u32;
                Ok(len)
            }
            Body::Chunked(_) => self.fill_chunks(bytes, me),
        }
    }

    fn fill_chunks(&mut self, bytes: &[u8], me: &PerThread) -> Result<usize, NoMemory> {
        let mut taken = 0;
        while taken < bytes.len() {
            let space = self.space(me)?;
            if space.is_empty() {
                break;
            }
            let len = space.len().min(bytes.len() - taken);
            space[..len].copy_from_slice(&bytes[taken..taken + len]);
            self.advance(len);
            taken += len;
        }
        Ok(taken)
    }

    /// Complete and closed by CR LF.
    #[inline]
    #[must_use]
    pub fn ends_in_crlf(&self) -> bool {
        if self.remaining() != 0 {
            return false;
        }
        if let Body::Whole(value) = self.look().body() {
            // SAFETY: self, who alone may write, is borrowed.
            return unsafe { value.bytes() }.ends_with(b"\r\n");
        }
        let mut last = [0; 2];
        // SAFETY: self, who alone may write, is borrowed.
        unsafe {
            self.look().slices(self.value_len(), &mut |part| {
                for byte in part {
                    last = [last[1], *byte];
                }
                true
            });
        }
        last == *b"\r\n"
    }

    /// Remembers that the key was given in base64.
    pub fn set_key_binary(&mut self) {
        self.look().change_flags(0, KEY_BINARY);
    }

    /// Slab class of the whole size.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.look().lru_id().class().number()
    }

    /// When it will expire, unless it is stored in such a way that it gets another's time.
    #[must_use]
    pub fn exptime(&self) -> RelTime {
        RelTime(self.look().exptime_cell().load(Ordering::Relaxed))
    }

    pub(in crate::storage) fn set_exptime(&mut self, exptime: RelTime) {
        self.look()
            .exptime_cell()
            .store(exptime.0, Ordering::Relaxed);
    }

    pub(in crate::storage) fn set_marks(&mut self, marks: Marks) {
        self.look()
            .change_flags(STALE | TOKEN_SENT, mark_bits(marks));
    }

    /// Calls `each` with the slices of what is filled, CR LF included.
    pub(in crate::storage) fn slices(&self, each: &mut dyn FnMut(&[u8]) -> bool) {
        // SAFETY: self, who alone may write, is borrowed.
        unsafe { self.look().slices(0, &mut |part| each(part)) };
    }

    /// The last touch before it becomes findable under `guard`: its reference goes over to the table.
    ///
    /// # Panics
    /// When the guard is of another engine or of another key's hash value: two could then change the item at a time,
    /// each under a guard of its own. When bytes are missing, which readers would see as they lie in memory.
    #[inline]
    pub(in crate::storage) fn into_linkable(
        self,
        now: RelTime,
        cas: CasId,
        generation: u32,
        guard: &BucketGuard<'_>,
    ) -> ItemPtr {
        assert!(
            ptr::eq(self.engine, guard.engine()),
            "an item is linked in the engine that its memory is of"
        );
        assert!(
            self.hv == guard.hv(),
            "an item is linked under the guard of its own bucket"
        );
        assert!(
            self.filled as usize == self.look().nbytes(),
            "only a complete value is linked"
        );
        let look = self.look();
        look.time_cell().store(now.0, Ordering::Relaxed);
        look.generation_cell().store(generation, Ordering::Relaxed);
        if let Some(field) = look.cas_field() {
            // SAFETY: the field exists, is aligned as chunks are, and the item is self's alone.
            unsafe { field.write(cas.0) };
        }
        ManuallyDrop::new(self).item
    }
}

impl Drop for NewItem {
    fn drop(&mut self) {
        // SAFETY: the only reference is self's, which ends here.
        unsafe { self.item.release(self.engine) };
    }
}
