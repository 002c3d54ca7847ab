//! Bakes small trees. The programs in them are ELF headers with words behind.

mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tar::Builder;

use super::elf::tests::program;
use super::tree::tests::{bare, write};
use super::*;
use crate::converge::files::tests::Scratch;
use crate::pki::sha256_hex;
use server::{Answer, Server};

const HASTE: Patience = Patience { tries: 3, pause: Duration::from_millis(1) };

/// A tree to bake into and a folder beside it with `bake.toml` in the making.
struct Bench {
    _scratch: Scratch,
    tree: Tree,
    beside: PathBuf,
    text: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let (scratch, tree) = bare(name);
        let beside = tree.root().with_file_name("beside");
        fs::create_dir_all(&beside).expect("a folder");
        // Not this test program itself, which is large.
        let bench =
            Self { _scratch: scratch, tree, beside, text: "kubernetes = \"v1.37.2\"\n".to_owned() };
        bench.with_file("windlass", &native("windlass"))
    }

    fn with_file(mut self, name: &str, contents: &[u8]) -> Self {
        write(&self.beside.join(name), contents);
        let _ = write!(self.text, "[[binary]]\nname = \"{name}\"\nfrom = \"{name}\"\n");
        self
    }

    fn with_url(mut self, name: &str, url: &str, contents: &[u8]) -> Self {
        let (sha256, size) = (sha256_hex(contents), contents.len());
        let _ = write!(
            self.text,
            "[[binary]]\nname = \"{name}\"\nfrom = \"{url}\"\nsha256 = \"{sha256}\"\nsize = {size}\n"
        );
        self
    }

    fn with(mut self, text: &str) -> Self {
        self.text += text;
        self
    }

    async fn bake(&self) -> anyhow::Result<Changes> {
        let description = Description::parse(&self.text, &self.beside).expect("right");
        let options = Options { patience: HASTE, keep_identity: false };
        bake(&self.tree, &description, &options).await
    }

    /// Everything in the image but what waits in the staging folder.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        gather(self.tree.root(), &mut found);
        found.retain(|path, _| !path.starts_with(self.tree.place(staging::FOLDER)));
        found
    }

    fn program(&self, path: &str) -> Vec<u8> {
        fs::read(self.tree.path(path)).expect("a program")
    }
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("there");
        let kind = metadata.file_type();
        assert!(!kind.is_socket() && !kind.is_fifo(), "{}", path.display());
        let what = match () {
            () if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("a link")),
            () if kind.is_dir() => "a folder".to_owned(),
            () => sha256_hex(&fs::read(&path).expect("a file")),
        };
        let mode = metadata.permissions().mode();
        found.insert(path.clone(), format!("{mode:o} {what}"));
        if kind.is_dir() {
            gather(&path, found);
        }
    }
}

fn native(words: &str) -> Vec<u8> {
    program(Architecture::Amd64, words)
}

