//! See `checks/configuration.rs`.
#![no_main]

#[path = "../checks/configuration.rs"]
mod configuration;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| configuration::check(input));
