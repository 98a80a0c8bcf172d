//! See `checks/http.rs`.
#![no_main]

#[path = "../checks/http.rs"]
mod http;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| http::check(input));
