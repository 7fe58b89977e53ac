//! The whole handler: whatever stands in a request's body, each door answers it.
#![no_main]

#[path = "../handler.rs"]
mod handler;

libfuzzer_sys::fuzz_target!(|body: &[u8]| handler::every_door(body));
