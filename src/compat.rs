//! What belongs to other programs: their names, words and places. No other room knows these.

pub(crate) mod openclaw;
