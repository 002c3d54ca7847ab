//! `windlass cluster init` and `apply`, with the shipped operator's policy against the region.

use std::collections::BTreeMap;

use integration::region::s3::store::{PublicAccessBlock, Versioning};
use windlass::client::s3::Condition;
use windlass::config::ClusterFile;
use windlass::exchange::Keys;
use windlass::operator::authority::{self, Authorities, Ensured, KUBERNETES};
use windlass::operator::revisions::{self, Comparison};
use windlass::operator::{Cluster, bucket, caller};
use windlass::pki::PrivateKey;

use crate::operator_scene::{BUCKET, KMS_KEY, Scene, description};

async fn init(cluster: &Cluster) -> Authorities {
    match authority::ensure(cluster, KMS_KEY).await.expect("an authority") {
        Ensured::Made(authorities) | Ensured::Found(authorities) => authorities,
    }
}

async fn compare(cluster: &Cluster, file: &ClusterFile) -> Comparison {
    let wanted = revisions::wanted(cluster, file).await.expect("an authority");
    revisions::compare(cluster, &wanted).await.expect("compared")
}

/// Group → current revision.
async fn current(cluster: &Cluster) -> BTreeMap<String, String> {
    let pointers = revisions::pointers(cluster).await.expect("pointers");
    pointers.into_iter().map(|(group, pointer)| (group, pointer.revision)).collect()
}

#[tokio::test]
async fn an_authority_is_made_once_and_a_second_init_changes_nothing() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    assert_eq!(authority::read(&cluster).await.expect("read"), None);
    let made = authority::ensure(&cluster, KMS_KEY).await.expect("made");
    let Ensured::Made(made) = made else { panic!("{made:?}") };
    let writes = scene.writes();
    let again = authority::ensure(&cluster, KMS_KEY).await.expect("found");
    assert_eq!(again, Ensured::Found(made.clone()));
    assert_eq!(scene.writes(), writes);
    authority::load(&cluster, &made).await.expect("certificate and key belong together");
}

#[tokio::test]
async fn the_authoritys_key_is_encrypted_by_the_clusters_own_key() {
    let scene = Scene::new();
    init(&scene.cluster()).await;
    let key = Keys::of("prod").ca_key(KUBERNETES, 1);
    let encryption = scene.region.with(|state, _| {
        let object = state.s3.object(BUCKET, &key).expect("a key");
        (object.encryption.key_id(), object.encryption.bucket_key())
    });
    assert_eq!(encryption, (Some(KMS_KEY.to_owned()), None));
}

#[tokio::test]
async fn an_init_that_was_cut_off_is_gone_on_with() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    let key = PrivateKey::generate().expect("a key");
    let name = cluster.keys.ca_key(KUBERNETES, 1);
    let pem = key.to_pem().into_bytes();
    cluster.store.put_encrypted(&name, pem, Condition::Absent, KMS_KEY).await.expect("written");
    let made = init(&cluster).await;
    let certificates = made.certificates();
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].1.public_key_sha256, key.public_key_sha256());
}

#[tokio::test]
async fn two_who_init_at_once_end_with_the_same_authority() {
    let scene = Scene::new();
    let (ann, bob) = (scene.cluster(), scene.cluster_of(&scene.colleague("bob")));
    let (one, two) = tokio::join!(init(&ann), init(&bob));
    assert_eq!(one, two);
    authority::load(&ann, &one).await.expect("certificate and key belong together");
}

