//! Throw-away network namespaces: each test gets a thread of its own in a namespace of its own, on
//! the real kernel. Both are gone when the test ends, however it ends.
//!
//! Needs root, and says so rather than skip anything.

use std::future::Future;

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
