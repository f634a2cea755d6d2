//! The four codecs of record batches.

use crate::error::{Error, Result};

/// How the records of a batch are compressed. The numbers are those of the batch attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// snappy in xerial framing; raw blocks are understood too.
    Snappy = 2,
    /// lz4 frames.
    Lz4 = 3,
    /// zstd (RFC 8878).
    Zstd = 4,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this number in the batch attributes.
    #[inline]
    pub fn from_id(id: u8) -> Result<Self> {
        match Self::ALL.get(usize::from(id)) {
            Some(codec) => Ok(*codec),
            None => Err(Error::Malformed(format!("unknown codec {id}"))),
        }
    }

    /// The number in the batch attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with this name; `uncompressed` is Kafka's topic-level word for none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uncompressed" => Some(Self::None),
            _ => Self::ALL.into_iter().find(|codec| codec.name() == name),
        }
    }
}
