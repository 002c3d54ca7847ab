//! `windlass storage` on disks that are files behind loop devices, in a Debian tree and a mount namespace
//! that end with each start of the machine. The names of the disks come from a sysfs of the test's own;
//! formatting, mounting and copying are real. systemd is not: `systemctl` is told that it is away, and does nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::lab::artifacts::{self, Cache};
use integration::lab::cli::product;
use integration::lab::progress::Progress;
use integration::lab::run::{command, output};
use serde_json::Value;

const STORE: &str = "Amazon EC2 NVMe Instance Storage";
const VOLUME: &str = "Amazon Elastic Block Store";
const MOUNT: &str = r#"{"instance_store":"mount","volume":false}"#;

const A_VOLUME: &str = r#"{"instance_store":"unused","volume":true}"#;

const MIB: u64 = 1 << 20;

/// The tree, what a machine writes, its devices; then what runs in it, as one start of the machine.
const START: &str = r#"
root=$1 debian=$2 own=$3 windlass=$4 wanted=$5 script=$6
shift 6
mount -t overlay overlay -o "lowerdir=$debian,upperdir=$own/upper,workdir=$own/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$own/sys" "$root/sys"
for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
mknod "$root/dev/null" c 1 3
mknod "$root/dev/urandom" c 1 9
while [ $# -gt 0 ]; do mknod "$root/dev/$1" b 7 "$2"; shift 2; done
touch "$root/usr/local/bin/windlass"
mount --bind "$windlass" "$root/usr/local/bin/windlass"
mkdir -p "$root/run/windlass" "$root/var/lib/windlass" "$root/opt/watched"
printf %s "$wanted" > "$root/run/windlass/storage.json"
cd /
exec chroot "$root" env -i SYSTEMD_OFFLINE=1 PATH=/opt/watched:/usr/local/bin:/usr/sbin:/usr/bin sh -e -c "$script"
"#;

/// In place of each program that windlass runs: at the call whose number is in a file it ends windlass, before
/// the program does anything (a copy is half made then), or after.
const WATCHED: &str = r#"#!/bin/sh
program=${0##*/}
count=$(($(cat /run/count 2>/dev/null || echo 0) + 1))
echo $count > /run/count
if [ "$count" = "$(cat /run/end-before 2>/dev/null)" ]; then
    if [ $program = cp ]; then for last; do :; done; mkdir -p "$last"; echo half > "$last/half"; fi
    kill -9 $PPID
    exit 1
fi
PATH=/usr/sbin:/usr/bin
code=0
$program "$@" || code=$?
if [ "$count" = "$(cat /run/end-after 2>/dev/null)" ]; then kill -9 $PPID; fi
exit $code
"#;

/// A machine with disks. Its folder goes with it.
struct Machine {
    folder: PathBuf,
    debian: PathBuf,
    windlass: PathBuf,
    disks: Vec<Disk>,
}

/// A file behind a loop device.
struct Disk {
    file: PathBuf,
    /// `/dev/loopN`
    device: String,
}

impl Disk {
    fn new(file: PathBuf, bytes: u64) -> Self {
        fs::File::create(&file).unwrap().set_len(bytes).unwrap();
        let device = output(command("losetup", ["--find", "--show"]).arg(&file)).unwrap();
        Self { file, device: device.trim().to_owned() }
    }

    /// The loop device's minor number.
    fn number(&self) -> &str {
        self.device.strip_prefix("/dev/loop").unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = output(&mut command("losetup", ["--detach", &self.device]));
        let _ = fs::remove_file(&self.file);
    }
}

impl Machine {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (cache, progress) = (Arc::new(Cache::open().unwrap()), Progress::quiet());
        let debian = artifacts::ensure(&cache, &progress).unwrap().debian.clone();
        let windlass = product::of_this_build().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-storage-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for path in ["root", "upper/var/lib/containerd/io.containerd/blobs", "work", "sys"] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        let blob = folder.join("upper/var/lib/containerd/io.containerd/blobs/pause");
        fs::write(blob, "of the image").unwrap();
        Self { folder, debian, windlass, disks: Vec::new() }
    }

    /// `nvme1n1`, `nvme2n1`, … in place of the disks that there were: each a model and how many bytes.
    fn has(&mut self, disks: &[(&str, u64)]) {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        self.disks.clear();
        let sys = self.folder.join("sys");
        fs::remove_dir_all(&sys).unwrap();
        for (index, (model, bytes)) in disks.iter().enumerate() {
            let (index, serial) = (index + 1, SERIAL.fetch_add(1, Ordering::Relaxed));
            let disk = Disk::new(self.folder.join(format!("disk{serial}")), *bytes);
            let put = |path: String, text: String| {
                let path = sys.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text + "\n").unwrap();
            };
            let block = format!("block/nvme{index}n1");
            put(format!("class/nvme/nvme{index}/model"), format!("{model:<40}"));
            put(format!("{block}/device/model"), format!("{model:<40}"));
            put(format!("{block}/device/serial"), format!("SERIAL{serial}"));
            put(format!("{block}/dev"), format!("7:{}", disk.number()));
            fs::create_dir_all(sys.join(block).join("holders")).unwrap();
            self.disks.push(disk);
        }
    }

    /// Starts it, and runs a script in it: what that prints. Nothing is mounted any more afterwards.
    fn start(&self, wanted: &str, script: &str) -> String {
        let enter =
            ["--mount", "--propagation=private", "--pid", "--fork", "sh", "-e", "-c", START, "sh"];
        let mut start = command("unshare", enter);
        start.arg(self.folder.join("root")).arg(&self.debian).arg(&self.folder);
        start.arg(&self.windlass).args([wanted, script]);
        for (index, disk) in self.disks.iter().enumerate() {
            start.args([format!("nvme{}n1", index + 1).as_str(), disk.number()]);
        }
        output(&mut start).unwrap()
    }

    /// Starts it, and puts its disk to use: exit code, what was done, why not.
    fn boots(&self, wanted: &str) -> Ended {
        Ended::read(&self.start(wanted, RUN))
    }

    fn watch(&self) {
        let folder = self.folder.join("upper/opt/watched");
        fs::create_dir_all(&folder).unwrap();
        for program in ["blkid", "cp", "e2label", "mkfs.ext4", "sync", "systemctl"] {
            let path = folder.join(program);
            fs::write(&path, WATCHED).unwrap();
            output(command("chmod", ["+x"]).arg(path)).unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.disks.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const RUN: &str = "
code=0
windlass storage 2>/run/said || code=$?
echo $code
cat /run/windlass/storage-done.json
";

#[derive(Debug, PartialEq, Eq)]
struct Ended {
    code: u8,
    changes: Vec<String>,
    failure: String,
}

impl Ended {
    fn read(said: &str) -> Self {
        let (code, account) = said.trim().split_once('\n').unwrap_or_else(|| panic!("{said}"));
        let account: Value = serde_json::from_str(account).unwrap_or_else(|_| panic!("{said}"));
        let changes = account["changes"].as_array().unwrap().iter();
        let changes = changes.map(|it| it.as_str().unwrap().to_owned()).collect();
        let failure = account["failure"].as_str().unwrap_or_default().to_owned();
        Self { code: code.parse().unwrap(), changes, failure }
    }

    fn well(changes: &[&str]) -> Self {
        let changes = changes.iter().map(|it| (*it).to_owned()).collect();
        Self { code: 0, changes, failure: String::new() }
    }
}

const FIRST: [&str; 5] = [
    "made ext4 on /dev/nvme1n1",
    "mounted /dev/nvme1n1",
    "copied /var/lib/containerd",
    "copied /var/lib/kubelet",
    "copied /var/log/pods",
];

/// Whether all is as it should be: what is mounted where, what the disk is called, that nothing half
/// made is left.
const LOOK: &str = "
for place in containerd:/var/lib/containerd kubelet:/var/lib/kubelet pods:/var/log/pods; do
    [ $(stat -c %i /var/lib/windlass-data/${place%%:*}) = $(stat -c %i ${place##*:}) ]
    findmnt -n -o FSTYPE -O noatime ${place##*:}
done
blkid -p -s LABEL -o value /dev/nvme1n1
find /var/lib/windlass-data -mindepth 1 -maxdepth 1 -not -name lost+found | sort
find /var/lib/windlass -type f
cat /var/lib/containerd/io.containerd/blobs/pause; echo
find /var/lib/containerd -name half
";

const GOOD: &str = "ext4
ext4
ext4
windlass
/var/lib/windlass-data/containerd
/var/lib/windlass-data/kubelet
/var/lib/windlass-data/pods
of the image
";

#[test]
fn a_disk_is_formatted_once_found_again_and_made_anew_when_it_is_another() {
    let mut machine = Machine::new();
    machine.has(&[(STORE, 64 * MIB), (VOLUME, 64 * MIB)]);
    let twice = format!("{RUN} echo ---{RUN} echo ---{LOOK} echo new > /var/lib/containerd/new");
    let said = machine.start(MOUNT, &twice);
    let said: Vec<_> = said.split("---\n").collect();
    assert_eq!(Ended::read(said[0]), Ended::well(&FIRST));
    assert_eq!(Ended::read(said[1]), Ended::well(&[]), "all was as it should be");
    assert_eq!(said[2], GOOD);
    assert!(!machine.folder.join("upper/var/lib/containerd/new").exists(), "on the root's disk");

    let said = machine.start(MOUNT, &format!("{RUN} echo ---{LOOK} cat /var/lib/containerd/new"));
    let (ended, looked) = said.split_once("---\n").unwrap();
    assert_eq!(Ended::read(ended), Ended::well(&["mounted /dev/nvme1n1"]), "a reboot");
    assert_eq!(looked, format!("{GOOD}new\n"));

    machine.has(&[(STORE, 64 * MIB)]);
    let said = machine.start(MOUNT, &format!("{RUN} echo ---{LOOK} ls /var/lib/containerd"));
    let (ended, looked) = said.split_once("---\n").unwrap();
    assert_eq!(Ended::read(ended), Ended::well(&FIRST), "stopped and started");
    assert_eq!(looked, format!("{GOOD}io.containerd\n"));

    machine.has(&[(STORE, 64 * MIB), (VOLUME, 64 * MIB)]);
    let ended = machine.boots(A_VOLUME);
    assert_eq!((ended.code, ended.changes[0].as_str()), (0, "made ext4 on /dev/nvme2n1"));
    let ended = machine.boots(MOUNT);
    assert_eq!(ended.changes[0], FIRST[0], "the other disk was left alone");
}

#[test]
fn not_a_byte_changes_on_a_disk_that_somebody_has_put_to_use() {
    let mut machine = Machine::new();
    let in_use = [
        ("mkfs.ext4 -q -L data /dev/nvme1n1", "has ext4 by the name `data`"),
        ("mkfs.ext4 -q /dev/nvme1n1", "has ext4"),
        ("mkswap -q /dev/nvme1n1 >/dev/null", "has swap"),
        // An empty table of partitions as fdisk makes it.
        (
            "printf '\\125\\252' | dd of=/dev/nvme1n1 bs=1 seek=510 conv=notrunc status=none; \
             printf '\\0\\0\\0\\203' | dd of=/dev/nvme1n1 bs=1 seek=447 conv=notrunc status=none",
            "has a partition table (dos)",
        ),
        (
            "mkfs.ext4 -q -L windlass /dev/nvme1n1; mkdir /data; mount -r /dev/nvme1n1 /data",
            "is mounted at /data",
        ),
    ];
    for (made, found) in in_use {
        machine.has(&[(STORE, 64 * MIB)]);
        let script = format!(
            "{made} 2>/dev/null\nsync\nsha256sum /dev/nvme1n1\necho ---{RUN}\necho ---\nsync\nsha256sum /dev/nvme1n1"
        );
        let said = machine.start(MOUNT, &script);
        let [before, ended, after] = said.split("---\n").collect::<Vec<_>>()[..] else { panic!() };
        let ended = Ended::read(ended);
        assert_eq!(before.trim(), after.trim(), "{made}");
        let wanted = "no disk is empty: nvme1n1 (SERIAL";
        assert!(ended.failure.starts_with(wanted) && ended.failure.contains(found), "{ended:?}");
        assert_eq!(ended.code, 78, "{ended:?}");
    }
    machine.has(&[(STORE, 64 * MIB)]);
    let ended = machine.boots(A_VOLUME);
    assert!(ended.failure.starts_with("the instance has no EBS volume"), "{ended:?}");
}

#[test]
fn a_volume_with_data_that_has_no_name_is_somebodys() {
    let mut machine = Machine::new();
    // An instance store counts where this machine was a node that did not have it: its pods may have used it.
    let node = "echo {} > /var/lib/windlass/basis.json;";
    for (end, model, wanted, was) in [
        ("seek=0", VOLUME, A_VOLUME, ""),
        ("seek=63", VOLUME, A_VOLUME, ""),
        ("seek=0", STORE, MOUNT, node),
    ] {
        machine.has(&[(model, 64 * MIB)]);
        let encrypted = format!(
            "{was} dd if=/dev/urandom of=/dev/nvme1n1 bs=1M count=1 {end} conv=notrunc status=none\n{RUN}"
        );
        let ended = Ended::read(&machine.start(wanted, &encrypted));
        assert!(ended.failure.contains("has data that blkid does not know"), "{end}: {ended:?}");
        assert_eq!(ended.code, 78, "{ended:?}");
    }
}

#[test]
fn a_volume_that_comes_to_a_node_is_left_to_its_pods() {
    let mut machine = Machine::new();
    machine.has(&[(VOLUME, 64 * MIB)]);
    let ended =
        machine.start(A_VOLUME, &format!("echo {{}} > /var/lib/windlass/basis.json\n{RUN}"));
    let ended = Ended::read(&ended);
    assert!(
        ended
            .failure
            .starts_with("this machine was a node, and a volume of windlass' is not there"),
        "{ended:?}"
    );
    assert_eq!((ended.code, ended.changes.len()), (78, 0), "{ended:?}");
}

#[test]
fn a_run_that_is_killed_anywhere_is_ended_by_the_next() {
    let mut machine = Machine::new();
    machine.watch();
    let mut calls = 0;
    for number in 1.. {
        let mut killed = 0;
        for when in ["before", "after"] {
            machine.has(&[(STORE, 64 * MIB)]);
            let first = format!(
                "echo {number} > /run/end-{when}\nwindlass storage 2>/run/said || echo $?\n"
            );
            let again = format!("rm /run/end-{when}{RUN} echo ---{LOOK}");
            // The unit is started again, or the machine.
            let said = match number % 2 {
                0 => machine.start(MOUNT, &format!("{first} echo ---\n{again}")),
                _ => {
                    let first = machine.start(MOUNT, &first);
                    let again = again.replace(&format!("rm /run/end-{when}"), "");
                    format!("{first}---\n{}", machine.start(MOUNT, &again))
                }
            };
            let [first, again, looked] = said.split("---\n").collect::<Vec<_>>()[..] else {
                panic!("{said}")
            };
            killed += u32::from(first.trim() == "137");
            let ended = Ended::read(again);
            assert_eq!((ended.code, looked), (0, GOOD), "{when} call {number}: {ended:?}");
        }
        if killed == 0 {
            break;
        }
        calls = number;
    }
    // Of blkid twice, mkfs, e2label and twice of systemctl, and for each place cp and sync.
    assert!(calls >= 12, "{calls} calls");
}

#[test]
fn a_disk_that_is_too_small_is_said_and_the_image_stays_as_it_was() {
    let mut machine = Machine::new();
    let blob = machine.folder.join("upper/var/lib/containerd/large");
    fs::write(&blob, vec![1u8; 24 << 20]).unwrap();
    machine.has(&[(STORE, 16 * MIB)]);
    let said =
        machine.start(MOUNT, &format!("{RUN} echo ---\nls -A /var/lib/windlass-data\n{OPEN}"));
    let (ended, left) = said.split_once("---\n").unwrap();
    let ended = Ended::read(ended);
    let wanted = "copying /var/lib/containerd to the group's disk: `cp ";
    assert!(ended.failure.starts_with(wanted), "{ended:?}");
    assert!(ended.failure.contains("No space left on device"), "{ended:?}");
    assert_eq!((ended.code, left), (78, "lost+found\n25165824\n"), "no other try finds more room");
    assert!(Path::new(&blob).exists());
}

/// The image's own file is where it was.
const OPEN: &str = "stat -c %s /var/lib/containerd/large";
