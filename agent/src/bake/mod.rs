//! What an image needs so that a boot installs nothing: binaries, units, kernel settings,
//! containerd's configuration, images. All in conventional places, none of it about a cluster.

mod containerd;
mod description;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Context;

pub use description::{Binary, Description, Image};

use crate::converge::{Changes, ensure_file, ensure_symlink};
use crate::host::Machine;
use crate::plan::CREDENTIAL_PROVIDER_DIR;

const UNITS: [(&str, &str); 7] = [
    ("containerd.service", include_str!("../../../systemd/containerd.service")),
    ("kubelet.service", include_str!("../../../systemd/kubelet.service")),
    ("runtime.slice", include_str!("../../../systemd/runtime.slice")),
    ("windlass-abandon.service", include_str!("../../../systemd/windlass-abandon.service")),
    ("windlass-admit.service", include_str!("../../../systemd/windlass-admit.service")),
    ("windlass-boot.service", include_str!("../../../systemd/windlass-boot.service")),
    ("windlass-watch.service", include_str!("../../../systemd/windlass-watch.service")),
];

/// Units that start by themselves; the others are started by `windlass boot`.
const ENABLED: [&str; 2] = ["containerd.service", "windlass-boot.service"];

/// In /etc, where they take precedence over those of a distribution's packages.
const UNIT_FOLDER: &str = "/etc/systemd/system";

/// Modules that containerd's snapshots and a bridge's packet filter need.
const MODULES: &str = "overlay\nbr_netfilter\n";

/// Where an image's archives wait until containerd has imported them.
const ARCHIVES: &str = "/usr/share/windlass/images";

/// What the journal may take of an image's disk and memory.
const JOURNAL: &str = include_str!("../../../systemd/journald.conf");

/// kubelet wants its folder of fragments to be there, empty or not; systemd wants those that
/// windlass-boot.service may write to.
const FOLDERS: [&str; 6] = [
    "/etc/kubernetes/kubelet.conf.d",
    "/etc/containerd/conf.d",
    "/etc/containerd/certs.d",
    "/etc/cni/net.d",
    "/etc/systemd/networkd.conf.d",
    "/var/lib/kubelet",
];

/// Puts all that `description` names into the machine's root directory.
pub async fn bake(machine: &Machine, description: &Description) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for binary in &description.binaries {
        let contents = source::fetch(&binary.from, binary.sha256.as_ref()).await?;
        put(machine, &mut changes, &place(binary)?, 0o755, &contents)?;
    }
    for image in &description.images {
        let contents = source::fetch(&image.from, image.sha256.as_ref()).await?;
        put(machine, &mut changes, &Path::new(ARCHIVES).join(&image.name), 0o644, &contents)?;
    }
    if description.binaries.iter().all(|binary| binary.name != "windlass") {
        let this = std::env::current_exe().context("where this program's file is")?;
        let contents =
            std::fs::read(&this).with_context(|| format!("reading {}", this.display()))?;
        put(machine, &mut changes, Path::new("/usr/local/bin/windlass"), 0o755, &contents)?;
    }
    for folder in FOLDERS {
        let path = machine.path(folder);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    }
    put_units(machine, &mut changes)?;
    put_settings(machine, &mut changes, description)?;
    Ok(changes)
}

fn put_units(machine: &Machine, changes: &mut Changes) -> anyhow::Result<()> {
    for (name, contents) in UNITS {
        put(machine, changes, &Path::new(UNIT_FOLDER).join(name), 0o644, contents.as_bytes())?;
    }
    for name in ENABLED {
        // What `systemctl enable` does for WantedBy=multi-user.target.
        let link = Path::new(UNIT_FOLDER).join("multi-user.target.wants").join(name);
        let ensured = ensure_symlink(machine, &link, Path::new(UNIT_FOLDER).join(name))?;
        changes.add(ensured, || link.display().to_string());
    }
    Ok(())
}

fn put_settings(
    machine: &Machine,
    changes: &mut Changes,
    description: &Description,
) -> anyhow::Result<()> {
    let containerd = containerd::configuration(&description.containerd);
    let image = serde_json::to_string_pretty(&description.image())?;
    let files = [
        ("/etc/modules-load.d/windlass.conf", MODULES.to_owned()),
        ("/etc/systemd/journald.conf.d/windlass.conf", JOURNAL.to_owned()),
        ("/etc/containerd/config.toml", containerd),
        ("/etc/windlass/image.json", image + "\n"),
    ];
    for (path, contents) in files {
        put(machine, changes, Path::new(path), 0o644, contents.as_bytes())?;
    }
    Ok(())
}

fn put(
    machine: &Machine,
    changes: &mut Changes,
    path: &Path,
    mode: u32,
    contents: &[u8],
) -> anyhow::Result<()> {
    changes.add(ensure_file(machine, path, mode, contents)?, || path.display().to_string());
    Ok(())
}

