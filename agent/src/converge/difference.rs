//! What [`ensure`](super::ensure) would change, without changing it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use similar::TextDiff;

use super::kernel::found_sysctl;
use super::kubelet_state::is_void;
use super::memory::{found_hugepages, swaps};
use super::network::Diff;
use super::network::filter::is_planned;
use super::programs;
use super::units::{Need, need};
use crate::host::Machine;
use crate::plan::image::NFT;
use crate::plan::network::{PacketFilter, PodNetwork};
use crate::plan::{File, HostPlan};

/// Every difference between the host and the plan, as a person reads a patch; empty where there is
/// none.
pub async fn difference(machine: &Machine, plan: &HostPlan) -> anyhow::Result<String> {
    let mut text = String::new();
    let missing: Vec<_> = programs::missing(machine, &plan.programs).collect();
    for program in &missing {
        writeln!(text, "program {program}: absent, and the image must have it")?;
    }
    for file in &plan.files {
        text += &file_difference(machine, file)?;
    }
    for (name, wanted) in &plan.sysctls {
        match found_sysctl(machine, name) {
            Ok(found) if found.split_whitespace().eq(wanted.split_whitespace()) => {}
            Ok(found) => writeln!(text, "sysctl {name}: {} -> {wanted}", found.trim())?,
            Err(_) => writeln!(text, "sysctl {name}: absent -> {wanted}")?,
        }
    }
    for (size, wanted) in &plan.hugepages {
        match found_hugepages(machine, *size) {
            Ok(found) if found == *wanted => {}
            Ok(found) => writeln!(text, "huge pages of {size}: {found} -> {wanted}")?,
            Err(_) => writeln!(text, "huge pages of {size}: absent -> {wanted}")?,
        }
    }
    for device in swaps(machine)?.iter().filter(|_| plan.swap_off) {
        writeln!(text, "swap on {device}: on -> off")?;
    }
    for (file, policy) in &plan.kubelet_states {
        if is_void(machine, file, policy.as_deref())? {
            writeln!(text, "{}: of another policy or boot, to be removed", file.display())?;
        }
    }
    if let Some(wanted) = &plan.network {
        text += &network_difference(machine, wanted).await?;
    }
    if let Some(wanted) = &plan.packet_filter {
        let has_nft = !missing.contains(&NFT);
        let found = if has_nft { machine.packet_filter().await? } else { None };
        text += &filter_difference(found.unwrap_or_default(), wanted);
    }
    let names: Vec<_> = plan.units.iter().map(|unit| unit.name.as_str()).collect();
    let found = machine.unit_states(&names).await?;
    for unit in &plan.units {
        match need(machine, unit, &found) {
            Need::Nothing => {}
            Need::Start => writeln!(text, "unit {}: would be started", unit.name)?,
            Need::Restart => writeln!(text, "unit {}: would be restarted", unit.name)?,
        }
    }
    Ok(text)
}

async fn network_difference(machine: &Machine, wanted: &PodNetwork) -> anyhow::Result<String> {
    let diff = Diff::between(&machine.ways(wanted).await?, wanted);
    let mut text = String::new();
    for entry in diff.add {
        writeln!(text, "{entry}: absent -> present")?;
    }
    for entry in diff.remove {
        writeln!(text, "{entry}: present -> absent")?;
    }
    Ok(text)
}

fn filter_difference(found: String, wanted: &PacketFilter) -> String {
    if is_planned(&found, wanted) {
        return String::new();
    }
    let wanted = wanted.to_string();
    let diff = TextDiff::from_lines(found.as_str(), wanted.as_str());
    diff.unified_diff().header("nftables, found", "nftables, planned").to_string()
}

