//! What kubelet remembers of what it assigned by a policy for CPUs or memory.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::Ensured;
use crate::host::Machine;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    policy_name: String,
}

/// The file is of this policy, or there is none: kubelet does not start with another one's.
pub(super) fn ensure_state(
    machine: &Machine,
    file: &Path,
    policy: &str,
) -> anyhow::Result<Ensured> {
    if !is_of_another(machine, file, policy)? {
        return Ok(Ensured::Unchanged);
    }
    fs::remove_file(machine.path(file))
        .with_context(|| format!("removing {}, which is of another policy", file.display()))?;
    Ok(Ensured::Changed)
}

/// Whether it is of another policy. What cannot be read is kubelet's to judge.
pub(super) fn is_of_another(machine: &Machine, file: &Path, policy: &str) -> anyhow::Result<bool> {
    let Some(text) = machine.read(file)? else { return Ok(false) };
    let state: Option<State> = serde_json::from_slice(&text).ok();
    Ok(state.is_some_and(|state| state.policy_name != policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    #[test]
    fn what_was_assigned_by_another_policy_is_forgotten_and_nothing_else() {
        let (_scratch, machine) = Scratch::new("kubelet-state");
        let file = Path::new("/var/lib/kubelet/cpu_manager_state");
        let path = machine.path(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let ensure = |policy| ensure_state(&machine, file, policy).expect("looked at");
        assert_eq!(ensure("static"), Ensured::Unchanged, "there is none");
        let text = r#"{"policyName":"none","defaultCpuSet":"","checksum":1353318690}"#;
        fs::write(&path, text).expect("a file");
        assert_eq!(ensure("none"), Ensured::Unchanged);
        assert_eq!(ensure("static"), Ensured::Changed);
        assert!(!path.exists());
        fs::write(&path, "half a fi").expect("a file");
        assert_eq!(ensure("static"), Ensured::Unchanged);
    }
}
