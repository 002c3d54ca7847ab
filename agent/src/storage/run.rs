//! Programs that are run to their end.

use std::process::{Output, Stdio};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// As it ended, well or badly.
pub(super) async fn output(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut run = Command::new(program);
    // Words that are looked for are English ones. Nobody answers a question: the answer is no.
    run.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    run.output().await.with_context(|| {
        format!("`{program}` cannot be run\nhint: `windlass bake --check` names its package")
    })
}

/// Its standard output, where it ended well.
pub(super) async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = output(program, arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{program} {}` failed ({}): {}",
        arguments.join(" "),
        output.status,
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