fn file_difference(machine: &Machine, file: &File) -> anyhow::Result<String> {
    let found = machine.read(&file.path)?;
    let mode = fs::metadata(machine.path(&file.path)).map(|it| it.permissions().mode() & 0o7777);
    let path = file.path.display();
    let mut text = String::new();
    if let Ok(mode) = mode
        && mode != file.mode
    {
        writeln!(text, "mode of {path}: {mode:04o} -> {:04o}", file.mode)?;
    }
    let before = found.as_deref().map(String::from_utf8_lossy);
    if before.as_deref() == Some(&file.contents) {
        return Ok(text);
    }
    let from = if before.is_some() { format!("{path}") } else { "/dev/null".to_owned() };
    let before = before.unwrap_or_default();
    let diff = TextDiff::from_lines(before.as_ref(), file.contents.as_str());
    write!(text, "{}", diff.unified_diff().header(&from, &format!("{path}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::converge::files::tests::Scratch;
    use crate::converge::{ensure, ensure_units};
    use crate::plan::Unit;
    use crate::plan::network::{Route, Way};

    fn plan() -> HostPlan {
        let path = PathBuf::from("/etc/kubernetes/kubelet.env");
        let route = Route {
            destination: "10.128.0.0/24".parse().expect("a CIDR"),
            table: 254,
            way: Way::Blackhole,
            metric: 4096,
        };
        HostPlan {
            files: vec![File {
                path: path.clone(),
                mode: 0o644,
                contents: "A=1\nB=3\n".to_owned(),
            }],
            sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
            packet_filter: Some(PacketFilter::default()),
            network: Some(PodNetwork { routes: [route].into(), ..PodNetwork::default() }),
            units: vec![Unit {
                name: "kubelet.service".to_owned(),
                restarted_by: BTreeSet::from([path]),
            }],
            ..HostPlan::default()
        }
    }

    #[tokio::test]
    async fn what_the_image_lacks_is_said_beside_the_rest() {
        let (_scratch, machine) = Scratch::new("lacking");
        let wanted = HostPlan { programs: BTreeSet::from([NFT]), ..plan() };
        let text = difference(&machine, &wanted).await.expect("a difference");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "program nft: absent, and the image must have it");
        assert!(lines.contains(&"unit kubelet.service: would be started"), "{text}");
    }

    #[tokio::test]
    async fn a_plan_that_was_carried_out_leaves_no_difference() {
        let (_scratch, machine) = Scratch::new("difference");
        for (path, text) in [
            ("/etc/kubernetes/kubelet.env", "A=1\nB=2\n"),
            ("/proc/sys/net/ipv4/ip_forward", "0\n"),
        ] {
            std::fs::create_dir_all(machine.path(path).parent().expect("a folder")).expect("made");
            std::fs::write(machine.path(path), text).expect("written");
        }
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(machine.path("/etc/kubernetes/kubelet.env"), mode).expect("set");
        let wanted = "\
mode of /etc/kubernetes/kubelet.env: 0600 -> 0644
--- /etc/kubernetes/kubelet.env
+++ /etc/kubernetes/kubelet.env
@@ -1,2 +1,2 @@
 A=1
-B=2
+B=3
sysctl net.ipv4.ip_forward: 0 -> 1
route blackhole 10.128.0.0/24 metric 4096: absent -> present
--- nftables, found
+++ nftables, planned
@@ -0,0 +1,9 @@
+table inet windlass {
+	chain forward {
+		type filter hook forward priority filter; policy accept;
+	}
+
+	chain postrouting {
+		type nat hook postrouting priority srcnat; policy accept;
+	}
+}
unit kubelet.service: would be started
";
        assert_eq!(difference(&machine, &plan()).await.expect("a difference"), wanted);
        assert_eq!(difference(&machine, &plan()).await.expect("a difference"), wanted, "untouched");

        ensure(&machine, &plan()).await.expect("carried out");
        let found = machine.unit_states(&["kubelet.service"]).await.expect("states");
        ensure_units(&machine, &plan().units, &found).await.expect("started");
        assert_eq!(difference(&machine, &plan()).await.expect("a difference"), "");

        let env = machine.path("/etc/kubernetes/kubelet.env");
        std::fs::write(&env, "A=1\nB=3\n").expect("written again, later than kubelet's start");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
        std::fs::File::open(&env).and_then(|file| file.set_modified(later)).expect("a later time");
        let wanted = "unit kubelet.service: would be restarted\n";
        assert_eq!(difference(&machine, &plan()).await.expect("a difference"), wanted);
    }
}
