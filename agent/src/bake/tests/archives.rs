//! Programs out of archives.

use tar::Builder;

use super::server::{Answer, Server};
use super::*;

/// A release of plugins and of something that is no program.
pub fn release(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, contents) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, *contents).expect("appended");
    }
    builder.into_inner().expect("a tar")
}

#[tokio::test]
async fn an_archive_brings_its_programs_and_is_not_asked_for_again() {
    let (bridge, portmap) = (native("bridge"), native("portmap"));
    let tar = release(&[("./bridge", &bridge), ("./portmap", &portmap), ("./README.md", b"words")]);
    let server = Server::start(tar.clone(), &[Answer::Right]).await;
    let (digest, size) = (sha256_hex(&tar), tar.len());
    let archive = format!(
        "[[archive]]\nname = \"cni-plugins\"\nversion = \"v1.9.1\"\nfrom = \"{}\"\nsha256 = \"{digest}\"\nsize = {size}\n",
        server.url
    );
    let bench = Bench::new("bake-archive").with(&archive);
    let changes = bench.bake().await.expect("baked");
    assert!(changes.0.contains(&"/opt/cni/bin/bridge".to_owned()), "{changes:?}");
    assert_eq!(bench.program("/opt/cni/bin/portmap"), portmap);
    let inventory = Inventory::read(&bench.tree).expect("read").expect("there");
    assert_eq!(inventory.version_of("bridge"), Some("v1.9.1"));

    assert!(bench.bake().await.expect("baked").is_empty());
    assert_eq!(server.requests().len(), 1);
    // What somebody changed is put right again.
    fs::write(bench.tree.path("/opt/cni/bin/bridge"), "another").expect("changed");
    let changes = bench.bake().await.expect("baked");
    assert!(changes.0.contains(&"/opt/cni/bin/bridge".to_owned()), "{changes:?}");
    assert_eq!(bench.program("/opt/cni/bin/bridge"), bridge);

    let both = Bench::new("bake-both").with(&archive).with_file("bridge", &native("another"));
    let before = both.everything();
    let error = both.bake().await.expect_err("two versions").to_string();
    assert!(
        error.starts_with(
            "`bridge` and `cni-plugins` both bring /opt/cni/bin/bridge: two versions of one program"
        ),
        "{error}"
    );
    assert_eq!(both.everything(), before);
}

#[tokio::test]
async fn another_selection_is_unpacked_again_and_what_is_no_longer_asked_for_is_removed() {
    let (bridge, portmap) = (native("bridge"), native("portmap"));
    let mut bench = Bench::new("bake-selection");
    let tar = release(&[("bridge", &bridge), ("portmap", &portmap)]);
    write(&bench.beside.join("cni.tar"), &tar);
    let before = bench.text.clone();
    let archive = "[[archive]]\nname = \"cni\"\nfrom = \"cni.tar\"\n";
    bench.text = format!(
        "{before}{archive}members = {{ bridge = \"/opt/cni/bin/bridge\", portmap = \"/srv/portmap\" }}\n"
    );
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/srv/portmap"), portmap);
    assert!(bench.bake().await.expect("baked").is_empty());

    // All that are known: one more than before, and one in another place.
    bench.text = format!("{before}{archive}");
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/opt/cni/bin/portmap"), portmap);
    assert!(bench.tree.path("/srv/portmap").exists(), "no conventional place");
    assert!(bench.bake().await.expect("baked").is_empty());

    // None at all; one of them is somebody else's by now.
    fs::write(bench.tree.path("/opt/cni/bin/bridge"), "another").expect("changed");
    bench.text = before;
    let changes = bench.bake().await.expect("baked");
    assert!(changes.0.contains(&"removed /opt/cni/bin/portmap".to_owned()), "{changes:?}");
    assert!(!bench.tree.path("/opt/cni/bin/portmap").exists());
    assert_eq!(bench.program("/opt/cni/bin/bridge"), b"another");
    assert_eq!(bench.program("/usr/local/bin/windlass"), native("windlass"));
}
