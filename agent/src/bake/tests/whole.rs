//! What a bake leaves: all that a boot needs, and no more changes the next time; or nothing new.

use super::server::{Answer, Server};
use super::*;

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
    // Of a run that was killed while it filled a copy of containerd's store.
    write(&bench.tree.root().join("var/lib/.containerd.windlass/meta.db"), b"half");
    bench.bake().await.expect("baked");
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
async fn an_image_json_that_cannot_be_read_is_written_anew() {
    let bench = Bench::new("bake-unreadable").with_file("kubelet", &native("a kubelet"));
    bench.bake().await.expect("baked");
    let whole = bench.everything();
    fs::write(bench.tree.path(IMAGE), "{").expect("cut");
    let changes = bench.bake().await.expect("baked");
    assert_eq!(changes.0, [IMAGE]);
    assert_eq!(bench.everything(), whole);
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
