//! Arguments, logging, exit codes; everything else is in the library.
//!
//! Exit codes: 0 done; 1 failed, systemd starts the unit again; 2 arguments that are none; 78
//! (`EX_CONFIG` of sysexits) the configuration is wrong and starting again cures nothing.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use windlass::cli::{Command, Failure, Started, logging};

/// Two are enough for a node's boot, and a machine of 96 CPUs need not start 96 threads for it.
const THREADS: usize = 2;

/// Brings an EC2 instance up as a Kubernetes node and lets it go without dropping a request.
#[derive(Parser)]
#[command(name = "windlass", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more: every request, every file looked at.
    #[arg(short, long, global = true)]
    verbose: bool,
}

fn main() -> ExitCode {
    let started = Started::now();
    let arguments = Arguments::parse();
    logging::start(arguments.verbose);
    // One provider for everything that speaks TLS; another thread cannot have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(arguments.command, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command, started: Started) -> Result<(), Failure> {
    let runtime = runtime(&command)
        .enable_all()
        .build()
        .map_err(|error| anyhow::anyhow!("starting the runtime's threads: {error}"))?;
    runtime.block_on(command.run(started))
}

fn runtime(command: &Command) -> Builder {
    match command {
        // It waits nearly always, and on every node: no thread that waits beside it.
        Command::Watch(_) => Builder::new_current_thread(),
        _ => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(THREADS);
            builder
        }
    }
}
