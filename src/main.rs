//! The command `turnlock`.
fn main() {}
