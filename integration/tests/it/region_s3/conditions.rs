//! Writes and deletes that are held against what is there, and those who race by them.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, Delete, ObjectIdentifier};
use integration::region::{Profile, Settings};
use time::macros::datetime;

use super::{BUCKET, allow, client, operator, put, refusal, region, region_with, version};

// "How to prevent object overwrites with conditional writes" in the Amazon S3 User Guide

#[tokio::test(start_paused = true)]
async fn a_conditional_write_is_held_against_what_is_there() {
    let region = region();
    let s3 = operator(&region);
    let put =
        |key: &str| s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(b"2"));
    let first = put("k").if_none_match("*").send().await.unwrap().e_tag.unwrap();
    assert_eq!(refusal(put("k").if_none_match("*").send().await), "412 PreconditionFailed");
    assert_eq!(refusal(put("k").if_match("\"0123\"").send().await), "412 PreconditionFailed");
    assert_eq!(refusal(put("none").if_match(&first).send().await), "404 NoSuchKey");
    assert_eq!(refusal(put("k").if_none_match(&first).send().await), "501 NotImplemented");
    put("k").if_match(&first).send().await.unwrap();

    // In a versioned bucket a delete marker is no object.
    version(&s3, BucketVersioningStatus::Enabled).await;
    s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(refusal(put("k").if_match(&first).send().await), "404 NoSuchKey");
    put("k").if_none_match("*").send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn comparing_an_etag_needs_permission_to_read() {
    let region = region();
    let etag = put(&operator(&region), "k", "1").await;
    let writer = client(&region, &allow(&[(&["s3:PutObject", "s3:DeleteObject"], "*")]));
    let put = || writer.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"2"));
    assert_eq!(refusal(put().if_match(&etag).send().await), "403 AccessDenied");
    assert_eq!(refusal(put().if_none_match("*").send().await), "412 PreconditionFailed");
    let delete = || writer.delete_object().bucket(BUCKET).key("k");
    assert_eq!(refusal(delete().if_match(&etag).send().await), "403 AccessDenied");
    delete().if_match("*").send().await.unwrap();
}

/// Each of five writers adds itself by compare-and-swap, again after every refusal. Returns what
/// refused them, writer by writer.
async fn race(seed: u64) -> Vec<String> {
    let settings =
        Settings { latency: Profile::Aws, ..Settings::new(seed, datetime!(2026-11-23 06:00 UTC)) };
    let region = region_with(settings);
    let s3 = operator(&region);
    put(&s3, "leases.json", "").await;
    let add = |name: &'static str| {
        let s3 = s3.clone();
        async move {
            let mut refusals = Vec::new();
            loop {
                let got = s3.get_object().bucket(BUCKET).key("leases.json").send().await.unwrap();
                let etag = got.e_tag.clone().unwrap();
                let mut leases = got.body.collect().await.unwrap().to_vec();
                leases.extend_from_slice(name.as_bytes());
                let put = s3
                    .put_object()
                    .bucket(BUCKET)
                    .key("leases.json")
                    .if_match(etag)
                    .body(leases.into());
                match put.send().await {
                    Ok(_) => return refusals,
                    refused => refusals.push(refusal(refused)),
                }
            }
        }
    };
    let (a, b, c, d, e) = tokio::join!(add("a"), add("b"), add("c"), add("d"), add("e"));
    let leases =
        region.with(|state, _| state.s3.object(BUCKET, "leases.json").unwrap().bytes.clone());
    let mut names = leases.to_vec();
    names.sort();
    assert_eq!(names, b"abcde", "seed {seed}: nobody was overwritten");
    [a, b, c, d, e].concat()
}

#[tokio::test(start_paused = true)]
async fn racing_writers_meet_412_and_now_and_then_409_and_never_overwrite() {
    let mut met = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let refusals = race(seed).await;
        assert_eq!(race(seed).await, refusals, "seed {seed}: the same seed gives the same trace");
        met.extend(refusals);
    }
    let both = ["409 ConditionalRequestConflict", "412 PreconditionFailed"];
    assert_eq!(met.into_iter().collect::<Vec<_>>(), both);
}

// "How to perform conditional deletes" in the Amazon S3 User Guide

#[tokio::test(start_paused = true)]
async fn a_conditional_delete_is_held_against_what_is_there() {
    let region = region();
    let s3 = operator(&region);
    let etag = put(&s3, "k", "1").await;
    let delete = |key: &str| s3.delete_object().bucket(BUCKET).key(key);
    assert_eq!(refusal(delete("k").if_match("\"0123\"").send().await), "412 PreconditionFailed");
    assert_eq!(refusal(delete("none").if_match("*").send().await), "404 NoSuchKey");
    delete("k").if_match(etag).send().await.unwrap();
    delete("k").send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn deleting_many_answers_for_each() {
    // "DeleteObjects" in the Amazon S3 API Reference
    let region = region();
    let all = operator(&region);
    for key in ["mine/1", "mine/2", "theirs/1"] {
        put(&all, key, "x").await;
    }
    let s3 = client(
        &region,
        &allow(&[(&["s3:DeleteObject", "s3:GetObject"], "arn:aws:s3:::acme-kubernetes/mine/*")]),
    );
    let object = |key: &str| ObjectIdentifier::builder().key(key);
    let delete = Delete::builder()
        .objects(object("mine/1").build().unwrap())
        .objects(object("mine/2").e_tag("\"0123\"").build().unwrap())
        .objects(object("theirs/1").build().unwrap());
    let done =
        s3.delete_objects().bucket(BUCKET).delete(delete.build().unwrap()).send().await.unwrap();
    assert_eq!(done.deleted().iter().map(|it| it.key().unwrap()).collect::<Vec<_>>(), ["mine/1"]);
    let errors: Vec<_> =
        done.errors().iter().map(|it| (it.key().unwrap(), it.code().unwrap())).collect();
    assert_eq!(errors, [("mine/2", "PreconditionFailed"), ("theirs/1", "AccessDenied")]);
}
