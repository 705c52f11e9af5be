//! What belongs to other programs: their names, words and places, and the formats of their session
//! files. No other room knows these.

pub(crate) mod format;
pub(crate) mod openclaw;
