//! `lab`: the local region and all around it, as a tool. `cargo lab` and `cargo demo` run this.

use std::process::ExitCode;

fn main() -> ExitCode {
    integration::lab::cli::main()
}
