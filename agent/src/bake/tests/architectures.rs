//! Images for amd64 and for arm64. Nothing of an image of another architecture is run here: any builder
//! makes it, but for container images.

use super::archives::release;
use super::*;

/// Each with the other one.
const BOTH: [(Architecture, Architecture); 2] =
    [(Architecture::Amd64, Architecture::Arm64), (Architecture::Arm64, Architecture::Amd64)];

/// One of them is not this machine's.
#[tokio::test]
async fn an_image_is_baked_on_a_machine_of_either_architecture() {
    for (architecture, _) in BOTH {
        let name = format!("bake-{architecture}");
        let (kubelet, bridge) = (program(architecture, "kubelet"), program(architecture, "bridge"));
        let bench = Bench::of(&name, architecture).with_file("kubelet", &kubelet);
        write(&bench.beside.join("cni.tar"), &release(&[("bridge", &bridge)]));
        let bench = bench.with("[[archive]]\nname = \"cni\"\nfrom = \"cni.tar\"\n");
        bench.bake().await.expect("baked");
        assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
        assert_eq!(bench.program("/opt/cni/bin/bridge"), bridge);
        let inventory = Inventory::read(&bench.tree).expect("read").expect("there");
        assert_eq!(inventory.architecture, architecture.to_string());
        let foreign = |found: &check::Finding| found.message.contains("is a program for");
        assert!(!check::examine(&bench.tree, None).iter().any(foreign));
        assert!(bench.bake().await.expect("baked").is_empty());
    }
}

#[tokio::test]
async fn a_program_for_another_machine_is_refused_wherever_it_comes_from() {
    for (architecture, other) in BOTH {
        let foreign = program(other, "a program");
        let said = |path: &str| {
            format!(
                "what is to become {path} is a program for {other}, wanted a program for \
                 {architecture}\nhint: take its release for the image's architecture"
            )
        };
        let file = Bench::of(&format!("bake-no-{other}"), architecture);
        let file = file.with_file("kubelet", &foreign);
        let archive = Bench::of(&format!("bake-no-{other}-tar"), architecture);
        write(&archive.beside.join("cni.tar"), &release(&[("bridge", &foreign)]));
        let archive = archive.with("[[archive]]\nname = \"cni\"\nfrom = \"cni.tar\"\n");
        for (bench, path) in [(file, "/usr/local/bin/kubelet"), (archive, "/opt/cni/bin/bridge")] {
            let before = bench.everything();
            let error = bench.bake().await.expect_err("foreign").to_string();
            assert_eq!(error, said(path));
            assert_eq!(bench.everything(), before);
        }
    }
}

#[tokio::test]
async fn what_is_no_program_is_refused() {
    for (name, contents, said) in [
        ("bake-page", &b"<html>sign in</html>"[..], "is no program, wanted a program for amd64"),
        (
            "bake-zstd",
            &b"\x28\xb5\x2f\xfd\x04"[..],
            "is a file of zstd, wanted a program for amd64",
        ),
    ] {
        let bench = Bench::new(name).with_file("kubelet", contents);
        let error = bench.bake().await.expect_err("no program").to_string();
        assert!(error.contains(said) && error.contains("\nhint: "), "{error}");
    }
}

#[tokio::test]
async fn container_images_of_another_architecture_are_said_to_be_impossible_here() {
    let foreign = match Architecture::own() {
        Some(Architecture::Amd64) => Architecture::Arm64,
        _ => Architecture::Amd64,
    };
    let bench = Bench::of("bake-cross", foreign);
    for path in ["usr/local/bin/containerd", "usr/local/bin/ctr"] {
        write(&bench.tree.root().join(path), &program(foreign, "foreign"));
    }
    write(&bench.beside.join("pause.tar"), b"an archive");
    let bench = bench.with("[[image]]\nname = \"pause\"\nfrom = \"pause.tar\"\n");
    let before = bench.everything();
    let error = bench.bake().await.expect_err("not here").to_string();
    assert!(error.contains(&format!("which is for {foreign} and cannot run here")), "{error}");
    assert!(error.contains("\nhint: bake on an instance of that architecture"), "{error}");
    assert_eq!(bench.everything(), before);
}
