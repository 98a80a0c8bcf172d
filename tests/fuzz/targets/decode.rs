//! See `checks/decode.rs`; here besides: decoding takes no more memory than the message's size explains.
#![no_main]

#[path = "../checks/decode.rs"]
mod decode;

use std::sync::LazyLock;

use channel_sync::contract::Limits;
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(BUILT_IN).unwrap());

/// A tree of JSON takes some dozen bytes for each value, and the shortest value has two; a number may be written out
/// to some hundred digits.
const BYTES_FOR_A_BYTE: usize = 500;
/// Reasons, hashes, the first pages of a list.
const BYTES_ANYWAY: usize = 64 * 1024;

fuzz_target!(|input: &[u8]| {
    LazyLock::force(&CATALOGUE);
    let message = decode::message(input);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let decoded = channel_sync::contract::decode(&message, &CATALOGUE, &Limits::default());
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let most = BYTES_ANYWAY + BYTES_FOR_A_BYTE * input.len();
    assert!(taken <= most, "{taken} bytes for {}", input.len());
    drop(decoded);
    decode::check(input);
});
