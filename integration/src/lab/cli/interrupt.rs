//! Ctrl-C tidies up as well.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, raise};

use crate::lab::daemon;

/// From now on, Ctrl-C ends these labs and then this program.
pub fn end_when_interrupted(labs: &[&str]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for Ctrl-C")?;
    let labs: Vec<String> = labs.iter().map(|name| (*name).to_owned()).collect();
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("\ninterrupted, tidying up");
            for name in labs {
                let _ = daemon::end(&name);
            }
            // Whoever waits for this program shall see that it was ended.
            let _ = raise(Signal::SIGTERM);
        }
    });
    Ok(())
}
