//! Any headers on a request and on an answer: nothing panics.
#![no_main]

mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| reading::read(message));
