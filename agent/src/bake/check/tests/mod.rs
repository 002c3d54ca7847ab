//! Sound trees, and then something is wrong with them.

mod sound;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::Architecture;
use super::super::elf::tests::program;
use super::super::tree::tests::{bare, write};
use super::*;
use crate::facts::observe::IMAGE;
use sound::{CONFIGURATION, KERNEL, MODULES, Sound};

#[tokio::test]
async fn nothing_is_said_of_an_image_that_is_as_it_should_be() {
    assert_eq!(Sound::new("check-debian", Base::Debian).await.found(), [""; 0]);
    assert_eq!(Sound::new("check-ubuntu", Base::Ubuntu).await.found(), [""; 0]);
    // rpm's database is no text, and this tree's `nft` no program.
    let said = ["(systemd: which nftables the image has cannot be told)"];
    assert_eq!(Sound::new("check-amazon", Base::AmazonLinux2023).await.found(), said);
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let image = Sound::new("check-all", Base::Debian).await;
    write(&image.place("/usr/local/bin/runc"), &program(Architecture::Arm64, "runc"));
    image.remove("/opt/cni/bin/portmap");
    image.remove("/usr/sbin/conntrack");
    let dep = format!("/usr/lib/modules/{KERNEL}/modules.dep");
    let without = MODULES.join("\n").replace("nft_masq", "nft_mosq");
    image.write(&dep, &without);
    image.write(&format!("/boot/config-{KERNEL}"), &CONFIGURATION.replace("MEMCG=y", "MEMCG=n"));
    image.write("/etc/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    image.remove("/etc/systemd/system/multi-user.target.wants/windlass-boot.service");
    image.write("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "[Service]\n");
    image.enable("multi-user.target", "docker.service");
    image.enable("timers.target", "apt-daily.timer");
    image.remove("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so");
    image.write("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-241.so", "");
    image.write("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"systemd.unified_cgroup_hierarchy=0\"\n");
    image.write("/var/lib/dpkg/status", "Package: nftables\nVersion: 0.9.8-3.1\n");
    image.remove("/etc/systemd/network/80-ec2.network");
    image.enable("multi-user.target", "firewalld.service");
    image.remove("/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service");
    image.write("/etc/fstab", "# swap\nUUID=1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n");
    image.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    image.write("/etc/ssh/ssh_host_rsa_key", "a key");
    image.write("/var/log/syslog", "words");
    image.write("/etc/kubernetes/extra/ca.key", "-----BEGIN EC PRIVATE KEY-----\n");
    let wanted = [
        "programs: /opt/cni/bin/portmap is missing",
        "programs: the program `conntrack` is missing",
        "programs: /usr/local/bin/runc is a program for arm64, wanted one for amd64",
        "programs: /usr/local/bin/runc is not what was baked",
        "programs: /opt/cni/bin/portmap cannot be read: No such file or directory (os error 2)",
        "kernel: the kernel 6.1.0-50-cloud-amd64 has no `nft_masq`, which is for windlass' masquerade",
        "kernel: the kernel 6.1.0-50-cloud-amd64 is without CONFIG_MEMCG, which is for kubelet's \
         memory limits",
        "services: /etc/systemd/system/kubelet.service is not this windlass'",
        "services: windlass-boot.service is not enabled: no \
         /etc/systemd/system/multi-user.target.wants/windlass-boot.service",
        "services: docker.service is enabled, and would make a node beside ours",
        "services: /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf changes \
         kubelet.service, and is not ours",
        "versions: kubelet 1.37.2 is newer than the API server 1.36.0",
        "systemd: systemd is 241, wanted at least 244",
        "systemd: /etc/default/grub asks for control groups of version 1",
        "systemd: nftables is 0.9.8, wanted at least 1.0.0",
        "network: systemd-networkd is enabled, and no file says which interface takes an address",
        "network: firewalld is enabled: it drops pods' packets",
        "clock: nothing keeps the clock: a certificate is not yet valid, or no more, where it is \
         wrong",
        "swap: /etc/fstab has swap: `/swapfile none swap sw 0 0`",
        "remains: /etc/ssh/ssh_host_rsa_key should not be in an image",
        "remains: /etc/machine-id should not be in an image",
        "remains: /etc/kubernetes/extra/ca.key holds a private key",
        "(services: apt-daily.timer is enabled: it changes packages of running nodes)",
        "(remains: /var/log/syslog should not be in an image)",
    ];
    assert_eq!(image.found_with(Some("v1.36.0")), wanted);
}

#[tokio::test]
async fn a_tree_that_was_never_baked_and_one_whose_bake_was_interrupted_are_told_apart() {
    let (_scratch, tree) = bare("check-never");
    let findings = examine(&tree, None);
    let first = "the image was never baked: there is no /etc/windlass/image.json";
    assert_eq!(findings[0].message, first);

    let image = Sound::new("check-interrupted", Base::Debian).await;
    fs::create_dir(image.place("/.windlass-bake")).expect("left");
    assert_eq!(image.found(), ["bake: a bake was interrupted: /.windlass-bake is there"]);
}

#[tokio::test]
async fn a_sandbox_image_that_is_not_in_the_store_and_a_masked_service_are_found() {
    let image = Sound::new("check-pause", Base::Ubuntu).await;
    image.remove("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/abc");
    symlink("/dev/null", image.place("/etc/systemd/system/chrony.service")).expect("masked");
    image.write("/usr/lib/systemd/zram-generator.conf", "[zram0]\n");
    assert_eq!(
        image.found(),
        [
            "programs: the pods' sandbox image `registry.k8s.io/pause:3.10.1` is not in \
             containerd's store",
            "clock: nothing keeps the clock: a certificate is not yet valid, or no more, where it \
             is wrong",
            "swap: /usr/lib/systemd/zram-generator.conf makes a swap of compressed memory",
        ]
    );
}

#[tokio::test]
async fn a_file_from_the_future_is_found() {
    let image = Sound::new("check-future", Base::Debian).await;
    let file = fs::File::options().write(true).open(image.place(IMAGE)).expect("opened");
    let hour = std::time::Duration::from_secs(3600);
    file.set_modified(std::time::SystemTime::now() + hour).expect("set");
    let [said] = &image.found()[..] else { panic!("one: {:?}", image.found()) };
    assert!(said.starts_with("clock: /etc/windlass/image.json is 359"), "{said}");
}

#[tokio::test]
async fn settings_that_are_missing_and_programs_that_cannot_be_run_are_found() {
    let image = Sound::new("check-settings", Base::Debian).await;
    fs::remove_dir(image.place("/etc/cni/net.d")).expect("it was there");
    image.remove("/etc/sysctl.d/90-windlass.conf");
    image.write(
        "/etc/containerd/config.toml",
        "version = 2\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"\"\n",
    );
    let plain = fs::Permissions::from_mode(0o644);
    fs::set_permissions(image.place("/usr/local/bin/runc"), plain).expect("set");
    let wanted = [
        "programs: /usr/local/bin/runc is no file of the mode 755, as it was baked",
        "settings: there is no folder /etc/cni/net.d",
        "settings: /etc/sysctl.d/90-windlass.conf is missing",
        "settings: /etc/containerd/config.toml has version 2, wanted version 3",
        "settings: /etc/containerd/config.toml does not say `pinned_images.sandbox` of \
         io.containerd.cri.v1.images",
        "settings: /etc/containerd/config.toml does not say `registry.config_path` of \
         io.containerd.cri.v1.images",
    ];
    assert_eq!(image.found(), wanted);
    image.remove("/etc/containerd/config.toml");
    let found = image.found();
    assert!(found.contains(&"settings: /etc/containerd/config.toml is missing".to_owned()));
}

#[tokio::test]
async fn secrets_of_the_builder_and_a_copy_of_its_machine_id_are_found() {
    let image = Sound::new("check-secrets", Base::Debian).await;
    image.write("/home/admin/.netrc", "machine example.test");
    image.write("/home/admin/.ssh/deploy", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    image.write("/etc/windlass/extra/kubeconfig", "client-key-data: LS0=\n");
    image.write("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n");
    let wanted = [
        "remains: /home/admin/.ssh/deploy should not be in an image",
        "remains: /home/admin/.netrc should not be in an image",
        "remains: /var/lib/dbus/machine-id should not be in an image",
        "remains: /etc/windlass/extra/kubeconfig holds a private key",
    ];
    assert_eq!(image.found(), wanted);
}

#[tokio::test]
async fn a_fragment_for_any_unit_of_ours_and_missing_file_contexts_are_found() {
    let image = Sound::new("check-fragments", Base::Debian).await;
    image.write("/etc/selinux/config", "SELINUX=enforcing\n");
    let contexts = "/etc/selinux/targeted/contexts/files/file_contexts";
    image.write(contexts, "/usr/bin/kubelet\t--\tsystem_u:object_r:kubelet_exec_t:s0\n");
    image.write("/usr/lib/systemd/system/runtime.slice.d/limit.conf", "[Slice]\n");
    image.write("/etc/systemd/system/windlass-watch.service.d/notes.txt", "words");
    image.write("/etc/systemd/system/windlass-watch.service.d/50-site.conf", "[Service]\n");
    let wanted = [
        "services: /usr/lib/systemd/system/runtime.slice.d/limit.conf changes runtime.slice, and \
         is not ours",
        "(services: /etc/systemd/system/windlass-watch.service.d/50-site.conf changes \
         windlass-watch.service, and is not ours)",
        "(base: SELinux is enforcing, and no file context in \
         /etc/selinux/targeted/contexts/files is for /usr/local/bin/windlass)",
    ];
    assert_eq!(image.found(), wanted);
    image.write(contexts, "/usr/local/bin/windlass\t--\tsystem_u:object_r:bin_t:s0\n");
    assert_eq!(image.found(), wanted[..2]);
}

#[tokio::test]
async fn a_runtime_for_gpus_and_what_containerd_is_told_go_together() {
    let image = Sound::new("check-gpu", Base::Debian).await;
    let (runtime, fragment) =
        ("/usr/bin/nvidia-container-runtime", crate::plan::image::NVIDIA_FRAGMENT);
    image.write(runtime, "a program");
    let untold = "hardware: the image has nvidia-container-runtime, and containerd is not told: no \
                  /etc/containerd/conf.d/50-windlass-nvidia.toml";
    assert_eq!(image.found(), [untold]);
    image.bake().await;
    assert_eq!(image.found(), [""; 0]);
    image.write(fragment, "version = 3\n");
    assert_eq!(image.found(), [format!("hardware: {fragment} is not as it was baked")]);
    image.remove(runtime);
    let lacking = "tells containerd of nvidia-container-runtime, which the image lacks";
    assert_eq!(image.found(), [format!("hardware: {fragment} {lacking}")]);
    image.bake().await;
    assert!(!image.place(fragment).exists(), "it went with the runtime");
    assert_eq!(image.found(), [""; 0]);
}

#[tokio::test]
async fn what_disks_need_is_advice() {
    let image = Sound::new("check-storage", Base::Debian).await;
    image.remove("/usr/sbin/mdadm");
    image.remove("/usr/sbin/mkfs.xfs");
    let wanted = [
        "(hardware: the program `mdadm` is missing: no group can say `storage.instance_store = \
         \"raid0\"` for several disks)",
        "(hardware: there is neither `mkfs.xfs` nor `mkfs.ext4`: no group can say anything under \
         [storage])",
    ];
    assert_eq!(image.found(), wanted);
    image.write("/usr/sbin/mkfs.ext4", "a program");
    assert_eq!(image.found(), wanted[..1]);
}