#[tokio::test]
async fn a_bucket_that_is_not_fit_is_told_how_to_become_so() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    assert_eq!(bucket::shortcomings(&cluster).await.expect("checked"), []);
    scene.region.with(|state, _| {
        let bucket = state.s3.bucket_mut(BUCKET).expect("a bucket");
        bucket.versioning = Versioning::Suspended;
        let open = PublicAccessBlock { block_public_policy: false, ..PublicAccessBlock::ALL };
        bucket.public_access_block = Some(open);
    });
    let said = bucket::shortcomings(&cluster).await.expect("checked");
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "versioning of bucket `acme-kubernetes` is Suspended, wanted Enabled\n  \
             hint: aws s3api put-bucket-versioning --bucket acme-kubernetes --region eu-west-1 \
             --versioning-configuration Status=Enabled",
            "bucket `acme-kubernetes` does not block public access: BlockPublicPolicy is off\n  \
             hint: aws s3api put-public-access-block --bucket acme-kubernetes --region eu-west-1 \
             --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,\
             BlockPublicPolicy=true,RestrictPublicBuckets=true",
        ]
    );
    scene.region.with(|state, _| {
        let bucket = state.s3.bucket_mut(BUCKET).expect("a bucket");
        (bucket.versioning, bucket.public_access_block) = (Versioning::Never, None);
    });
    let said = bucket::shortcomings(&cluster).await.expect("checked");
    let messages: Vec<&str> = said.iter().map(|hinted| hinted.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "versioning of bucket `acme-kubernetes` was never switched on, wanted Enabled",
            "bucket `acme-kubernetes` does not block public access: everything is off",
        ]
    );
}

#[tokio::test]
async fn an_absent_bucket_is_told_how_to_be_made() {
    let scene = Scene::new();
    let sdk = scene.sdk(&scene.administrator());
    let cluster = Cluster::new(&sdk, "acme-kubernets", "prod");
    let said = bucket::shortcomings(&cluster).await.expect("checked");
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["there is no bucket `acme-kubernets`\n  hint: aws s3api create-bucket --bucket \
          acme-kubernets --region eu-west-1 --create-bucket-configuration \
          LocationConstraint=eu-west-1"]
    );
}

#[tokio::test]
async fn who_is_denied_is_told_the_permission_and_where_to_get_it() {
    let scene = Scene::new();
    let cluster = scene.cluster_of(&scene.stranger());
    let error = bucket::shortcomings(&cluster).await.expect_err("denied");
    assert_eq!(
        format!("{error:#}"),
        "S3 denied s3:GetBucketVersioning on bucket `acme-kubernetes`\n  hint: the operator's \
         policy allows it: `windlass cluster policy operator --cluster prod --bucket \
         acme-kubernetes` prints it"
    );
    let error = revisions::pointers(&cluster).await.expect_err("denied").to_string();
    assert!(
        error.starts_with("S3 denied s3:ListBucket on `s3://acme-kubernetes/prod/groups/`"),
        "{error}"
    );
    assert!(
        error.ends_with(
            "`windlass cluster policy operator --cluster prod --bucket acme-kubernetes` prints it"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_applied_before_there_is_an_authority() {
    let scene = Scene::new();
    let error = revisions::wanted(&scene.cluster(), &description("a = \"b\"")).await;
    assert_eq!(
        error.expect_err("no authority").to_string(),
        "s3://acme-kubernetes/prod has no authority yet, whose certificate every node needs\n  \
         hint: windlass cluster init --file cluster.toml"
    );
}

#[tokio::test]
async fn applying_twice_is_applying_once() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    init(&cluster).await;
    let file = description("tier = \"general\"");
    let first = compare(&cluster, &file).await;
    assert!(first.changes.iter().all(|change| change.from.is_none() && !change.is_none()));
    revisions::apply(&cluster, &first.changes, "arn:aws:iam::123456789012:user/ann")
        .await
        .expect("applied");
    for change in &first.changes {
        assert_eq!(revisions::text(&cluster, &change.to).await.expect("a revision"), change.after);
    }
    let writes = scene.writes();
    let second = compare(&cluster, &file).await;
    assert!(second.changes.iter().all(revisions::Change::is_none), "{second:?}");
    revisions::apply(&cluster, &second.changes, "arn:aws:iam::123456789012:user/ann")
        .await
        .expect("applied");
    assert_eq!(scene.writes(), writes);
}

#[tokio::test]
async fn comparing_writes_nothing_and_shows_only_what_changes() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    init(&cluster).await;
    let first = compare(&cluster, &description("tier = \"general\"")).await;
    revisions::apply(&cluster, &first.changes, "ann").await.expect("applied");
    let (before, writes) = (current(&cluster).await, scene.writes());
    let second = compare(&cluster, &description("tier = \"spot\"")).await;
    assert_eq!(scene.writes(), writes);
    let changed: Vec<&str> = second
        .changes
        .iter()
        .filter(|change| !change.is_none())
        .map(|change| change.group.as_str())
        .collect();
    assert_eq!(changed, ["workers"]);
    revisions::apply(&cluster, &second.changes, "ann").await.expect("applied");
    let after = current(&cluster).await;
    assert_eq!(after["control-plane"], before["control-plane"]);
    assert_ne!(after["workers"], before["workers"]);
    revisions::text(&cluster, &before["workers"]).await.expect("old revisions stay");
}

#[tokio::test]
async fn a_group_that_is_not_described_any_more_is_named_and_left() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    init(&cluster).await;
    let mut wanted =
        revisions::wanted(&cluster, &description("a = \"b\"")).await.expect("an authority");
    let all = revisions::compare(&cluster, &wanted).await.expect("compared");
    revisions::apply(&cluster, &all.changes, "ann").await.expect("applied");
    wanted.remove("workers");
    let fewer = revisions::compare(&cluster, &wanted).await.expect("compared");
    assert_eq!(fewer.others, ["workers"]);
    revisions::apply(&cluster, &fewer.changes, "ann").await.expect("applied");
    assert!(current(&cluster).await.contains_key("workers"));
}

