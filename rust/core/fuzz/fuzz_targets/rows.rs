#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|content: &[u8]| common::read(".rows", content));
