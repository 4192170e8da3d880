//! What the fuzzer has found to be of interest, as a plain test.

use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/fuzz_targets/reading.rs"]
mod reading;

#[test]
fn the_corpus_of_headers_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/headers");

    let messages = fs::read_dir(corpus).unwrap();

    let read = messages.map(|message| reading::read(&fs::read(message.unwrap().path()).unwrap()));
    assert!(read.count() >= 20);
}
