//! Huge pages and swap.

use std::fs;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::{Changes, Ensured};
use crate::config::PageSize;
use crate::host::Machine;

const SWAPS: &str = "/proc/swaps";

/// So many pages of this size are set aside. kubelet reads their number when it starts.
///
/// Source: "HugeTLB Pages" (the kernel's documentation).
pub(super) fn ensure_hugepages(
    machine: &Machine,
    size: PageSize,
    wanted: u32,
) -> anyhow::Result<Ensured> {
    let found = found_hugepages(machine, size)?;
    if found == wanted {
        return Ok(Ensured::Unchanged);
    }
    let path = machine.path(pool(size));
    fs::write(&path, wanted.to_string())
        .with_context(|| format!("setting aside huge pages of {size} ({})", path.display()))?;
    // The kernel takes the number, and sets aside what it finds.
    let made = found_hugepages(machine, size)?;
    ensure!(
        made >= wanted,
        "the kernel has set aside {made} huge pages of {size}, wanted {wanted}\n\
         hint: there is not so much memory in one piece: ask for fewer, or reserve them on the \
         kernel's command line (hugepagesz=, hugepages=)"
    );
    Ok(Ensured::Changed)
}

/// How many there are.
pub(super) fn found_hugepages(machine: &Machine, size: PageSize) -> anyhow::Result<u32> {
    let found = machine.read_text(pool(size))?.with_context(|| {
        format!(
            "this kernel has no huge pages of {size}: there is no {}\n\
             hint: `ls /sys/kernel/mm/hugepages` lists the sizes that it has",
            pool(size)
        )
    })?;
    found.trim().parse().with_context(|| format!("{} says `{}`", pool(size), found.trim()))
}

fn pool(size: PageSize) -> String {
    format!("/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", size.0)
}

/// Nothing is swapped out.
pub(super) async fn ensure_swap_off(machine: &Machine) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for device in swaps(machine)? {
        stop_swap(&device).await.with_context(|| format!("switching off the swap on {device}"))?;
        changes.add(Ensured::Changed, || format!("swap on {device} is off"));
    }
    Ok(changes)
}

/// systemd has a unit for each (systemd.swap(5)), and the capability and the devices for it, which
/// windlass-boot.service has not.
async fn stop_swap(device: &str) -> anyhow::Result<()> {
    let unit = output("systemd-escape", &["--path", "--suffix=swap", device]).await?;
    output("systemctl", &["stop", unit.trim()]).await.map(drop)
}

async fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let run = Command::new(program).args(arguments).output().await;
    let run = run.with_context(|| format!("`{}` cannot be run", shown()))?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "`{}`: {}: {}", shown(), run.status, said.trim());
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// What is swapped to, as proc(5) lists it.
pub(super) fn swaps(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let listed = machine.read_text(SWAPS)?.unwrap_or_default();
    let device = |line: &str| line.split_whitespace().next().map(|name| name.replace("\\040", " "));
    Ok(listed.lines().skip(1).filter_map(device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    fn put(machine: &Machine, path: &str, text: &str) {
        let path = machine.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn huge_pages_are_set_aside_once_and_a_size_that_is_not_there_is_named() {
        let (_scratch, machine) = Scratch::new("hugepages");
        let size = PageSize(2048);
        put(&machine, &pool(size), "0\n");
        let ensured = [(); 2].map(|()| ensure_hugepages(&machine, size, 4).expect("set aside"));
        assert_eq!(ensured, [Ensured::Changed, Ensured::Unchanged]);
        assert_eq!(found_hugepages(&machine, size).expect("a number"), 4);
        let error = ensure_hugepages(&machine, PageSize(1 << 20), 1).expect_err("no such size");
        assert!(error.to_string().starts_with("this kernel has no huge pages of 1Gi"), "{error}");
    }

    #[tokio::test]
    async fn swap_is_seen_where_there_is_any() {
        let (_scratch, machine) = Scratch::new("swap");
        assert!(ensure_swap_off(&machine).await.expect("looked").is_empty());
        let header = "Filename\tType\tSize\tUsed\tPriority\n";
        put(
            &machine,
            SWAPS,
            &format!("{header}/dev/zram0 partition 8388604 0 100\n/my\\040swap file 4 0 -2\n"),
        );
        assert_eq!(swaps(&machine).expect("a list"), ["/dev/zram0", "/my swap"]);
    }
}