#[tokio::test]
async fn whoever_is_overtaken_is_told_by_whom() {
    let scene = Scene::new();
    let (ann, bob) = (scene.cluster(), scene.colleague("bob"));
    init(&ann).await;
    let first = compare(&ann, &description("tier = \"general\"")).await;
    revisions::apply(&ann, &first.changes, "ann").await.expect("applied");
    let anns = compare(&ann, &description("tier = \"ann\"")).await;
    let bobs_cluster = scene.cluster_of(&bob);
    let bobs = compare(&bobs_cluster, &description("tier = \"bob\"")).await;
    let bobs_arn = caller(&scene.sdk(&bob)).await;
    revisions::apply(&bobs_cluster, &bobs.changes, &bobs_arn).await.expect("applied");
    let error = revisions::apply(&ann, &anns.changes, "ann").await.expect_err("overtaken");
    let hash = |comparison: &Comparison| revisions::short(&comparison.changes[1].to).to_owned();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "0 of 1 groups were moved: group `workers` was moved from {} to {} by \
             arn:aws:iam::123456789012:user/bob at 2026-11-23T12:00:00Z while it was compared; \
             wanted {}\n  hint: look at it with `windlass cluster show`, then apply again",
            hash(&first),
            hash(&bobs),
            hash(&anns),
        )
    );
    assert_eq!(current(&ann).await["workers"], bobs.changes[1].to);
}

#[tokio::test]
async fn a_revision_that_was_tampered_with_is_noticed() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    init(&cluster).await;
    let all = compare(&cluster, &description("a = \"b\"")).await;
    revisions::apply(&cluster, &all.changes, "ann").await.expect("applied");
    let revision = &all.changes[1].to;
    let key = cluster.keys.config(revision);
    scene.region.with(|state, now| state.s3.put(BUCKET, &key, "other", now)).expect("a bucket");
    let error = revisions::current(&cluster, "workers").await.expect_err("tampered with");
    assert_eq!(
        error.to_string(),
        format!("`{key}` has the hash {}: it was tampered with", revisions::hash("other"))
    );
}

#[tokio::test]
async fn a_group_that_is_unknown_is_answered_with_those_that_are_known() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    init(&cluster).await;
    let all = compare(&cluster, &description("a = \"b\"")).await;
    revisions::apply(&cluster, &all.changes, "ann").await.expect("applied");
    let error = revisions::current(&cluster, "worker").await.expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "s3://acme-kubernetes/prod has no group `worker`\n  hint: it has `control-plane`, `workers`"
    );
}
