//! The `waypost` command.

use std::process::ExitCode;

/// Events are made on one thread and let go of on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    waypost::cli::main()
}
