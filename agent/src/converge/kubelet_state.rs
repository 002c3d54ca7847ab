//! What kubelet remembers of the CPUs and the memory that it assigned. It does not start with a file of
//! another policy, nor, with the static ones, of a machine with other CPUs or memory or reservations: an
//! instance that was stopped and started may be of another type.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::Deserialize;

use super::Ensured;
use crate::host::Machine;

/// Times of files are a little behind; no machine comes up within a second.
const CLOCK: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    policy_name: String,
}

/// The file is of this boot of the machine and of this policy, or there is none.
pub(super) fn ensure_state(
    machine: &Machine,
    file: &Path,
    policy: Option<&str>,
) -> anyhow::Result<Ensured> {
    if !is_void(machine, file, policy)? {
        return Ok(Ensured::Unchanged);
    }
    fs::remove_file(machine.path(file))
        .with_context(|| format!("removing {}, which is void", file.display()))?;
    Ok(Ensured::Changed)
}

/// Whether it is of another policy, or of containers that ended with an earlier boot of the kernel.
/// What cannot be read is kubelet's to judge.
pub(super) fn is_void(
    machine: &Machine,
    file: &Path,
    policy: Option<&str>,
) -> anyhow::Result<bool> {
    let Some(text) = machine.read(file)? else { return Ok(false) };
    let written = fs::metadata(machine.path(file)).and_then(|metadata| metadata.modified())?;
    let booted = SystemTime::now().checked_sub(machine.since_boot()?);
    if booted.is_some_and(|booted| written + CLOCK < booted) {
        return Ok(true);
    }
    let state: Option<State> = serde_json::from_slice(&text).ok();
    Ok(state.zip(policy).is_some_and(|(state, policy)| state.policy_name != policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    const STATE: &str = r#"{"policyName":"none","defaultCpuSet":"","checksum":1353318690}"#;

    #[test]
    fn what_was_assigned_by_another_policy_or_in_another_boot_is_forgotten_and_nothing_else() {
        let (_scratch, machine) = Scratch::new("kubelet-state");
        let file = Path::new("/var/lib/kubelet/cpu_manager_state");
        let path = machine.path(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let ensure = |policy| ensure_state(&machine, file, policy).expect("looked at");
        assert_eq!(ensure(Some("static")), Ensured::Unchanged, "there is none");
        fs::write(&path, STATE).expect("a file");
        assert_eq!(ensure(Some("none")), Ensured::Unchanged);
        assert_eq!(ensure(None), Ensured::Unchanged, "whatever it is");
        assert_eq!(ensure(Some("static")), Ensured::Changed);
        assert!(!path.exists());
        fs::write(&path, "half a fi").expect("a file");
        assert_eq!(ensure(Some("static")), Ensured::Unchanged);

        fs::write(&path, STATE).expect("a file");
        let before = SystemTime::now() - Duration::from_secs(3600);
        let opened = fs::File::options().write(true).open(&path).expect("a file");
        opened.set_modified(before).expect("set");
        assert_eq!(ensure(Some("none")), Ensured::Changed, "its containers ended with that boot");
    }
}
