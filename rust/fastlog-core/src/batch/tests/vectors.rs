//! Batches written by kafka-python 3.0.12 (`kafka.record.default_records`), as hex.

/// Offsets 0..=2, timestamps 1700000000000, +5, +3: (`key`, `value`, headers h=`1` and n=null),
/// (null, `second`), (`k3`, null). No producer id, no codec.
pub const PLAIN_THREE: &str = "00000000000000000000005d0000000002989158c60000000000020000018bcfe568000000018bcfe56805\
     ffffffffffffffffffffffffffff000000032a000000066b65790a76616c75650402680231026e01\
     18000a02010c7365636f6e640010000604046b330100";

/// The bytes of a hex string; spaces are skipped.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hex digit") as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
