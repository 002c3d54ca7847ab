//! A group that wants a disk for its nodes' data, as a boot sees to it: another program makes it.

use crate::boot_scene::{Setting, put_revision};
use crate::boot_worker::Cluster;

#[tokio::test]
async fn the_disk_is_asked_for_where_the_group_wants_one_and_before_kubelet_starts() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    let text = scene.object(&scene.keys().config(&scene.revision)).expect("the revision");
    let text = String::from_utf8(text).expect("text");
    assert!(!text.contains("[storage]"), "a group that says nothing has the revision that it had");
    let disk = format!("{text}\n[storage]\ninstance_store = \"raid0\"\n");
    scene.region.with(|state, now| put_revision(state, "workers", &disk, now));
    for boot in 1..=2 {
        scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
        let did = scene.machine.kept();
        let at = |what: &str| did.iter().rposition(|it| it.starts_with(what));
        let disk = at("systemctl start windlass-storage.service, to its end");
        assert!(disk.is_some() && disk < at("systemctl start containerd.service"), "{did:?}");
        let asked = did.iter().filter(|it| it.contains("windlass-storage")).count();
        assert_eq!(asked, boot, "{did:?}");
        let wanted = scene.machine.read_text("/run/windlass/storage.json").expect("readable");
        assert_eq!(wanted.as_deref(), Some(r#"{"instance_store":"raid0","volume":false}"#));
        assert!(scene.report().steps.iter().any(|step| step.name == "storage"));
        scene
            .machine
            .stop_units(&["containerd.service", "kubelet.service"])
            .await
            .expect("a reboot");
    }
}
