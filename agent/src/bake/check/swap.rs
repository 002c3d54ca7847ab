//! Swap, with which kubelet does not start unless it is told to.

use super::Examination;

pub(super) fn check(examination: &mut Examination<'_>) {
    let fstab = examination.text("/etc/fstab");
    let lines = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    let swaps = lines.filter(|line| line.split_whitespace().nth(2) == Some("swap"));
    let swaps: Vec<String> = swaps.map(|line| line.trim().to_owned()).collect();
    for line in swaps {
        let hint = "take it out, or say `swap = \"limited\"` under [host] in cluster.toml";
        examination.problem(format!("/etc/fstab has swap: `{line}`"), hint);
    }
    for folder in ["/etc/systemd/system", "/usr/lib/systemd/system"] {
        for name in examination.tree.list(folder) {
            if name.ends_with(".swap") && examination.starts(&name) {
                let hint = format!("`systemctl disable {name}`");
                examination.problem(format!("the swap unit {name} is enabled"), hint);
            }
        }
    }
    for place in ["/etc/systemd/zram-generator.conf", "/usr/lib/systemd/zram-generator.conf"] {
        let text = examination.text(place);
        if text.lines().any(|line| line.trim_start().starts_with("[zram")) {
            let hint = "remove the package zram-generator-defaults, or the file";
            examination.problem(format!("{place} makes a swap of compressed memory"), hint);
        }
    }
}
