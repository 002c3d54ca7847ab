//! What hinders a drain, each with the end that it comes to, by when, and what a person reads: the real
//! `windlass watch`, a real API server, and all of it at the same time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use integration::lab::cli::product;
use integration::lab::progress::Progress;
use integration::lab::torture::{Budget, Ground, Kind, Milestone, Node, Pod, Scene, Setting, hear};
use integration::region::autoscaling::By;
use integration::region::call::Service;
use integration::region::{Fault, Rule};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

/// All of them at once: each mostly waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_hinders_a_drain_it_ends_as_stated_by_the_stated_deadline() {
    let windlass = product::of_this_build().unwrap();
    let ground = Ground::open(&windlass, &Progress::quiet()).await.unwrap();
    let cases: Vec<(&str, BoxFuture<'_, ()>)> = vec![
        ("a budget that never allows, wait", Box::pin(refused_and_waited_for(&ground))),
        ("a budget that never allows, delete", Box::pin(refused_and_deleted(&ground))),
        ("a pod with a finalizer", Box::pin(finalizer(&ground))),
        ("a grace of an hour", Box::pin(grace_of_an_hour(&ground))),
        ("110 pods", Box::pin(many_pods(&ground))),
        ("a webhook that nobody answers for", Box::pin(webhook(&ground))),
        ("no API server", Box::pin(no_api_server(&ground))),
        ("an expired certificate", Box::pin(expired_certificate(&ground))),
        ("IMDS with 503", Box::pin(imds(&ground, "503", Fault::Unavailable))),
        ("a silent IMDS", Box::pin(imds(&ground, "silent", Fault::Timeout))),
        ("a hook that is deleted", Box::pin(deleted_hook(&ground))),
        ("a hook with another name", Box::pin(hook_with_another_name(&ground))),
        ("a truncated journal", Box::pin(journal_unreadable(&ground, "cut", "{\"version\": 1,"))),
        ("a journal of the future", Box::pin(journal_unreadable(&ground, "new", FUTURE))),
        ("a full disk", Box::pin(full_disk(&ground))),
        ("a clock that jumps", Box::pin(clock_jumps(&ground))),
        ("two of them", Box::pin(two_of_them(&ground))),
    ];
    let ended = join_all(cases.into_iter().map(async |(name, case)| {
        let ended = AssertUnwindSafe(case).catch_unwind().await;
        (name, ended.is_ok())
    }));
    let ended = ended.await;
    let failed: Vec<&str> = ended.iter().filter(|(_, good)| !good).map(|(name, _)| *name).collect();
    assert_eq!(failed, [""; 0]);
}

const FUTURE: &str = r#"{"version": 2}"#;
/// The shortest that the configuration takes.
const DEADLINE: &str = "deadline = \"10s\"\nderegistration_delay = \"0s\"";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One that ends soon after it was asked to.
fn pod(name: &str, kind: Kind) -> Pod {
    Pod::new(name, kind, Some(Duration::from_millis(300)))
}

/// A scene, and what happened in it if it does not end well.
struct Told(Scene);

impl Told {
    async fn set(ground: &Arc<Ground>, setting: &Setting) -> Self {
        Self::prepared(ground, setting, |_: &Node| Ok(())).await
    }

    /// Announced as soon as the program has asked IMDS.
    async fn prepared(
        ground: &Arc<Ground>,
        setting: &Setting,
        prepare: impl FnOnce(&Node) -> anyhow::Result<()>,
    ) -> Self {
        let told = Self(Scene::set(ground, setting, |_, node| prepare(node)).await.unwrap());
        tokio::time::sleep(seconds(2)).await;
        told
    }

    fn story(&self) -> String {
        self.0.book.shown(self.0.aws.calls(), self.0.book.now())
    }

    fn terminate(&self) {
        self.0.terminate().unwrap();
    }