/// Where a binary goes that everybody knows by its name.
fn place(binary: &Binary) -> anyhow::Result<PathBuf> {
    if let Some(to) = &binary.to {
        return Ok(to.clone());
    }
    let folder = match binary.name.as_str() {
        "kubelet"
        | "kubectl"
        | "containerd"
        | "ctr"
        | "containerd-shim-runc-v2"
        | "runc"
        | "crictl"
        | "windlass" => "/usr/local/bin",
        "bandwidth" | "bridge" | "dhcp" | "dummy" | "firewall" | "host-device" | "host-local"
        | "ipvlan" | "loopback" | "macvlan" | "portmap" | "ptp" | "sbr" | "static" | "tap"
        | "tuning" | "vlan" | "vrf" => "/opt/cni/bin",
        "ecr-credential-provider" => CREDENTIAL_PROVIDER_DIR,
        name => anyhow::bail!(
            "`{name}` has no conventional place\nhint: say where it goes: to = \"/usr/local/bin/{name}\""
        ),
    };
    Ok(Path::new(folder).join(&binary.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    /// A tree to bake into and `bake.toml` beside it, with a kubelet to take.
    fn described(name: &str, more: &str) -> (Scratch, Machine, anyhow::Result<Description>) {
        let (scratch, machine) = Scratch::new(name);
        let beside = machine.path("/beside");
        std::fs::create_dir_all(&beside).expect("a folder");
        std::fs::write(beside.join("kubelet"), "a kubelet").expect("a file");
        let text = format!(
            "kubernetes = \"v1.37.2\"\n[[binary]]\nname = \"windlass\"\nfrom = \"kubelet\"\n{more}"
        );
        std::fs::write(beside.join("bake.toml"), text).expect("a file");
        let description = Description::read(&beside.join("bake.toml"));
        (scratch, Machine::folder(machine.path("/tree")), description)
    }

    #[tokio::test]
    async fn an_image_has_all_that_a_boot_needs_and_a_second_run_changes_nothing() {
        let kubelet = "[[binary]]\nname = \"kubelet\"\nfrom = \"kubelet\"\n";
        let (_scratch, machine, description) = described("bake", kubelet);
        let description = description.expect("a description");
        assert!(!bake(&machine, &description).await.expect("baked").is_empty());
        assert_eq!(
            machine.read_text("/usr/local/bin/kubelet").expect("read").as_deref(),
            Some("a kubelet")
        );
        for unit in ENABLED {
            let link = machine.path(UNIT_FOLDER).join("multi-user.target.wants").join(unit);
            let target = std::fs::read_link(link).expect("enabled");
            assert!(machine.path(&target).exists(), "{} is there", target.display());
        }
        let image = machine.read_text("/etc/windlass/image.json").expect("read").expect("there");
        let image: crate::facts::Image = serde_json::from_str(&image).expect("as observed");
        assert_eq!(image.kubelet_version.as_deref(), Some("v1.37.2"));
        assert!(bake(&machine, &description).await.expect("baked").is_empty());
    }

    #[tokio::test]
    async fn contents_are_believed_by_their_hash_only() {
        let wrong = format!(
            "[[binary]]\nname = \"runc\"\nfrom = \"kubelet\"\nsha256 = \"{}\"\n",
            "0".repeat(64)
        );
        let (_scratch, machine, description) = described("bake-hash", &wrong);
        let error =
            bake(&machine, &description.expect("a description")).await.expect_err("a wrong hash");
        let said = error.to_string();
        assert!(said.contains("has the SHA-256 ") && said.contains(&"0".repeat(64)), "{said}");
        assert!(!machine.path("/usr/local/bin/runc").exists());
    }

    #[tokio::test]
    async fn a_url_without_a_hash_and_a_name_without_a_place_are_refused() {
        let url = "[[binary]]\nname = \"runc\"\nfrom = \"https://runc.example/runc\"\n";
        let (_scratch, machine, description) = described("bake-url", url);
        let error =
            bake(&machine, &description.expect("a description")).await.expect_err("no hash");
        assert!(
            error.to_string().starts_with("https://runc.example/runc is a URL without a `sha256`")
        );

        let unknown = "[[binary]]\nname = \"kublet\"\nfrom = \"kubelet\"\n";
        let (_scratch, machine, description) = described("bake-name", unknown);
        let error =
            bake(&machine, &description.expect("a description")).await.expect_err("no place");
        assert_eq!(
            error.to_string(),
            "`kublet` has no conventional place\nhint: say where it goes: to = \"/usr/local/bin/kublet\""
        );
    }

    #[test]
    fn a_key_that_is_unknown_is_named() {
        let (_scratch, _, description) = described("bake-key", "[contained]\n");
        let said = format!("{:#}", description.expect_err("an unknown key"));
        assert!(said.contains("unknown field `contained`"), "{said}");
    }
}
