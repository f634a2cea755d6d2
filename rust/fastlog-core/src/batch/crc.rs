//! CRC-32C (Castagnoli), the checksum of record batches.
//!
//! `crc-fast` picks the widest carry-less multiply of the CPU at run time. Its fused kernel for this
//! polynomial needs SSE4.2 and PCLMULQDQ (or the ARM equivalents); elsewhere it falls back to tables.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32C of `a ++ bytes`, where `crc` is the CRC-32C of `a`.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}