    async fn hears(&self, what: &str, within: Duration) {
        let heard = async {
            while !self.0.book.says(what) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let heard = tokio::time::timeout(within, heard).await;
        assert!(heard.is_ok(), "nobody said `{what}`:\n{}", self.story());
    }

    /// That the hook was completed by a call, in so many seconds from now.
    async fn completed(&self, within: std::ops::Range<u64>) {
        let began = self.0.book.now();
        let over = self.0.over(seconds(within.end)).await;
        let took = (self.0.book.now() - began).as_seconds_f64();
        let by = over.map(|over| over.by);
        let wanted = within.start as f64..=within.end as f64;
        assert!(
            by == Some(By::Call) && wanted.contains(&took),
            "{by:?} after {took:.1} s, wanted {wanted:?}:\n{}",
            self.story()
        );
    }

    /// The pods that are there still.
    fn here(&self) -> Vec<String> {
        let lives = self.0.book.lives().into_iter();
        lives.filter(|(_, life)| !life.gone).map(|(name, _)| name).collect()
    }
}

async fn refused_and_waited_for(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("wait", DEADLINE);
    setting.pods = vec![pod("web", Kind::Web), pod("bare", Kind::Bare)];
    setting.budget = Budget::NoneAway;
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.hears("Cannot evict pod as it would violate the pod's disruption budget.", seconds(5))
        .await;
    told.completed(5..12).await;
    assert_eq!(told.here(), ["web"]);
    told.hears(&format!("still here: {}/web", told.0.aws.instance), seconds(2)).await;
}

async fn refused_and_deleted(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("delete", &format!("{DEADLINE}\nwhen_refused = \"delete\""));
    setting.pods = vec![Pod { grace_seconds: 4, ..pod("web", Kind::Web) }];
    setting.budget = Budget::NoneAway;
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.hears(" s to end: it could not be evicted in time", seconds(9)).await;
    told.completed(0..4).await;
    assert_eq!(told.here(), [""; 0]);
    told.hears("1 of them forced", seconds(2)).await;
}

async fn finalizer(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("finalizer", DEADLINE);
    setting.pods = vec![Pod { finalizer: true, ..pod("held", Kind::Bare) }];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.completed(9..13).await;
    told.hears(&format!("still here: {}/held", told.0.aws.instance), seconds(2)).await;
}

async fn grace_of_an_hour(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("grace", DEADLINE);
    setting.pods = vec![Pod { grace_seconds: 3600, ..pod("patient", Kind::Bare) }];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.completed(0..6).await;
    told.hears("/patient, with ", seconds(1)).await;
    told.hears(" s instead of its own", seconds(1)).await;
}

async fn many_pods(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("many", "deadline = \"60s\"\nderegistration_delay = \"0s\"");
    setting.pods = (0..110).map(|number| pod(&format!("pod-{number}"), Kind::Bare)).collect();
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.completed(0..25).await;
    assert_eq!(told.here(), [""; 0]);
    told.hears("110 pods left within", seconds(2)).await;
}

/// Of the cluster's own, for evictions in the node's namespace.
async fn webhook(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("webhook", &format!("{DEADLINE}\nwhen_refused = \"delete\""));
    setting.pods = vec![Pod { grace_seconds: 4, ..pod("guarded", Kind::Bare) }];
    let told = Told::set(ground, &setting).await;
    let name = &told.0.aws.instance;
    let webhook: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": { "name": name },
        "webhooks": [{
            "name": "evictions.acme.example", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
            "clientConfig": { "url": "https://127.0.0.1:1/" },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["pods/eviction"],
            }],
        }],
    }))
    .unwrap();
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(ground.client.clone());
    webhooks.create(&PostParams::default(), &webhook).await.unwrap();
    tokio::time::sleep(seconds(2)).await;
    told.terminate();
    told.hears("failed calling webhook \"evictions.acme.example\"", seconds(5)).await;
    told.completed(1..11).await;
    told.hears("1 of them forced", seconds(2)).await;
}

async fn no_api_server(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("alone", DEADLINE);
    setting.pods = vec![pod("bare", Kind::Bare)];
    let silent = |node: &Node| {
        node.gate.silence();
        Ok(())
    };
    let told = Told::prepared(ground, &setting, silent).await;
    told.terminate();
    told.completed(9..13).await;
    told.hears("without knowing the node's pods", seconds(2)).await;
    assert_eq!(told.here(), ["bare"]);
}

