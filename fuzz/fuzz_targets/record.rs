//! The owner record: any bytes that may stand in a lock file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnlock::testing::record(bytes));
