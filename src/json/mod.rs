//! JSON as it came: a cursor over raw text that decodes only what a rule names.
//!
//! A review is mostly text that no rule looks at. Reading it into a tree costs several times
//! what TLS costs, and a typed round trip drops fields newer than the client library. So the
//! object stays text: [`Cursor`] walks it once, hands out the members that a rule asks for as
//! borrowed slices, and jumps over the rest 64 bytes at a time (`scan`). The patch is written
//! the same way, by [`Patch`].
//!
//! What is skipped is checked only as far as its end must be found: strings and brackets. The
//! API server wrote it and the API server will read it.

mod cursor;
mod patch;
mod scan;
mod text;

pub use cursor::{Cursor, Kind};
pub use patch::Patch;
pub use text::{array, decode, quote, quote_all, quote_map};

/// The text is not JSON, or not of the shape that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {expected} expected")]
pub struct Error {
    /// Offset in the text that the first cursor was made of.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}
