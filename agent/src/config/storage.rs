//! The table `[storage]`: on which disk a group's nodes keep images, containers and pods' data.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::raw::Section;

/// What becomes of disks other than the root's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    pub instance_store: InstanceStore,
    /// The one EBS volume beside the root's is used.
    pub volume: bool,
}

/// What becomes of the disks of the instance's own host, which are empty after each stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceStore {
    #[default]
    Unused,
    /// One of them is used, and the others are left alone.
    Mount,
    /// All of them are used, as one.
    Raid0,
}

const BOTH: &str = "containerd and kubelet have one disk: say `volume = false`, or `instance_store = \
                    \"unused\"`";

impl Storage {
    /// The root's disk is enough.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads the table; what it does not say is as in `base`.
pub(super) fn read(section: &Section<'_>, base: Storage) -> Option<Storage> {
    let (store, volume) = (section.optional("instance_store"), section.optional("volume"));
    let instance_store = store.as_ref().map_or(Some(base.instance_store), instance_store);
    let wants_volume = volume.as_ref().map_or(Some(base.volume), Entry::boolean);
    let read = Storage { instance_store: instance_store?, volume: wants_volume? };
    if read.volume && read.instance_store != InstanceStore::Unused {
        let message = "asks for a volume and for the instance store at once";
        return volume.or(store)?.problem_with_hint(message, BOTH);
    }
    Some(read)
}

fn instance_store(entry: &Entry<'_>) -> Option<InstanceStore> {
    entry.choice(&[
        ("unused", InstanceStore::Unused),
        ("mount", InstanceStore::Mount),
        ("raid0", InstanceStore::Raid0),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;

    const RAID0: Storage = Storage { instance_store: InstanceStore::Raid0, volume: false };

    fn read_over(base: Storage, text: &str) -> Result<Storage, String> {
        raw::document("cluster.toml", text, |root| read(root, base))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_group_differs_from_what_holds_for_all() {
        let shared = read_over(Storage::default(), "instance_store = \"raid0\"").expect("a table");
        assert_eq!(shared, RAID0);
        assert_eq!(read_over(shared, "").expect("nothing said"), RAID0);
        let own = read_over(shared, "instance_store = \"unused\"\nvolume = true");
        assert_eq!(own, Ok(Storage { volume: true, ..Storage::default() }));
        assert!(read_over(shared, "instance_store = \"unused\"").expect("a table").is_plain());
    }

    #[test]
    fn two_disks_for_one_thing_are_refused_wherever_they_are_said() {
        let volume = Storage { volume: true, ..Storage::default() };
        for (base, text, key, line) in [
            (Storage::default(), "instance_store = \"mount\"\nvolume = true", "volume", 2),
            (RAID0, "\nvolume = true", "volume", 2),
            (volume, "instance_store = \"raid0\"", "instance_store", 1),
        ] {
            let said = read_over(base, text).expect_err(text);
            let wanted =
                format!("cluster.toml, line {line}: `{key}` asks for a volume and for the");
            assert!(
                said.contains(&wanted) && said.contains("hint: containerd and kubelet"),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_no_such_word_is_named_with_the_nearest() {
        let said = read_over(Storage::default(), "instance_store = \"raid\"").expect_err("no word");
        assert!(said.contains("hint: did you mean `raid0`?"), "{said}");
        let said = read_over(Storage::default(), "volume = \"yes\"").expect_err("no boolean");
        assert!(said.contains("is a string, wanted `true` or `false`"), "{said}");
    }
}
