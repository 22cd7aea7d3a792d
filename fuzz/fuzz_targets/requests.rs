#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainference_gateway::fuzzing::requests(data));
