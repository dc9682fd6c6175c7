//! How much is measured.

/// Whether `cargo bench` runs this. `cargo test --all-targets` runs benches too, unoptimised: then
/// it only has to be seen that they still run.
fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// So many, or a hundredth where nothing is measured.
pub(crate) fn size(full: u64) -> u64 {
    if measures() { full } else { full / 100 }
}

/// What a bench is told after `--`, where something is measured.
#[allow(dead_code, reason = "not every bench takes an argument")]
pub(crate) fn argument() -> Option<String> {
    std::env::args().skip(1).find(|argument| measures() && !argument.starts_with("--"))
}
