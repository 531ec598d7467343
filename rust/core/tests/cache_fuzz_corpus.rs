//! Everything that the fuzzer found worth keeping, read again by the code of its targets: the committed
//! corpus, and inputs that failed (`fuzz/artifacts/<target>/`,
//! where `make fuzz` leaves new ones; once understood, they move to the corpus).

use std::path::Path;

#[path = "../fuzz/fuzz_targets/common.rs"]
mod common;

#[test]
fn no_input_of_the_fuzzer_becomes_a_wrong_row() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (target, suffix) in [("log", ".log"), ("rows", ".rows"), ("manifest", "table")] {
        let mut inputs = 0;
        for folder in ["corpus", "artifacts"] {
            let Ok(files) = std::fs::read_dir(fuzz.join(folder).join(target)) else { continue };
            for file in files {
                common::read(suffix, &std::fs::read(file.unwrap().path()).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs >= 10, "the corpus of {target} has {inputs} inputs");
    }
}
