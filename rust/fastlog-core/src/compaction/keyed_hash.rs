//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein), which stands for a key in the map of keys.
//!
//! Two keys with the same hash would lose a record. With a secret key this is a pseudo-random function: nobody
//! who writes records can look for such a pair, and by chance a thousand million keys hold one with a
//! probability of 1.5e-21. (MD5, which Kafka uses here, has known pairs.)

use std::hash::{BuildHasher, RandomState};

/// A hashed key.
pub type KeyHash = [u64; 2];

/// A hash function of its own.
#[derive(Debug, Clone, Copy)]
pub struct KeyedHash {
    k0: u64,
    k1: u64,
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn squeeze(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

impl KeyedHash {
    /// The function with this key.
    pub fn new(k0: u64, k1: u64) -> Self {
        Self { k0, k1 }
    }

    /// A function that nobody else knows.
    pub fn random() -> Self {
        // The standard library keys its hash maps from the operating system's random numbers.
        Self::new(
            RandomState::new().hash_one(0_u64),
            RandomState::new().hash_one(1_u64),
        )
    }

    /// The hash of `bytes`.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> KeyHash {
        let mut state = State {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
        };
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        let mut last = (bytes.len() as u64) << 56;
        for (index, byte) in rest.iter().enumerate() {
            last |= u64::from(*byte) << (8 * index);
        }
        state.absorb(last);
        state.v2 ^= 0xee;
        let first = state.squeeze();
        state.v1 ^= 0xdd;
        [first, state.squeeze()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_test_vectors() {
        let hash = KeyedHash::new(
            u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]),
            u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15]),
        );
        let hex = |len: u8| {
            let input: Vec<u8> = (0..len).collect();
            let bytes = hash.hash(&input).map(u64::to_le_bytes).concat();
            bytes
                .iter()
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
        };
        assert_eq!(hex(0), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(1), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(hex(15), "5493e99933b0a8117e08ec0f97cfc3d9");
    }

    #[test]
    fn functions_differ() {
        assert_ne!(KeyedHash::random().hash(b"key"), KeyedHash::random().hash(b"key"));
    }
}
