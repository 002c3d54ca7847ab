use super::*;

const MOUNT: Storage = Storage { instance_store: InstanceStore::Mount, volume: false };
const RAID0: Storage = Storage { instance_store: InstanceStore::Raid0, volume: false };
const VOLUME: Storage = Storage { instance_store: InstanceStore::Unused, volume: true };

/// nvme1n1, nvme2n1, …, with these contents and the serial numbers S1, S2, ….
fn disks(contents: &[Content]) -> Vec<Disk> {
    let disk = |(index, content): (usize, &Content)| Disk {
        name: format!("nvme{}n1", index + 1),
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
    choose(wanted, &disks(contents), Before::Nothing)
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
    use Content::{Blank, Unfinished};
    for wanted in [MOUNT, RAID0, VOLUME] {
        assert_eq!(chosen(wanted, &[Blank]), format_of("nvme1n1"), "{wanted:?}");
        assert_eq!(chosen(wanted, &[ours()]), mount_of("nvme1n1"), "{wanted:?}");
    }
    assert_eq!(chosen(MOUNT, &[Blank, Blank]), format_of("nvme1n1"));
    assert_eq!(chosen(MOUNT, &[Blank, ours()]), mount_of("nvme2n1"), "whatever it is called now");
    assert_eq!(chosen(MOUNT, &[foreign(), Blank]), format_of("nvme2n1"));
    assert_eq!(chosen(MOUNT, &[Blank, Unfinished]), format_of("nvme2n1"), "the one that was begun");
    assert_eq!(chosen(MOUNT, &[Unfinished, ours()]), mount_of("nvme2n1"));
    assert_eq!(chosen(VOLUME, &[foreign(), ours()]), mount_of("nvme2n1"), "a pod's is beside it");
}

#[test]
fn what_others_made_is_never_formatted() {
    for wanted in [MOUNT, RAID0, VOLUME] {
        let said = chosen(wanted, &[foreign()]).expect_err("not ours");
        let found = "no disk is empty: nvme1n1 (S1) has ext4 by the name `data`\nhint: only";
        assert!(said.starts_with(found), "{said}");
    }
    let said = chosen(RAID0, &[Content::Blank, foreign()]).expect_err("one");
    assert!(said.starts_with("the disks are neither all empty nor all of one array"), "{said}");
    assert!(said.contains(": nvme1n1 (S1) is empty; nvme2n1 (S2) has ext4 by the"), "{said}");
}

#[test]
fn a_volume_that_came_to_a_node_may_be_a_pods() {
    let again = |wanted, contents: &[Content]| choose(wanted, &disks(contents), Before::Same);
    let said = again(VOLUME, &[Content::Blank]).expect_err("a claim that is not formatted yet");
    let wanted = "this machine was a node, and a volume of windlass' is not there: another may be a \
                  pod's: nvme1n1 (S1) is empty\nhint: ";
    assert!(said.starts_with(wanted), "{said}");
    assert_eq!(again(VOLUME, &[Content::Blank, ours()]), mount_of("nvme2n1"));
    assert_eq!(again(MOUNT, &[Content::Blank]), format_of("nvme1n1"), "empty after each stop");
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
fn a_disk_that_cannot_be_looked_at_leaves_it_open_unless_ours_is_there() {
    let unknown = || Content::Unknown("cannot be read: an error".to_owned());
    assert_eq!(chosen(VOLUME, &[unknown(), ours()]), mount_of("nvme2n1"), "a pod's, that fails");
    let contents = [unknown(), Content::Blank];
    let said = chosen(MOUNT, &contents).expect_err("it may be ours");
    assert!(
        said.contains("nvme1n1 (S1) cannot be read: an error; nvme2n1 (S2) is empty"),
        "{said}"
    );
    assert!(is_open(&disks(&contents)) && !is_open(&disks(&[Content::Blank, foreign()])));
}

#[test]
fn an_array_that_udev_is_putting_together_is_that_array() {
    let members = names(&["nvme1n1", "nvme2n1"]);
    let (array, assembled) = ("a".to_owned(), Some("md127".to_owned()));
    let wanted = Ok(Choice::Assemble { members, array, assembled });
    assert_eq!(chosen(RAID0, &[member("a", None), member("a", Some("md127"))]), wanted);
}

#[test]
fn a_part_that_is_missing_or_of_another_array_is_refused() {
    for others in [Content::Blank, member("b", None), ours()] {
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

/// Every mixture of what three disks can have on them.
#[test]
fn no_mixture_of_disks_makes_a_choice_that_loses_what_is_on_one() {
    let contents = [
        Content::Blank,
        Content::Unfinished,
        ours(),
        foreign(),
        Content::Unknown("is in use".to_owned()),
        member("a", None),
        member("a", Some("md127")),
        member("b", None),
    ];
    let mut formatted = 0;
    for mixture in 0..contents.len().pow(3) {
        let of =
            |place: u32| contents[mixture / contents.len().pow(place) % contents.len()].clone();
        for count in 0..=3 {
            let disks = disks(&(0..count).map(of).collect::<Vec<_>>());
            for (wanted, before) in [MOUNT, RAID0, VOLUME]
                .into_iter()
                .flat_map(|it| [Before::Nothing, Before::Same, Before::Other].map(|was| (it, was)))
            {
                let overwritten = match choose(wanted, &disks, before) {
                    Ok(Choice::Format(name)) => vec![name],
                    Ok(Choice::Create { members }) => members,
                    Ok(Choice::Mount(..) | Choice::Assemble { .. }) => vec![],
                    Err(why) => {
                        assert!(why.contains("\nhint: "), "{why}");
                        vec![]
                    }
                };
                for name in overwritten {
                    formatted += 1;
                    let disk = disks.iter().find(|disk| disk.name == name).expect("a disk");
                    let may = [Content::Blank, Content::Unfinished].contains(&disk.content);
                    assert!(may, "{name} of {disks:?}, {wanted:?} {before:?}");
                }
            }
        }
    }
    assert!(formatted > 500, "{formatted}");
}
