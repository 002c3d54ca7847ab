//! `cargo bench` is `cargo lab bench`, whose arguments it takes: `cargo bench -- --boots 3`. A package
//! of its own, without dependencies, so that nothing is compiled again for the sake of its profile.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Cargo's own, for benchmarks with its harness.
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--bench");
    let mut lab = Command::new(cargo);
    lab.args(["run", "--quiet", "--package", "integration", "--bin", "lab", "--", "bench"]);
    match lab.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
