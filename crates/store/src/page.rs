//! A part of a list.

/// Which part of a list: newest first, so many of them, from a place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most so many rows; drivers give no more than 1,000.
    pub limit: usize,
    /// Rows to pass over first.
    pub offset: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 100, offset: 0 }
    }
}
