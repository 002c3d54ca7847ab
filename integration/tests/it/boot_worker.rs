//! A worker's way in, from UserData to Ready.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use integration::region::call::Service;
use integration::region::{Fault, Rule};
use time::OffsetDateTime;
use windlass::exchange::Grant;
use windlass::pki::CertificateAuthority;
use windlass::report::Outcome;

use crate::boot_apiserver::{ApiServer, READY};
use crate::boot_scene::{Scene, Setting, put_revision};

pub struct Cluster {
    pub scene: Scene,
    pub api: ApiServer,
    admitter: tokio::task::JoinHandle<()>,
}

impl Cluster {
    /// A cluster with an admitter and an API server that calls every Node Ready.
    pub async fn new(setting: Setting) -> Self {
        let authority = CertificateAuthority::make("kubernetes", OffsetDateTime::now_utc())
            .expect("an authority");
        let api = ApiServer::start(&authority, READY).await;
        let scene = Scene::new(Setting { api: api.endpoint(), ..setting }, authority);
        let admitter = scene.admitter().await;
        Self { scene, api, admitter }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.admitter.abort();
    }
}

#[tokio::test]
async fn a_worker_gets_its_identity_and_becomes_ready() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));

    let grant = scene.object(&scene.keys().grant(&scene.user)).expect("a grant");
    let grant: Grant = serde_json::from_slice(&grant).expect("a grant");
    let asked = cluster.api.asked.lock().expect("the log").clone();
    let who = format!("O=system:nodes, CN=system:node:{}", scene.instance);
    assert!(asked.iter().any(|(caller, _)| *caller == who), "{asked:?}");

    let conflist = scene.machine.read_text("/etc/cni/net.d/10-windlass.conflist");
    let conflist = conflist.expect("readable").expect("a CNI configuration");
    assert!(conflist.contains(&grant.pod_cidrs[0].to_string()), "{conflist}");
    let did = scene.machine.kept();
    let routes: Vec<_> = did.iter().filter(|it| it.starts_with("ip route add")).collect();
    let blackhole = format!("ip route add blackhole {} metric 4096", grant.pod_cidrs[0]);
    assert_eq!((did[0].as_str(), routes.len()), ("nft replace table inet windlass", 2), "{did:?}");
    assert!(did.contains(&blackhole), "{did:?}");
    let last = did.last().map(String::as_str);
    assert_eq!(
        last,
        Some("systemctl start containerd.service kubelet.service windlass-watch.service")
    );
    assert_eq!(scene.lifecycle(), Some("InService"));
    let link = scene.machine.path("/var/lib/kubelet/pki/kubelet-client-current.pem");
    assert!(link.symlink_metadata().expect("the link").is_symlink());
}

#[tokio::test]
async fn the_report_says_what_each_step_did_and_every_call() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    // While an instance's kernel boots, the admitter leases and routes.
    scene.until_routed().await;
    // The request is in the inbox long before the instance hears so: however busy this machine is, the
    // grant is there at the first look for it.
    let late = Rule::always(Fault::Slow(Duration::from_secs(2)));
    let late = late.on(Service::S3, "PutObject").by(&scene.instance).times(1);
    scene.region.faults().add(late);
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let report = scene.report();

    let names: Vec<_> = report.steps.iter().map(|step| step.name.as_str()).collect();
    for name in [
        "metadata",
        "configuration",
        "facts",
        "key",
        "request",
        "prepare",
        "grant",
        "install",
        "kubelet",
        "ready",
    ] {
        assert!(names.contains(&name), "no step `{name}` in {names:?}");
    }
    assert!(report.steps.iter().all(|step| step.end_ms >= step.start_ms));
    assert_eq!(report.failure, None);
    assert!(report.own_ms.expect("own time") <= report.ready_ms.expect("until Ready"));

    // The region's own log must say the same as the report does of itself.
    let counted = |action: &str| {
        scene
            .region
            .calls()
            .records()
            .iter()
            .filter(|call| call.caller.contains(&scene.instance) && call.action == action)
            .count() as u64
    };
    assert_eq!(report.calls.get("s3:GetObject").copied(), Some(counted("GetObject")));
    assert_eq!(report.calls.get("s3:PutObject").copied(), Some(counted("PutObject")));
    assert!(!report.calls.keys().any(|action| action.starts_with("ec2:")), "{:?}", report.calls);
    let asked = |action: &str| report.calls.get(action).copied().unwrap_or_default();
    // The group's revision, the configuration, the grant; request and report; the launch hook.
    assert_eq!((asked("s3:GetObject"), asked("s3:PutObject")), (3, 2), "{:?}", report.calls);
    assert_eq!(asked("autoscaling:CompleteLifecycleAction"), 1, "{:?}", report.calls);
    // Whether it may.
    assert_eq!(asked("autoscaling:RecordLifecycleActionHeartbeat"), 1, "{:?}", report.calls);
    assert_eq!(report.notes, [""; 0]);
    assert!(asked("imds:GET") + asked("imds:PUT") <= 12, "{:?}", report.calls);
}

