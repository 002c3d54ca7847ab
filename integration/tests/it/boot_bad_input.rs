//! What goes wrong on a way in, and what a person reads then.

use std::time::Duration;

use integration::region::call::{Service, ServiceError};
use integration::region::inprocess::InProcess;
use integration::region::{Fault, Rule};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use windlass::boot::boot;
use windlass::cli::Started;
use windlass::client::Wire;
use windlass::exchange::Grant;
use windlass::host::Machine;
use windlass::pki::CertificateAuthority;

use crate::boot_apiserver::{ApiServer, Says};
use crate::boot_scene::{BUCKET, GROUP, HOOK, Scene, Setting, put_revision, user_data};

fn with_user_data(text: &str) -> Scene {
    Scene::with(Setting { user_data: text.as_bytes().to_vec(), ..Setting::default() })
}

#[tokio::test(start_paused = true)]
async fn user_data_that_is_missing_is_said_at_once() {
    let (said, code) = with_user_data("").failure().await;
    assert_eq!(code, 78);
    assert_eq!(
        said,
        "UserData: is empty, wanted TOML\n  hint: UserData names the cluster: cluster = \"prod\", \
         bucket = \"acme-kubernetes\", group = \"workers\", each on a line"
    );
}

#[tokio::test(start_paused = true)]
async fn a_configuration_with_several_mistakes_says_all_of_them() {
    let scene = Scene::usual();
    let text = String::from_utf8(scene.object(&scene.keys().config(&scene.revision)).expect("it"));
    let wrong = text
        .expect("text")
        .replace("role = \"worker\"", "role = \"wroker\"")
        .replace("10.128.0.0/16", "10.128.0.0/33")
        .replace("deadline = \"15m\"", "deadline = \"15 parsecs\"")
        .replace("ca_generation = 1", "ca_generation = -1")
        .replace("launch = ", "lunch = ");
    scene.region.with(|state, now| put_revision(state, "workers", &wrong, now));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 78);
    for key in [
        "`node.role`",
        "`network.pods[0]`",
        "`boot.deadline`",
        "`api.ca_generation`",
        "`hooks.lunch`",
    ] {
        let line = said.lines().find(|line| line.contains(key));
        let line = line.unwrap_or_else(|| panic!("no word about {key} in:\n{said}"));
        assert!(line.contains(", line "), "{line}");
    }
    assert!(said.contains("hint: did you mean `launch`?"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_was_tampered_with_is_not_used() {
    let scene = Scene::usual();
    let key = scene.keys().config(&scene.revision);
    scene.put(&key, "group = \"workers\"\n");
    let (said, code) = scene.failure().await;
    assert_eq!(code, 78);
    let found = hex::encode(Sha256::digest("group = \"workers\"\n"));
    let wanted = format!(
        "`s3://{BUCKET}/{key}` has the SHA-256 {found}, wanted the one in its name\n\
         hint: somebody changed an object that is never changed; `windlass cluster apply` writes it again"
    );
    assert_eq!(said, wanted);
    assert!(!scene.machine.path("/etc/kubernetes").exists(), "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_unknown_is_named_with_both_things_it_may_mean() {
    let scene = with_user_data(&user_data("wrokers", ""));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1, "IAM may only be late");
    assert!(
        said.starts_with(&format!(
            "S3 denied s3:GetObject on `s3://{BUCKET}/prod/groups/wrokers`: AccessDenied: "
        )),
        "{said}"
    );
    assert!(
        said.ends_with(&format!(
            "\nhint: is there a group `wrokers`? If so, the instance's role needs s3:GetObject on \
             arn:aws:s3:::{BUCKET}/prod/groups/wrokers: compare it with `windlass cluster policy worker`"
        )),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_there_is_named() {
    let scene = with_user_data(&user_data("workers", "").replace(BUCKET, "acme-kubrenetes"));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 78);
    assert_eq!(
        said,
        "there is no bucket `acme-kubrenetes`\n\
         hint: UserData names `acme-kubrenetes`; is it spelt so, and in this partition?"
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_the_group_does_not_list_is_denied_by_iam_and_explained() {
    let scene = Scene::usual();
    let text = scene.object(&scene.keys().config(&scene.revision)).expect("the revision");
    let text = String::from_utf8(text).expect("text");
    let other = text.replace(&scene.user.role_id, "AROAANOTHERROLE00001");
    scene.region.with(|state, now| put_revision(state, "workers", &other, now));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1);
    let key = format!("prod/inbox/AROAANOTHERROLE00001:{}", scene.instance);
    assert!(
        said.starts_with(&format!("S3 denied s3:PutObject on `s3://{BUCKET}/{key}`: ")),
        "{said}"
    );
    assert!(
        said.contains(
            "hint: is this instance's role the one that the group lists, `AROAANOTHERROLE00001`?"
        ),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_by_an_hour_is_called_so() {
    let scene = Scene::usual();
    scene.region.clock().skew(time::Duration::hours(1));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1);
    assert!(
        said.starts_with("this machine's clock is wrong by S3's measure: RequestTimeTooSkewed: "),
        "{said}"
    );
    assert!(
        said.ends_with("\nhint: is chrony running, and does it reach 169.254.169.123?"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_of_the_metadata_service_is_explained_by_hops() {
    let scene = Scene::usual();
    let outside = InProcess::outside(&scene.region);
    let wire = Wire { http: outside.client(), time: outside.time(), dns: None };
    let failure = boot(&scene.machine, wire, Started::now()).await.expect_err("no metadata");
    let said = format!("{:#}", failure.error());
    assert!(
        said.starts_with(
            "IMDS at 169.254.169.254 did not answer `PUT /latest/api/token` within 60 s ("
        ),
        "{said}"
    );
    assert!(said.contains(" attempts; the last: no answer within 1 s)\nhint: "), "{said}");
    assert!(said.contains("over more hops than `http-put-response-hop-limit` allows"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_metadata_service_that_is_slow_or_busy_is_waited_out() {
    for fault in
        [Fault::Unavailable, Fault::Timeout, Fault::Slow(Duration::from_secs(3)), Fault::Throttle]
    {
        let scene = with_user_data(&user_data("workers", "").replace(BUCKET, "acme-kubrenetes"));
        let rule = Rule::always(fault.clone()).service(Service::Imds).from_call(2).times(3);
        scene.region.faults().add(rule);
        let (said, _) = scene.failure().await;
        // It came as far as S3.
        assert!(said.starts_with("there is no bucket"), "{fault}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_metadata_token_that_expired_is_replaced_once() {
    let expired = || Fault::Refuse(ServiceError::new(401, "Unauthorized", ""));
    let scene = with_user_data(&user_data("workers", "").replace(BUCKET, "acme-kubrenetes"));
    let rule = Rule::always(expired()).service(Service::Imds);
    scene.region.faults().add(rule.clone().from_call(3).times(1));
    let (said, _) = scene.failure().await;
    assert!(said.starts_with("there is no bucket"), "{said}");
    assert_eq!(scene.region.calls().count(&scene.instance, "imds:PUT"), 2);

    scene.region.faults().clear();
    scene.region.faults().add(rule.on(Service::Imds, "GET dynamic/instance-identity/document"));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "IMDS answered `GET /latest/dynamic/instance-identity/document` with status 401, although the token was new"
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_late_are_waited_for() {
    let late = Setting {
        user_data: user_data("workers", "").replace(BUCKET, "acme-kubrenetes").into_bytes(),
        credentials_delay: Duration::from_secs(12),
        ..Setting::default()
    };
    let (said, _) = Scene::with(late).failure().await;
    assert!(said.starts_with("there is no bucket"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_garbage_is_not_used_and_the_launch_is_abandoned() {
    let scene = Scene::usual();
    let key = scene.keys().grant(&scene.user);
    scene.put(&key, "not a grant");
    let (said, code) = scene.failure().await;
    assert_eq!(code, 78);
    assert_eq!(
        said,
        format!(
            "the grant `s3://{BUCKET}/{key}` cannot be used: expected ident at line 1 column 2"
        )
    );
    assert_eq!(scene.lifecycle(), None, "Auto Scaling has given it up");
    let report = scene.report();
    assert_eq!(report.failure, Some(said));
    assert_eq!(report.notes, [format!("completed hook `{HOOK}` with ABANDON")]);
    // The group has another one already.
    let replaced =
        scene.region.with(|state, _| state.autoscaling.group(GROUP).expect("it").members.len());
    assert_eq!(replaced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_another_authority_is_not_used() {
    let scene = Scene::usual();
    let other = CertificateAuthority::make("mallory", OffsetDateTime::now_utc()).expect("one");
    let boot = scene.failure();
    // What an admitter of another cluster would write, for the key that this instance made.
    let forge = async {
        let inbox = scene.keys().request(&scene.user);
        let request = loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if let Some(bytes) = scene.object(&inbox) {
                break serde_json::from_slice::<windlass::exchange::Request>(&bytes).expect("one");
            }
        };
        let csr = windlass::pki::SigningRequest::verify(&request.csr).expect("a request");
        let signed = other.sign(&csr, request.at, Duration::from_secs(3600)).expect("signed");
        let grant = Grant {
            version: 1,
            instance: scene.user.instance.clone(),
            node: scene.instance.clone(),
            group: "workers".to_owned(),
            certificate: signed.certificate,
            not_after: signed.not_after,
            pod_cidrs: vec!["10.128.0.0/24".parse().expect("a CIDR")],
            at: request.at,
            public_key_sha256: csr.public_key_sha256(),
        };
        scene.put(&scene.keys().grant(&scene.user), serde_json::to_vec(&grant).expect("JSON"));
    };
    let ((said, code), ()) = tokio::join!(boot, forge);
    assert_eq!(code, 78);
    assert!(
        said.ends_with(
            "cannot be used: its certificate is signed by none of the configuration's CAs"
        ),
        "{said}"
    );
    assert!(!scene.machine.path("/var/lib/kubelet/pki").exists());
}

#[tokio::test(start_paused = true)]
async fn nobody_who_admits_is_said_at_the_deadline_and_the_launch_is_abandoned() {
    let scene = Scene::usual();
    let (said, code) = scene.failure().await;
    assert_eq!(code, 1);
    let place = format!("s3://{BUCKET}/{}", scene.keys().grant(&scene.user));
    assert_eq!(
        said,
        format!(
            "not admitted within 15 min: the grant is not there (`{place}`)\n\
             hint: is `windlass admit` running on the control plane, and does it say anything about {}?",
            scene.instance
        )
    );
    assert_eq!(scene.lifecycle(), None, "Auto Scaling has given it up");
}

#[tokio::test]
async fn a_kubelet_that_never_is_ready_is_quoted() {
    let authority =
        CertificateAuthority::make("kubernetes", OffsetDateTime::now_utc()).expect("one");
    let says = Says {
        status: "False",
        message: "container runtime network not ready: NetworkReady=false",
    };
    let api = ApiServer::start(&authority, says).await;
    let setting = Setting { api: api.endpoint(), deadline: "5s", ..Setting::default() };
    let scene = Scene::new(setting, authority);
    let admitter = scene.admitter().await;
    let (said, code) = scene.failure().await;
    admitter.abort();
    assert_eq!(code, 1);
    assert_eq!(
        said,
        format!(
            "node `{}` is not Ready within 5 s: Ready is False (KubeletState): container runtime \
             network not ready: NetworkReady=false\nkubelet's journal says last:\nnothing",
            scene.instance
        )
    );
    assert_eq!(scene.lifecycle(), None, "Auto Scaling has given it up");
}

#[tokio::test]
async fn an_api_endpoint_that_cannot_be_resolved_is_named() {
    let setting = Setting {
        api: "https://api.nowhere.invalid:6443".to_owned(),
        deadline: "5s",
        ..Setting::default()
    };
    let scene = Scene::with(setting);
    let admitter = scene.admitter().await;
    let (said, code) = scene.failure().await;
    admitter.abort();
    assert_eq!(code, 1);
    let start = format!(
        "node `{}` is not Ready within 5 s: `api.nowhere.invalid` does not resolve: ",
        scene.instance
    );
    assert!(said.starts_with(&start), "{said}");
}

/// The machine's folder is looked at as a person would after a failed boot.
#[tokio::test(start_paused = true)]
async fn a_boot_that_failed_has_lost_nothing() {
    let scene = Scene::usual();
    std::fs::create_dir_all(scene.machine.path("/etc/kubernetes")).expect("a folder");
    let precious = scene.machine.path("/etc/kubernetes/precious");
    std::fs::write(&precious, "mine").expect("a file");
    scene.failure().await;
    assert_eq!(std::fs::read_to_string(precious).expect("still there"), "mine");
    let again = Machine::folder(scene.machine.path("/"));
    let before = std::fs::read(again.path("/var/lib/windlass/identity/key.pem")).expect("the key");
    scene.failure().await;
    let after = std::fs::read(again.path("/var/lib/windlass/identity/key.pem")).expect("the key");
    assert_eq!(before, after, "the key is kept: another one would never be admitted");
}
