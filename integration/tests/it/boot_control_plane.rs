//! A control-plane instance's way in: it signs for itself, and starts what lets others in.

use windlass::exchange::Grant;
use windlass::pki::{Certificate, CertificateAuthority};

use time::OffsetDateTime;

use crate::boot_apiserver::{ApiServer, READY};
use crate::boot_scene::{Scene, Setting, user_data};

async fn scene() -> (Scene, ApiServer) {
    let authority = CertificateAuthority::make("kubernetes", OffsetDateTime::now_utc());
    let authority = authority.expect("an authority");
    let api = ApiServer::start(&authority, READY).await;
    let user_data = user_data("control-plane", "").into_bytes();
    let setting =
        Setting { role: "control-plane", user_data, api: api.endpoint(), ..Setting::default() };
    (Scene::new(setting, authority), api)
}

#[tokio::test]
async fn the_first_node_of_a_cluster_lets_itself_in() {
    let (scene, _api) = scene().await;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let grant = scene.object(&scene.keys().grant(&scene.user)).expect("a grant");
    let grant: Grant = serde_json::from_slice(&grant).expect("a grant");
    let certificate = Certificate::from_pem(&grant.certificate).expect("a certificate");
    assert_eq!(certificate.common_name, format!("system:node:{}", scene.instance));
    assert!(certificate.is_signed_by(scene.authority.certificate()));
    assert_eq!(
        scene.machine.kept().last().map(String::as_str),
        Some(
            "systemctl start containerd.service kubelet.service windlass-admit.service \
             windlass-watch.service"
        )
    );
    assert_eq!(scene.lifecycle(), Some("InService"));
    assert_eq!(scene.object(&scene.keys().request(&scene.user)), None, "nobody had to be asked");
}

#[tokio::test]
async fn a_control_plane_node_boots_again_without_signing_again() {
    let (scene, _api) = scene().await;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let grant = scene.object(&scene.keys().grant(&scene.user));
    let done = scene.machine.kept();
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.object(&scene.keys().grant(&scene.user)), grant);
    assert_eq!(scene.machine.kept(), done);
}

/// A worker's policy does not let it read the CA's key, whatever its UserData says.
#[tokio::test(start_paused = true)]
async fn a_worker_that_calls_itself_control_plane_reads_no_key() {
    let user_data = user_data("control-plane", "").into_bytes();
    let scene = Scene::with(Setting { user_data, ..Setting::default() });
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1);
    assert!(
        said.contains("S3 denied s3:GetObject on `s3://acme-kubernetes/prod/pki/kubernetes/1."),
        "{said}"
    );
}