#[tokio::test]
async fn a_role_that_lacks_what_a_termination_hook_takes_is_named_at_the_boot() {
    for (action, what) in [
        (
            "autoscaling:RecordLifecycleActionHeartbeat",
            "hold its termination hook up while pods leave",
        ),
        ("autoscaling:CompleteLifecycleAction", "complete its termination hook"),
    ] {
        // A launch hook would have failed already.
        let setting = Setting { forbidden: Some(action), launch_hook: false, ..Setting::default() };
        let cluster = Cluster::new(setting).await;
        cluster.scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
        let notes = cluster.scene.report().notes.join("\n");
        let wanted = format!(
            "this instance will not be able to {what}: {action} for hook `windlass-permission-check`"
        );
        assert!(notes.starts_with(&wanted), "{notes}");
        assert!(
            notes.ends_with("hint: `windlass cluster policy worker` prints what the role needs")
        );
    }
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let (before, done) = (tree(scene), scene.machine.kept());
    let first = scene.report();
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(tree(scene), before);
    assert_eq!(scene.machine.kept(), done);
    assert_eq!(scene.report(), first, "the first boot's report is kept");
    // The request of a second run would lie there.
    assert_eq!(scene.object(&scene.keys().request(&scene.user)), None);
}

#[tokio::test]
async fn a_reboot_without_s3_uses_the_last_verified_configuration_and_says_so() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let first = scene.revision.clone();
    scene.put(&scene.keys().group("workers"), "not a hash");
    // What a reboot leaves: files, no running units.
    let rebooted = windlass::host::Machine::folder(scene.machine.path("/"));
    let wire = scene.wire();
    let ended = windlass::boot::boot(&rebooted, wire, windlass::cli::Started::now()).await;
    ended.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let report = scene.report();
    assert_eq!(report.revision, Some(first));
    let note = report.notes.first().expect("a note");
    assert!(note.starts_with("booted with the last verified configuration: "), "{note}");
    assert_eq!(report.steps.iter().filter(|step| step.outcome == Outcome::Failed).count(), 0);
}

#[tokio::test]
async fn a_pinned_revision_is_used_although_the_group_has_a_newer_one() {
    let cluster = Cluster::new(Setting { pinned: true, ..Setting::default() }).await;
    let scene = &cluster.scene;
    let text = scene.object(&scene.keys().config(&scene.revision)).expect("the revision");
    let newer = format!("# newer\n{}", String::from_utf8(text).expect("text"));
    scene.region.with(|state, now| put_revision(state, "workers", &newer, now));
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.report().revision.as_ref(), Some(&scene.revision));
    let asked =
        scene.region.calls().records().into_iter().filter(|call| {
            call.caller.contains(&scene.instance) && call.resource.contains("/groups/")
        });
    assert_eq!(asked.count(), 0);
}

#[tokio::test]
async fn an_instance_of_a_group_with_two_roles_asks_sts_which_it_has() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    let text = scene.object(&scene.keys().config(&scene.revision)).expect("the revision");
    let role = format!("\"{}\"", scene.user.role_id);
    let two = String::from_utf8(text).expect("text");
    let two = two.replace(&role, &format!("\"AROAANOTHERROLE00001\", {role}"));
    scene.region.with(|state, now| put_revision(state, "workers", &two, now));
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.report().calls.get("sts:GetCallerIdentity"), Some(&1));
}

/// Killed anywhere, the next run goes on, and there is one grant and one certificate.
#[tokio::test]
async fn a_boot_that_was_killed_anywhere_goes_on() {
    let mut killed = 0;
    for polls in 1.. {
        let cluster = Cluster::new(Setting::default()).await;
        let scene = &cluster.scene;
        let finished = KilledAfter { polls, of: pin!(scene.boot()) }.await;
        if finished.is_some() {
            break;
        }
        killed += 1;
        // What was on its way to the disk arrives.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        scene
            .boot()
            .await
            .unwrap_or_else(|failure| panic!("killed at {polls}: {:#}", failure.error()));
        let folder = scene.machine.path("/var/lib/kubelet/pki");
        let certificates = std::fs::read_dir(folder).expect("a folder").count();
        assert_eq!(certificates, 2, "a certificate and its link, killed at {polls}");
        let before = tree(scene);
        scene.boot().await.unwrap_or_else(|failure| panic!("third run: {:#}", failure.error()));
        assert_eq!(tree(scene), before, "a third run changes nothing, killed at {polls}");
    }
    assert!(killed >= 8, "killed at {killed} places only");
}

/// Polls a future so many times, then drops it.
struct KilledAfter<'a, F> {
    polls: u32,
    of: Pin<&'a mut F>,
}

impl<F: Future> Future for KilledAfter<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.of.as_mut().poll(context).map(Some)
    }
}

/// Every file below the machine's root but the reports, with its contents and when it was written.
fn tree(scene: &Scene) -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut folders = vec![scene.machine.path("/")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("a file");
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let contents = std::fs::read(&path).expect("contents");
                files.push((path, contents, metadata.modified().expect("a time")));
            }
        }
    }
    files.sort();
    files
}