#[tokio::test]
async fn an_image_has_all_that_a_boot_needs_and_a_second_run_changes_nothing() {
    let bench = Bench::new("bake-all").with_file("kubelet", &native("a kubelet"));
    assert!(!bench.bake().await.expect("baked").is_empty());
    assert_eq!(bench.program("/usr/local/bin/kubelet"), native("a kubelet"));
    for unit in units::ENABLED {
        let link = bench.tree.place(units::FOLDER).join("multi-user.target.wants").join(unit);
        let target = fs::read_link(link).expect("enabled");
        assert!(bench.tree.path(&target).exists(), "{} is there", target.display());
    }
    let image = bench.tree.read_text(IMAGE).expect("read").expect("there");
    let image: crate::facts::Image = serde_json::from_str(&image).expect("as a boot reads it");
    let wanted = crate::facts::Image {
        kubelet_version: Some("v1.37.2".to_owned()),
        credential_provider: false,
    };
    assert_eq!(image, wanted);
    assert!(!bench.tree.place(staging::FOLDER).exists());

    let before = bench.everything();
    assert_eq!(bench.bake().await.expect("baked"), Changes::default());
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_download_that_breaks_off_is_gone_on_with() {
    let kubelet = native(&"k".repeat(100_000));
    let answers = [Answer::Cut(40_000), Answer::Status(503), Answer::Right];
    let server = Server::start(kubelet.clone(), &answers).await;
    let bench = Bench::new("bake-cut").with_url("kubelet", &server.url, &kubelet);
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
    let [first, second, third] = &server.requests()[..] else { panic!("three requests") };
    assert_eq!((first.as_str(), second), ("", third));
    let start = third.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let start: usize = start.expect("a range").parse().expect("a number");
    assert!(start > 0 && start <= 40_000, "went on at {start}");

    // What is there is not fetched again.
    assert!(bench.bake().await.expect("baked").is_empty());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_from_the_start() {
    let kubelet = native(&"k".repeat(100_000));
    let server = Server::start(kubelet.clone(), &[Answer::Cut(40_000), Answer::NoRanges]).await;
    // By name: looked up without the C library.
    let url = server.url.replace("127.0.0.1", "localhost");
    let bench = Bench::new("bake-ranges").with_url("kubelet", &url, &kubelet);
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
}

#[tokio::test]
async fn a_download_that_always_breaks_off_is_given_up_and_the_image_is_as_it_was() {
    let kubelet = native(&"k".repeat(100_000));
    let server = Server::start(kubelet.clone(), &[Answer::Cut(10)]).await;
    let bench = Bench::new("bake-always").with_file("runc", &native("a runc")).with_url(
        "kubelet",
        &server.url,
        &kubelet,
    );
    let before = bench.everything();
    let error = format!("{:#}", bench.bake().await.expect_err("given up"));
    assert!(error.contains(&format!("downloading {}, tried 3 times", server.url)), "{error}");
    assert!(error.contains("broke off at 30 bytes"), "{error}");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn contents_are_believed_by_their_digest_only() {
    let server = Server::start(native("another"), &[Answer::Right]).await;
    let bench = Bench::new("bake-digest").with_url("kubelet", &server.url, &native("kubelet"));
    let before = bench.everything();
    let error = bench.bake().await.expect_err("wrong").to_string();
    let (found, wanted) = (sha256_hex(&native("another")), sha256_hex(&native("kubelet")));
    let said = format!("{} has the SHA-256 {found}, wanted {wanted}\nhint: ", server.url);
    assert!(error.starts_with(&said), "{error}");
    assert_eq!(bench.everything(), before);

    let missing = Server::start(Vec::new(), &[Answer::Status(404)]).await;
    let bench = Bench::new("bake-404").with_url("kubelet", &missing.url, &native("kubelet"));
    let error = bench.bake().await.expect_err("missing").to_string();
    assert!(error.contains("the server said 404"), "{error}");
    assert_eq!(missing.requests().len(), 1, "asking again is no use");
}

#[tokio::test]
async fn what_an_interrupted_run_left_is_gone_on_with_or_begun_anew() {
    let kubelet = native(&"k".repeat(1000));
    let sha256 = sha256_hex(&kubelet).parse().expect("a digest");
    for (name, left, asked) in [
        ("bake-left", kubelet[..400].to_vec(), vec!["bytes=400-"]),
        ("bake-garbled", vec![b'x'; 400], vec!["bytes=400-", ""]),
        ("bake-long", vec![b'x'; 4000], vec![""]),
    ] {
        let server = Server::start(kubelet.clone(), &[Answer::Right]).await;
        let bench = Bench::new(name).with_url("kubelet", &server.url, &kubelet);
        let staging = Staging::open(&bench.tree).expect("ours");
        fs::write(staging.growing(&sha256), left).expect("what was left");
        drop(staging);
        bench.bake().await.expect("baked");
        assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
        assert_eq!(server.requests(), asked, "{name}");
        assert!(!bench.tree.place(staging::FOLDER).exists());
    }
}

#[tokio::test]
async fn a_program_for_another_machine_is_refused() {
    let foreign = program(Architecture::Arm64, "a kubelet");
    let bench = Bench::new("bake-foreign").with_file("kubelet", &foreign);
    let before = bench.everything();
    let error = bench.bake().await.expect_err("foreign").to_string();
    assert_eq!(
        error,
        "what is to become /usr/local/bin/kubelet is a program for arm64, wanted a program for \
         amd64\nhint: take its release for the image's architecture"
    );
    assert_eq!(bench.everything(), before);
    let bench = Bench::new("bake-page").with_file("kubelet", b"<html>sign in</html>");
    let error = bench.bake().await.expect_err("a page").to_string();
    assert!(error.contains("is no program, wanted a program for amd64"), "{error}");
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_said_before_anything_is_fetched() {
    let server = Server::start(native("kubelet"), &[Answer::Right]).await;
    let digest = sha256_hex(&native("kubelet"));
    let bench = Bench::new("bake-space").with(&format!(
        "[[binary]]\nname = \"kubelet\"\nfrom = \"{}\"\nsha256 = \"{digest}\"\nsize = 900000000000000\n",
        server.url
    ));
    let before = bench.everything();
    let error = bench.bake().await.expect_err("too small").to_string();
    assert!(error.contains(" free, wanted 900000067.1 MB for 2 parts\nhint: "), "{error}");
    assert!(server.requests().is_empty());
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_network_that_is_away_is_said_with_what_to_do() {
    let bench = Bench::new("bake-network").with_url(
        "kubelet",
        // The discard port, where nobody listens.
        "http://127.0.0.1:9/kubelet",
        &native("kubelet"),
    );
    let error = format!("{:#}", bench.bake().await.expect_err("nobody listens"));
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("hint: is there a way to it from here?"), "{error}");
}

/// A release of plugins and of something that is no program.
fn release(members: &[(&str, &[u8])]) -> Vec<u8> {
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
async fn images_of_another_architecture_are_said_to_be_impossible_here() {
    let foreign = match Architecture::own() {
        Some(Architecture::Amd64) => Architecture::Arm64,
        _ => Architecture::Amd64,
    };
    let mut bench = Bench::new("bake-cross");
    for path in ["usr/bin/env", "usr/local/bin/containerd", "usr/local/bin/ctr"] {
        write(&bench.tree.root().join(path), &program(foreign, "foreign"));
    }
    write(&bench.beside.join("windlass"), &program(foreign, "windlass"));
    write(&bench.beside.join("pause.tar"), b"an archive");
    bench.tree = Tree::open(bench.tree.root(), None).expect("a tree");
    let bench = bench.with("[[image]]\nname = \"pause\"\nfrom = \"pause.tar\"\n");
    let before = bench.everything();
    let error = bench.bake().await.expect_err("not here").to_string();
    assert!(error.contains(&format!("which is for {foreign} and cannot run here")), "{error}");
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_bake_that_fails_removes_nothing_and_one_that_succeeds_seals() {
    let bench = Bench::new("bake-seal").with_file("kubelet", b"<html>");
    let key = bench.tree.root().join("etc/ssh/ssh_host_rsa_key");
    write(&key, b"a key");
    bench.bake().await.expect_err("no program");
    assert!(key.exists());
    write(&bench.beside.join("kubelet"), &native("a kubelet"));
    let changes = bench.bake().await.expect("baked");
    assert!(changes.0.contains(&"removed /etc/ssh/ssh_host_rsa_key".to_owned()), "{changes:?}");
    assert!(!key.exists());

    write(&key, b"a key");
    let description = Description::parse(&bench.text, &bench.beside).expect("right");
    let options = Options { patience: HASTE, keep_identity: true };
    assert!(bake(&bench.tree, &description, &options).await.expect("baked").is_empty());
    assert!(key.exists());
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

#[tokio::test]
async fn an_image_json_that_cannot_be_read_is_written_anew() {
    let bench = Bench::new("bake-unreadable").with_file("kubelet", &native("a kubelet"));
    bench.bake().await.expect("baked");
    let whole = bench.everything();
    fs::write(bench.tree.path(IMAGE), "{").expect("cut");
    let changes = bench.bake().await.expect("baked");
    assert_eq!(changes.0, [IMAGE]);
    assert_eq!(bench.everything(), whole);
}
