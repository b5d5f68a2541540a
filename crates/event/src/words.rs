//! Looking at eight bytes at once: most texts of an event are names and ids, too short for wider registers.

const ONES: u64 = u64::from_le_bytes([1; 8]);
/// The high bit of every byte.
pub(crate) const HIGH: u64 = ONES << 7;

/// Marks with its high bit each byte that is below `bound`, which is at most 0x80. A borrow can only spoil
/// marks behind the first true one, so the first of all is right, and so is that there is none.
pub(crate) fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH
}

/// Marks in the same way each byte that is this one.
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}
