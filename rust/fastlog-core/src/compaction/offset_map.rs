//! The map of keys: the latest offset of every key of the dirty part (Kafka: `SkimpyOffsetMap`).
//!
//! Open addressing in one allocation of fixed size. A slot holds the hash of a key, not the key.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::slice_from_raw_parts_mut;

use crate::compaction::keyed_hash::{KeyHash, KeyedHash};
use crate::error::{Error, Result};

/// Hash and offset; an offset is stored one larger, so that zeroed memory is an empty map.
type Slot = [u64; 3];

/// Bytes of one slot.
const SLOT_BYTES: usize = size_of::<Slot>();

/// Of six slots five may be used: beyond that a search for a key that is not there gets long.
const LOAD: (u64, u64) = (5, 6);

/// Slots of a map with room for so many keys.
fn slots_for(keys: u64) -> u64 {
    (keys / LOAD.0)
        .saturating_mul(LOAD.1)
        .saturating_add(keys % LOAD.0 + 1)
        .saturating_add(1)
}

/// So many empty slots, zeroed by the operating system, page by page as they are used.
#[allow(clippy::cast_ptr_alignment)] // the layout asks for the alignment of slots
fn empty_slots(count: usize) -> Result<Vec<Slot>> {
    let lacking = || Error::OutOfMemory(count.saturating_mul(SLOT_BYTES));
    let layout = Layout::array::<Slot>(count).map_err(|_| lacking())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the size of the layout is not zero.
    let block = unsafe { alloc_zeroed(layout) };
    if block.is_null() {
        return Err(lacking());
    }
    // SAFETY: the block comes from the global allocator with the layout of `count` slots, this is its only owner, and
    // all of its bytes are zero, which is a slot.
    let slots = unsafe { Box::from_raw(slice_from_raw_parts_mut(block.cast::<Slot>(), count)) };
    Ok(slots.into_vec())
}

/// Latest offset by key.
#[derive(Debug)]
pub struct OffsetMap {
    hash: KeyedHash,
    slots: Vec<Slot>,
    len: usize,
    /// Keys for which there is room.
    most: usize,
}

impl OffsetMap {
    /// A map with room for `keys` keys, or for as many as `memory_bytes` allow.
    ///
    /// Fails with [`Error::InvalidArgument`] when that is not one, with [`Error::OutOfMemory`] when there is no such
    /// memory.
    pub fn new(keys: u64, memory_bytes: usize) -> Result<Self> {
        Self::with_hash(keys, memory_bytes, KeyedHash::random())
    }

    fn with_hash(keys: u64, memory_bytes: usize, hash: KeyedHash) -> Result<Self> {
        let slots = slots_for(keys).min((memory_bytes / SLOT_BYTES) as u64);
        // One slot always stays empty, which is where every search ends.
        let most = keys.min(slots * LOAD.0 / LOAD.1).min(slots.saturating_sub(1));
        if most == 0 && keys > 0 {
            return Err(Error::InvalidArgument(format!(
                "{memory_bytes} bytes have no room for a key"
            )));
        }
        Ok(Self {
            hash,
            slots: empty_slots(slots as usize)?,
            len: 0,
            most: most as usize,
        })
    }