/// Nobody renews it, as kubelet does.
async fn expired_certificate(ground: &Arc<Ground>) {
    let mut setting =
        Setting::usual("expired", "deadline = \"20s\"\nderegistration_delay = \"0s\"");
    setting.node.certificate_lifetime = seconds(15);
    setting.pods = vec![pod("bare", Kind::Bare), Pod::new("slow", Kind::Bare, Some(seconds(60)))];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.hears("pod bare is gone", seconds(5)).await;
    told.completed(10..24).await;
    told.hears(&format!("still here: {}/slow", told.0.aws.instance), seconds(2)).await;
}

/// What was announced meanwhile is done as soon as it is known.
async fn imds(ground: &Arc<Ground>, name: &str, fault: Fault) {
    let mut setting = Setting::usual(&format!("imds-{name}"), DEADLINE);
    setting.pods = vec![pod("bare", Kind::Bare)];
    let told = Told::set(ground, &setting).await;
    let faults = told.0.aws.region.faults();
    faults.add(Rule::always(fault).service(Service::Imds));
    told.terminate();
    told.hears("what AWS announces is not known now", seconds(8)).await;
    faults.clear();
    told.hears("IMDS answers again", seconds(9)).await;
    told.completed(0..6).await;
}

async fn deleted_hook(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("deleted", DEADLINE);
    setting.pods = vec![Pod::new("slow", Kind::Bare, Some(seconds(4)))];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.0.book.after(Milestone::Asked, Duration::ZERO).await;
    told.0.aws.delete_hook().unwrap();
    told.hears("the termination hook has no pending action", seconds(20)).await;
    assert_eq!(told.here(), [""; 0]);
}

async fn hook_with_another_name(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("misnamed", DEADLINE);
    setting.node.hook = "misnamed";
    setting.pods = vec![pod("bare", Kind::Bare)];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.hears("it has another name than the configuration says", seconds(20)).await;
    assert_eq!(told.0.aws.finished(), []);
}

async fn journal_unreadable(ground: &Arc<Ground>, name: &str, text: &str) {
    let mut setting = Setting::usual(&format!("journal-{name}"), DEADLINE);
    setting.pods = vec![pod("bare", Kind::Bare)];
    let write = |node: &Node| Ok(std::fs::write(node.path("/var/lib/windlass/drain.json"), text)?);
    let told = Told::prepared(ground, &setting, write).await;
    told.hears("the drain begins anew", seconds(5)).await;
    let why =
        if text == FUTURE { "has the layout 2, wanted 1" } else { "is not as a drain writes it" };
    told.hears(why, seconds(1)).await;
    told.terminate();
    told.completed(0..6).await;
    let kept = told.0.node.path("/var/lib/windlass/drain.json.unreadable");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), text);
}

async fn full_disk(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("full", DEADLINE);
    setting.node.full_disk = true;
    setting.pods = vec![pod("bare", Kind::Bare)];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.completed(0..6).await;
    told.hears("the drain goes on, and a restart would begin it anew", seconds(1)).await;
}

/// The machine's, by an hour, as AWS sees it; no other clock is as easily set.
async fn clock_jumps(ground: &Arc<Ground>) {
    let mut setting = Setting::usual("clock", DEADLINE);
    setting.pods = vec![Pod::new("slow", Kind::Bare, Some(seconds(2)))];
    let told = Told::set(ground, &setting).await;
    told.terminate();
    told.0.book.after(Milestone::Asked, Duration::ZERO).await;
    told.0.aws.region.clock().skew(time::Duration::hours(1));
    told.completed(1..10).await;
}

async fn two_of_them(ground: &Arc<Ground>) {
    let told = Told::set(ground, &Setting::usual("two", DEADLINE)).await;
    let mut second = told.0.node.watch().unwrap();
    let hearing = hear(&mut second, told.0.book.clone()).unwrap();
    hearing.await;
    assert_eq!(second.wait().await.unwrap().code(), Some(1));
    told.hears("another `windlass watch` holds /run/windlass/watch.lock", seconds(1)).await;
}
