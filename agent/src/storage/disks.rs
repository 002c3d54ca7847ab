//! The instance's disks, as sysfs has them: what EC2 says a disk is, is in its model's name.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::choose::{Before, is_open};
use super::mounts::Mounts;
use super::probe::{self, Content};
use crate::config::Storage;
use crate::host::Machine;

/// The kernel names disks one after the other. All that were there at the instance's start have their
/// names within this time, or there are none.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// PCI's class of NVMe controllers ("PCI Code and ID Assignment Specification").
const NVME: &str = "0x010802";

/// A disk that is not the root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// `nvme1n1`.
    pub name: String,
    /// Unique among all; that of a volume is its id without the hyphen.
    pub serial: String,
    pub content: Content,
}

/// What EC2 calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InstanceStore,
    Volume,
}

/// A disk as sysfs has it.
#[derive(Debug)]
struct Seen {
    name: String,
    kind: Kind,
    serial: String,
    /// `MAJOR:MINOR` of the disk, of its partitions, and of what is made of them.
    devices: BTreeSet<String>,
    partitions: Vec<String>,
    /// What is made of the whole disk: `md127`, `dm-0`.
    holders: Vec<String>,
}

impl Kind {
    const ALL: [Self; 2] = [Self::InstanceStore, Self::Volume];

    fn model(self) -> &'static str {
        match self {
            Self::InstanceStore => "Amazon EC2 NVMe Instance Storage",
            Self::Volume => "Amazon Elastic Block Store",
        }
    }

    fn of(model: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.model() == model)
    }

    pub(super) fn wanted(wanted: Storage) -> Self {
        if wanted.volume { Self::Volume } else { Self::InstanceStore }
    }
}

