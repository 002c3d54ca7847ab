use super::*;

const MOUNT: Storage = Storage { instance_store: InstanceStore::Mount, volume: false };
const RAID0: Storage = Storage { instance_store: InstanceStore::Raid0, volume: false };
const VOLUME: Storage = Storage { instance_store: InstanceStore::Unused, volume: true };

/// nvme1n1, nvme2n1, …, with these contents and the serial numbers S1, S2, ….
fn disks(contents: &[Content]) -> Vec<Disk> {
    let disk = |(index, content): (usize, &Content)| Disk {
        name: format!("nvme{}n1", index + 1),
        kind: Kind::InstanceStore,
        serial: format!("S{}", index + 1),
        content: content.clone(),
    };
    contents.iter().enumerate().map(disk).collect()
}

fn ours() -> Content {
    Content::Ours(FileSystem::Xfs)
}

fn foreign() -> Content {
    Content::Foreign("has ext4 by the name `data`".to_owned())
}

fn member(array: &str, assembled: Option<&str>) -> Content {
    Content::Member { array: array.to_owned(), assembled: assembled.map(str::to_owned) }
}

fn chosen(wanted: Storage, contents: &[Content]) -> Result<Choice, String> {
    choose(wanted, &disks(contents), &Begun::default())
}

fn format_of(name: &str) -> Result<Choice, String> {
    Ok(Choice::Format(name.to_owned()))
}

fn mount_of(name: &str) -> Result<Choice, String> {
    Ok(Choice::Mount(name.to_owned(), FileSystem::Xfs))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn one_disk_is_formatted_once_and_mounted_from_then_on() {
    use Content::Blank;
    for wanted in [MOUNT, RAID0, VOLUME] {
        assert_eq!(chosen(wanted, &[Blank]), format_of("nvme1n1"), "{wanted:?}");
        assert_eq!(chosen(wanted, &[ours()]), mount_of("nvme1n1"), "{wanted:?}");
    }
    assert_eq!(chosen(MOUNT, &[Blank, Blank]), format_of("nvme1n1"));
    assert_eq!(chosen(MOUNT, &[Blank, ours()]), mount_of("nvme2n1"), "whatever it is called now");
    assert_eq!(chosen(MOUNT, &[foreign(), Blank]), format_of("nvme2n1"));
    assert_eq!(chosen(VOLUME, &[foreign(), ours()]), mount_of("nvme2n1"), "a pod's is beside it");
}

#[test]
fn what_others_made_is_never_formatted_whatever_was_begun() {
    let begun = Begun(["S1", "S2"].map(str::to_owned).into());
    for wanted in [MOUNT, RAID0, VOLUME] {
        for begun in [&Begun::default(), &begun] {
            let said = choose(wanted, &disks(&[foreign()]), begun).expect_err("not ours");
            let found = "no disk is empty: nvme1n1 (S1) has ext4 by the name `data`\nhint: only";
            assert!(said.starts_with(found), "{said}");
        }
    }
    for begun in [&Begun::default(), &begun] {
        let said = choose(RAID0, &disks(&[Content::Blank, foreign()]), begun).expect_err("one");
        assert!(said.starts_with("the disks are neither all empty nor all of one array"), "{said}");
        assert!(said.contains(": nvme1n1 (S1) is empty; nvme2n1 (S2) has ext4 by the"), "{said}");
    }
}

#[test]
fn an_array_is_made_of_empty_disks_and_put_together_from_all_of_its_parts() {
    let members = names(&["nvme1n1", "nvme2n1"]);
    let create = Ok(Choice::Create { members: members.clone() });
    assert_eq!(chosen(RAID0, &[Content::Blank, Content::Blank]), create);
    for assembled in [None, Some("md127")] {
        let part = || member("a", assembled);
        let assembled = assembled.map(str::to_owned);
        let array = "a".to_owned();
        let wanted = Choice::Assemble { members: members.clone(), array, assembled };
        assert_eq!(chosen(RAID0, &[part(), part()]), Ok(wanted));
    }
}

#[test]
fn a_part_that_is_missing_or_of_another_array_is_refused() {
    for others in [Content::Blank, member("b", None), ours(), member("a", Some("md127"))] {
        let said = chosen(RAID0, &[member("a", None), others.clone()]).expect_err("half");
        assert!(said.contains("nvme1n1 (S1) is a part of windlass' array a; nvme2n1"), "{said}");
        assert!(said.ends_with(NEW_INSTANCE), "{said}");
    }
    let said = chosen(MOUNT, &[member("a", None), Content::Blank]).expect_err("an array");
    assert!(said.starts_with("the disks are an array of windlass', wanted a disk alone"), "{said}");
    let said = chosen(MOUNT, &[ours(), ours()]).expect_err("two");
    assert!(said.starts_with("more than one disk has a file system of windlass'"), "{said}");
}

#[test]
fn what_a_killed_run_began_is_made_anew_and_only_that() {
    let begun = Begun(["S1", "S2"].map(str::to_owned).into());
    let half = [member("a", Some("md127")), Content::Blank];
    let members = names(&["nvme1n1", "nvme2n1"]);
    assert_eq!(choose(RAID0, &disks(&half), &begun), Ok(Choice::Create { members }));
    assert_eq!(choose(MOUNT, &disks(&[ours()]), &begun), format_of("nvme1n1"));
    // After a stop the disks are others, and what was written down is about none of them.
    let elsewhere = Begun(["S9".to_owned()].into());
    assert_eq!(choose(MOUNT, &disks(&[ours()]), &elsewhere), mount_of("nvme1n1"));
    let nameless = Begun([String::new()].into());
    let disk = Disk { serial: String::new(), ..disks(&[ours()]).remove(0) };
    assert_eq!(choose(MOUNT, &[disk], &nameless), mount_of("nvme1n1"));
}

#[test]
fn no_disk_and_too_many_volumes_are_said_with_what_was_found() {
    let said = chosen(MOUNT, &[]).expect_err("none");
    assert!(said.starts_with("the instance has no instance store\nhint: launch a type"), "{said}");
    let said = chosen(VOLUME, &[]).expect_err("none");
    assert!(said.starts_with("the instance has no EBS volume beside the root's"), "{said}");
    let said = chosen(VOLUME, &[Content::Blank, foreign()]).expect_err("two");
    let wanted =
        "there are 2 EBS volumes beside the root's, wanted one: nvme1n1 (S1) is empty; nvme2n1";
    assert!(said.starts_with(wanted), "{said}");
}