    /// The hash that stands for a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hash.hash(key)
    }

    /// Fetches the memory in which the search for `hash` begins. The result has no meaning. Searches of many
    /// keys are several times as fast when all of them are touched first, since the waits overlap.
    #[inline]
    pub fn touch(&self, hash: KeyHash) -> u64 {
        if self.slots.is_empty() {
            return 0;
        }
        self.slots[self.home(hash)][2]
    }

    /// The latest offset of a key.
    #[inline]
    pub fn get(&self, hash: KeyHash) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        let found = self.find(hash);
        let stored = self.slots[found][2];
        (stored != 0).then(|| (stored - 1) as i64)
    }

    /// Notes an offset of a key, which must not be negative. The larger one stays.
    ///
    /// Returns whether there was room: a full map still takes offsets of the keys that it has.
    #[inline]
    pub fn put(&mut self, hash: KeyHash, offset: i64) -> bool {
        debug_assert!(offset >= 0);
        if self.slots.is_empty() {
            return false;
        }
        let found = self.find(hash);
        let stored = offset as u64 + 1;
        let slot = &mut self.slots[found];
        if slot[2] == 0 {
            if self.len == self.most {
                return false;
            }
            self.len += 1;
            *slot = [hash[0], hash[1], stored];
        } else {
            slot[2] = slot[2].max(stored);
        }
        true
    }

    /// Keys in the map.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the allocation.
    pub fn memory_bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    /// The upper bits choose the slot: a multiplication instead of a division.
    #[inline]
    fn home(&self, hash: KeyHash) -> usize {
        ((u128::from(hash[0]) * self.slots.len() as u128) >> 64) as usize
    }

    /// The slot of a key, or the empty one in which it would be put.
    #[inline]
    fn find(&self, hash: KeyHash) -> usize {
        let mut at = self.home(hash);
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || (slot[0] == hash[0] && slot[1] == hash[1]) {
                return at;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn behaves_like_a_hash_map() {
        let mut map = OffsetMap::new(3000, usize::MAX).unwrap();
        let mut model = HashMap::new();
        for offset in 0..20_000_i64 {
            let key = format!("key-{}", offset * 7919 % 3000);
            let hash = map.hash(key.as_bytes());
            assert!(map.put(hash, offset));
            model.insert(key, offset);
        }
        assert_eq!((map.len(), map.most), (3000, 3000));
        for (key, offset) in &model {
            assert_eq!(map.get(map.hash(key.as_bytes())), Some(*offset));
        }
        for absent in 3000..9000 {
            assert_eq!(map.get(map.hash(format!("key-{absent}").as_bytes())), None);
        }
    }

    #[test]
    fn hashes_that_begin_at_the_same_slot_are_told_apart() {
        let mut map = OffsetMap::new(40, usize::MAX).unwrap();
        // All of them begin in the last slot and go on at the first; half of them differ in the second word only.
        for n in 0..20 {
            assert!(map.put([u64::MAX, n], n as i64));
            assert!(map.put([u64::MAX - 1 - n, 7], 100 + n as i64));
        }
        assert!(!map.put([u64::MAX, 20], 20), "full");
        for n in 0..20 {
            assert_eq!(map.get([u64::MAX, n]), Some(n as i64));
            assert_eq!(map.get([u64::MAX - 1 - n, 7]), Some(100 + n as i64));
        }
        assert_eq!(map.get([u64::MAX, 20]), None);
    }

    #[test]
    fn the_larger_offset_stays_and_a_full_map_takes_known_keys() {
        let mut map = OffsetMap::new(1_000_000, 10 * SLOT_BYTES).unwrap();
        assert_eq!(map.most, 8);
        for key in 0..8_u64 {
            assert!(map.put(map.hash(&key.to_be_bytes()), 10));
        }
        let known = map.hash(&3_u64.to_be_bytes());
        assert!(!map.put(map.hash(b"new"), 11));
        assert!(map.put(known, 12));
        assert!(map.put(known, 9));
        assert_eq!(map.get(known), Some(12));
        assert!(map.put(known, i64::MAX - 1));
        assert_eq!(map.get(known), Some(i64::MAX - 1));
        assert_eq!(map.len(), 8);
    }

    #[test]
    fn memory_follows_the_keys_up_to_the_limit() {
        for keys in [1, 2, 5, 6, 1000, 1_000_000] {
            let map = OffsetMap::new(keys, usize::MAX).unwrap();
            assert_eq!(map.most as u64, keys);
            assert_eq!(map.memory_bytes() as u64, slots_for(keys) * SLOT_BYTES as u64);
        }
        assert_eq!(slots_for(1_000_000) * SLOT_BYTES as u64, 28_800_048);
        let map = OffsetMap::new(u64::MAX, 1 << 20).unwrap();
        assert!(map.memory_bytes() <= 1 << 20);
        assert!(map.most > 36_000);
        assert!(OffsetMap::new(0, 0).unwrap().get([1, 2]).is_none());
        assert!(!OffsetMap::new(0, 0).unwrap().put([1, 2], 1));
        assert!(matches!(
            OffsetMap::new(u64::MAX, usize::MAX),
            Err(Error::OutOfMemory(_))
        ));
        for memory in [0, 1, SLOT_BYTES] {
            assert!(matches!(
                OffsetMap::new(1, memory),
                Err(Error::InvalidArgument(_))
            ));
        }
    }
}