impl Disk {
    /// All of the wanted kind, by their names. They are waited for for a while.
    pub(super) async fn wait_for(
        machine: &Machine,
        wanted: Storage,
        before: Before,
    ) -> anyhow::Result<Vec<Self>> {
        let began = Instant::now();
        loop {
            let all_named = are_all_named(machine);
            let disks = Self::now(machine, wanted, before).await?;
            let clear = all_named && !disks.is_empty() && !is_open(&disks);
            if clear || began.elapsed() > PATIENCE {
                return Ok(disks);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn now(machine: &Machine, wanted: Storage, before: Before) -> anyhow::Result<Vec<Self>> {
        let mounts = Mounts::read(machine)?;
        let holds_root = |disk: &Seen| disk.devices.iter().any(|it| mounts.is_at(it, "/"));
        let mut disks = Vec::new();
        for disk in seen(machine, Kind::wanted(wanted)) {
            if !holds_root(&disk) {
                disks.push(disk.probed(machine, &mounts, before).await?);
            }
        }
        Ok(disks)
    }
}

impl Seen {
    async fn probed(
        self,
        machine: &Machine,
        mounts: &Mounts,
        before: Before,
    ) -> anyhow::Result<Disk> {
        let mounted = self.devices.iter().find_map(|device| mounts.of(device));
        let content = if let Some(place) = mounted {
            Content::Foreign(format!("is mounted at {place}"))
        } else if !self.partitions.is_empty() {
            Content::Foreign(format!("has the partitions {}", self.partitions.join(", ")))
        } else {
            let path = format!("/dev/{}", self.name);
            match (probe::device(machine, &path, &self.holders).await?, self.kind) {
                // What reading tells of an instance store that is new is not documented. Nobody has it before
                // this machine.
                (Content::Blank, Kind::InstanceStore) if before != Before::Other => Content::Blank,
                (Content::Blank, _) => probe::unsigned(machine, &path),
                (content, _) => content,
            }
        };
        Ok(Disk { name: self.name, serial: self.serial, content })
    }
}

/// Every NVMe controller on the bus has a disk with a name; of EC2's each has one.
fn are_all_named(machine: &Machine) -> bool {
    let class = |name: &String| attribute(machine, &format!("/sys/bus/pci/devices/{name}/class"));
    let controllers = names(machine, "/sys/bus/pci/devices").into_iter();
    let of_nvme = controllers.filter(|name| class(name) == NVME).count();
    let disks = names(machine, "/sys/block").into_iter().filter(|name| {
        let of = |what: &str| attribute(machine, &format!("/sys/block/{name}/{what}"));
        name.starts_with("nvme") && of("hidden") != "1" && !of("device/model").is_empty()
    });
    disks.count() >= of_nvme
}

fn seen(machine: &Machine, kind: Kind) -> Vec<Seen> {
    let names = names(machine, "/sys/block").into_iter();
    let mut seen: Vec<_> = names.filter_map(|name| look(machine, name)).collect();
    seen.retain(|disk| disk.kind == kind);
    // nvme10n1 comes after nvme9n1.
    seen.sort_by_key(|disk| (disk.name.len(), disk.name.clone()));
    seen
}

fn look(machine: &Machine, name: String) -> Option<Seen> {
    let folder = format!("/sys/block/{name}");
    let of = |what: &str| attribute(machine, &format!("{folder}/{what}"));
    // One of several ways to a disk that has a name of its own.
    if of("hidden") == "1" {
        return None;
    }
    let kind = Kind::of(&of("device/model"))?;
    let inner = names(machine, &folder);
    let is_partition = |it: &&String| !of(&format!("{it}/partition")).is_empty();
    let partitions: Vec<String> = inner.iter().filter(is_partition).cloned().collect();
    let holders = names(machine, &format!("{folder}/holders"));
    let mut devices = BTreeSet::new();
    add_devices(machine, &folder, &mut devices);
    for partition in &partitions {
        add_devices(machine, &format!("{folder}/{partition}"), &mut devices);
    }
    Some(Seen { name, kind, serial: of("device/serial"), devices, partitions, holders })
}

/// The device's own number, and those of what is made of it.
fn add_devices(machine: &Machine, folder: &str, devices: &mut BTreeSet<String>) {
    let device = attribute(machine, &format!("{folder}/dev"));
    if device.is_empty() || !devices.insert(device) {
        return;
    }
    for holder in names(machine, &format!("{folder}/holders")) {
        add_devices(machine, &format!("/sys/block/{holder}"), devices);
    }
}

/// Arrays and the like that a disk is a part of now.
pub(super) fn holders(machine: &Machine, disk: &str) -> Vec<String> {
    names(machine, &format!("/sys/block/{disk}/holders"))
}

fn names(machine: &Machine, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(machine.path(folder)).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Models and serial numbers are filled up with spaces.
fn attribute(machine: &Machine, path: &str) -> String {
    fs::read_to_string(machine.path(path)).unwrap_or_default().trim().to_owned()
}

/// `nvme1n1 (vol0123…) is mounted at /data`.
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.name, self.serial, self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    fn put(machine: &Machine, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = machine.path(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
    }

    const STORE: &str = "Amazon EC2 NVMe Instance Storage        \n";
    const VOLUME: &str = "Amazon Elastic Block Store              \n";

    #[test]
    fn a_disk_is_what_its_model_says_and_what_is_made_of_it_belongs_to_it() {
        let (_scratch, machine) = Scratch::new("disks");
        put(
            &machine,
            &[
                ("/sys/block/nvme0n1/device/model", VOLUME),
                ("/sys/block/nvme0n1/device/serial", "vol0123456789abcdef0\n"),
                ("/sys/block/nvme0n1/dev", "259:0\n"),
                ("/sys/block/nvme0n1/nvme0n1p1/partition", "1\n"),
                ("/sys/block/nvme0n1/nvme0n1p1/dev", "259:1\n"),
                ("/sys/block/nvme0n1/nvme0n1p1/holders/dm-0/x", ""),
                ("/sys/block/dm-0/dev", "253:0\n"),
                ("/sys/block/nvme10n1/device/model", STORE),
                ("/sys/block/nvme10n1/dev", "259:4\n"),
                ("/sys/block/nvme10n1/holders/md127/x", ""),
                ("/sys/block/md127/dev", "9:127\n"),
                ("/sys/block/nvme9n1/device/model", STORE),
                ("/sys/block/nvme9c0n1/device/model", STORE),
                ("/sys/block/nvme9c0n1/hidden", "1\n"),
                ("/sys/block/nvme8n1/device/model", "QEMU NVMe Ctrl\n"),
                ("/sys/block/loop0/dev", "7:0\n"),
            ],
        );
        let volumes = seen(&machine, Kind::Volume);
        let [root] = &volumes[..] else { panic!("{volumes:?}") };
        assert_eq!((root.serial.as_str(), root.kind), ("vol0123456789abcdef0", Kind::Volume));
        assert_eq!(root.devices, ["253:0", "259:0", "259:1"].map(str::to_owned).into());
        assert_eq!(root.partitions, ["nvme0n1p1"]);
        put(&machine, &[("/sys/bus/pci/devices/0000:00:1e.0/class", "0x010802\n")]);
        assert!(are_all_named(&machine));
        for number in 0..4 {
            let class = format!("/sys/bus/pci/devices/0000:00:1f.{number}/class");
            put(&machine, &[(&class, "0x010802\n")]);
        }
        assert!(!are_all_named(&machine), "five controllers, and four disks that are one each");
        let stores = seen(&machine, Kind::InstanceStore);
        let names: Vec<_> = stores.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(names, ["nvme9n1", "nvme10n1"]);
        assert_eq!(stores[1].holders, ["md127"]);
        assert_eq!(stores[1].devices, ["259:4", "9:127"].map(str::to_owned).into());
    }

    #[tokio::test(start_paused = true)]
    async fn the_roots_disk_is_never_among_them_whatever_lies_between() {
        let (_scratch, machine) = Scratch::new("disks-root");
        put(
            &machine,
            &[
                ("/sys/class/nvme/nvme0/model", VOLUME),
                ("/sys/block/nvme0n1/device/model", VOLUME),
                ("/sys/block/nvme0n1/dev", "259:0\n"),
                ("/sys/block/nvme0n1/holders/dm-0/x", ""),
                ("/sys/block/dm-0/dev", "253:0\n"),
                ("/proc/self/mountinfo", "22 1 253:0 / / rw - xfs /dev/mapper/root rw\n"),
            ],
        );
        let wanted = Storage { volume: true, ..Storage::default() };
        let began = Instant::now();
        assert_eq!(Disk::wait_for(&machine, wanted, Before::Nothing).await.expect("looked"), []);
        assert!(began.elapsed() >= PATIENCE, "another one may come: {:?}", began.elapsed());
        let data = "22 1 253:0 / /data rw - xfs /dev/mapper/root rw\n";
        put(&machine, &[("/proc/self/mountinfo", data)]);
        let found = Disk::wait_for(&machine, wanted, Before::Nothing).await.expect("looked");
        let wanted = Content::Foreign("is mounted at /data".to_owned());
        assert_eq!(found.iter().map(|disk| &disk.content).collect::<Vec<_>>(), [&wanted]);
    }
}
