//! Throw-away network namespaces: each test gets a thread of its own in a namespace of its own, on
//! the real kernel. Both are gone when the test ends, however it ends.
//!
//! Needs root, `ip` and `nft`, and says so rather than skip anything. What somebody else does to a
//! node's network is done by `ip` and `nft`, as somebody would.

pub mod booted;
pub mod node;

use std::future::Future;
use std::io::Write;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` in a new network namespace, on a runtime that never leaves its thread.
///
/// # Panics
///
/// When `test` does, or when the kernel does not give us a namespace.
pub fn in_new_namespace<T, F>(test: T)
where
    T: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let ran = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
    if let Err(panic) = ran.join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` with these arguments, as a shell would split them; what it said.
pub fn ip(arguments: &str) -> String {
    run("ip", arguments, "")
}

/// Commands of `ip`, a line each, in one go.
pub fn ip_batch(lines: &str) {
    run("ip", "-batch -", lines);
}

/// `nft` with these arguments.
pub fn nft(arguments: &str) -> String {
    run("nft", arguments, "")
}

/// What nft reads from a file.
pub fn nft_file(text: &str) {
    run("nft", "-f -", text);
}

fn run(program: &str, arguments: &str, input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` cannot be run: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program} {arguments}`: {said}");
    writing.join().expect("no panic").expect("written");
    String::from_utf8(output.stdout).expect("text")
}
