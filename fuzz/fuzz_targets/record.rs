//! The owner record: any bytes as the contents of a lock file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnlock::testing::record(bytes));
