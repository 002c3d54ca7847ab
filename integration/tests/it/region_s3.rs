//! The region's S3 where it is stricter than other emulators, driven by the Rust SDK. Each test
//! names the page of the AWS documentation that it follows.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumMode, Delete, ObjectIdentifier, ServerSideEncryption,
    VersioningConfiguration,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use integration::region::call::{Service, ServiceError};
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::inprocess::InProcess;
use integration::region::s3::kms::Home;
use integration::region::{Answer, Fault, Profile, Region, Rule, Settings};
use time::macros::datetime;

const BUCKET: &str = "acme-kubernetes";

/// A region with one versioned bucket.
fn region() -> Region {
    region_with(Settings::new(3, datetime!(2026-11-23 06:00 UTC)))
}

fn region_with(settings: Settings) -> Region {
    let region = Region::new(settings);
    region.with(|state, now| {
        state.s3.create_bucket(BUCKET, now);
    });
    region
}

fn user(region: &Region, name: &str, policy: &str) -> Credentials {
    region.with(|state, _| state.iam.add_user(&mut state.ids, name, &[("test", policy)]).unwrap())
}

fn config(region: &Region, credentials: &Credentials) -> aws_sdk_s3::config::Builder {
    let from = InProcess::outside(region);
    let token = credentials.session_token.clone();
    let (key, secret) = (credentials.access_key.clone(), credentials.secret.clone());
    aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            key, secret, token, None, "test",
        ))
        .http_client(from.client())
        .time_source(from.time())
        .retry_config(RetryConfig::disabled())
}

/// A client of somebody who may do everything.
fn operator(region: &Region) -> Client {
    let credentials = user(region, "operator", ADMINISTRATOR);
    Client::from_conf(config(region, &credentials).build())
}

/// A client of somebody who may do that much.
fn client(region: &Region, policy: &str) -> Client {
    Client::from_conf(config(region, &user(region, "somebody", policy)).build())
}

fn allow(statements: &[(&[&str], &str)]) -> String {
    let statements: Vec<_> = statements
        .iter()
        .map(|(actions, resource)| serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": resource}))
        .collect();
    serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// `412 PreconditionFailed`; without a body to say the code, as of HEAD, `404`.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::error::Error + 'static>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> String {
    let error = result.expect_err("a refusal");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match error.code() {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}

async fn put(client: &Client, key: &str, body: &'static str) -> String {
    let put =
        client.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(body.as_bytes()));
    put.send().await.unwrap().e_tag.unwrap()
}

async fn version(client: &Client, status: BucketVersioningStatus) {
    let configuration = VersioningConfiguration::builder().status(status).build();
    client
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(configuration)
        .send()
        .await
        .unwrap();
}

// "PutObject", "GetObject", "HeadObject" in the Amazon S3 API Reference

#[tokio::test(start_paused = true)]
async fn an_object_comes_back_as_it_was_put() {
    let region = region();
    let s3 = operator(&region);
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("prod/a b+ü.txt")
        .body(ByteStream::from_static(b"0123456789"))
        .content_type("text/plain")
        .metadata("made-by", "windlass")
        .send()
        .await
        .unwrap();
    // echo -n 0123456789 | md5sum
    assert_eq!(put.e_tag(), Some("\"781e5e245d69b566979b86e28d23f2c7\""));
    assert_eq!(put.version_id(), None, "an unversioned bucket");
    assert!(put.checksum_crc32().is_some(), "the SDK sends CRC32 by default");
    assert_eq!(put.server_side_encryption(), Some(&ServerSideEncryption::Aes256));

    let get =
        s3.get_object().bucket(BUCKET).key("prod/a b+ü.txt").checksum_mode(ChecksumMode::Enabled);
    let got = get.send().await.unwrap();
    assert_eq!(got.content_type(), Some("text/plain"));
    assert_eq!(got.metadata().unwrap()["made-by"], "windlass");
    assert_eq!(got.checksum_crc32(), put.checksum_crc32());
    assert_eq!(
        got.last_modified().unwrap().secs(),
        datetime!(2026-11-23 06:00 UTC).unix_timestamp()
    );
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "0123456789");

    let part = s3
        .get_object()
        .bucket(BUCKET)
        .key("prod/a b+ü.txt")
        .range("bytes=-3")
        .send()
        .await
        .unwrap();
    assert_eq!(part.content_range(), Some("bytes 7-9/10"));
    assert_eq!(part.body.collect().await.unwrap().into_bytes(), "789");
    let beyond =
        s3.get_object().bucket(BUCKET).key("prod/a b+ü.txt").range("bytes=10-").send().await;
    assert_eq!(refusal(beyond), "416 InvalidRange");

    let head = s3.head_object().bucket(BUCKET).key("prod/a b+ü.txt").send().await.unwrap();
    assert_eq!(head.content_length(), Some(10));
    let unchanged =
        s3.get_object().bucket(BUCKET).key("prod/a b+ü.txt").if_none_match(put.e_tag().unwrap());
    assert_eq!(refusal(unchanged.send().await), "304");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_what_its_digests_say_is_refused() {
    // "Checking object integrity in Amazon S3"
    let region = region();
    let s3 = operator(&region);
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"hello"));
    assert_eq!(refusal(put().checksum_crc32("AAAAAA==").send().await), "400 BadDigest");
    assert_eq!(refusal(put().checksum_sha256("AAAAAA==").send().await), "400 InvalidRequest");
    assert_eq!(
        refusal(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        "400 BadDigest"
    );
    assert!(region.with(|state, _| state.s3.object(BUCKET, "k").is_none()));
    put().checksum_crc32("NhCmhg==").content_md5("XUFAKrxLKna5cZ2REBfFkg==").send().await.unwrap();
}

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

// "GetObject", Permissions, in the Amazon S3 API Reference

#[tokio::test(start_paused = true)]
async fn an_absent_key_is_404_for_who_may_list_and_403_for_others() {
    let region = region();
    let reader = client(&region, &allow(&[(&["s3:GetObject"], "*")]));
    assert_eq!(
        refusal(reader.get_object().bucket(BUCKET).key("none").send().await),
        "403 AccessDenied"
    );
    assert_eq!(refusal(reader.head_object().bucket(BUCKET).key("none").send().await), "403");
    assert_eq!(
        refusal(reader.get_object().bucket("no-such-bucket").key("k").send().await),
        "404 NoSuchBucket"
    );

    let lister = client(&region, &allow(&[(&["s3:GetObject", "s3:ListBucket"], "*")]));
    assert_eq!(
        refusal(lister.get_object().bucket(BUCKET).key("none").send().await),
        "404 NoSuchKey"
    );
    assert_eq!(
        refusal(lister.head_object().bucket(BUCKET).key("none").send().await),
        "404 NotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_which_permission_is_missing_on_what() {
    // "Troubleshoot access denied (403 Forbidden) errors in Amazon S3"
    let region = region();
    let nobody = client(&region, &allow(&[(&["sts:GetCallerIdentity"], "*")]));
    let refused = nobody.list_objects_v2().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(
        refused.message(),
        Some(
            "User: arn:aws:iam::123456789012:user/somebody is not authorized to perform: s3:ListBucket on resource: \
             \"arn:aws:s3:::acme-kubernetes\" because no identity-based policy allows the s3:ListBucket action"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_writes_its_own_key_and_lists_below_its_prefix_only() {
    // "Policy variables" (aws:userid) in the IAM User Guide; "Bucket policy examples using
    // condition keys" (s3:prefix) in the Amazon S3 User Guide
    let region = region();
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme-kubernetes/prod/inbox/${aws:userid}"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::acme-kubernetes",
         "Condition": {"StringLike": {"s3:prefix": "prod/*"}}},
    ]});
    let (role_id, credentials) = region.with(|state, now| {
        let role = state
            .iam
            .add_role(&mut state.ids, "worker", &[("worker", &policy.to_string())])
            .unwrap();
        let role_id = role.role_id.clone();
        let session = state.iam.open_session(
            &mut state.ids,
            "worker",
            "i-0abc",
            now,
            Duration::from_secs(600),
        );
        (role_id, session.unwrap())
    });
    let worker = Client::from_conf(config(&region, &credentials).build());
    put(&worker, &format!("prod/inbox/{role_id}:i-0abc"), "csr").await;
    let other = worker.put_object().bucket(BUCKET).key(format!("prod/inbox/{role_id}:i-0def"));
    assert_eq!(refusal(other.send().await), "403 AccessDenied");
    let listed =
        worker.list_objects_v2().bucket(BUCKET).prefix("prod/inbox/").send().await.unwrap();
    assert_eq!(listed.key_count(), Some(1));
    assert_eq!(refusal(worker.list_objects_v2().bucket(BUCKET).send().await), "403 AccessDenied");

    // "Using temporary security credentials": all three parts belong together, until they expire.
    let without = Credentials { session_token: None, ..credentials.clone() };
    let client = Client::from_conf(config(&region, &without).build());
    assert_eq!(refusal(client.list_buckets().send().await), "403 InvalidAccessKeyId");
    region.clock().skew(time::Duration::seconds(601));
    assert_eq!(refusal(worker.list_buckets().send().await), "400 ExpiredToken");
}

// "Authenticating Requests (AWS Signature Version 4)" and "Error Responses"

#[tokio::test(start_paused = true)]
async fn a_signature_must_be_right_recent_and_for_this_region() {
    let region = region();
    let credentials = user(&region, "operator", ADMINISTRATOR);
    let wrong = Credentials { secret: "not the secret".into(), ..credentials.clone() };
    let s3 = Client::from_conf(config(&region, &wrong).build());
    assert_eq!(refusal(s3.list_buckets().send().await), "403 SignatureDoesNotMatch");
    let unknown = Credentials { access_key: "AKIAAAAAAAAAAAAAAAAA".into(), ..credentials.clone() };
    let s3 = Client::from_conf(config(&region, &unknown).build());
    assert_eq!(refusal(s3.list_buckets().send().await), "403 InvalidAccessKeyId");
    let elsewhere = config(&region, &credentials)
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url("https://s3.eu-west-1.amazonaws.com");
    let s3 = Client::from_conf(elsewhere.build());
    assert_eq!(refusal(s3.list_buckets().send().await), "400 AuthorizationHeaderMalformed");

    let s3 = Client::from_conf(config(&region, &credentials).build());
    region.clock().skew(time::Duration::minutes(14));
    s3.list_buckets().send().await.unwrap();
    region.clock().skew(time::Duration::hours(1));
    assert_eq!(refusal(s3.list_buckets().send().await), "403 RequestTimeTooSkewed");

    let unsigned =
        http::Request::get("https://s3.eu-west-1.amazonaws.com/").body(Bytes::new()).unwrap();
    let (status, body) = whole(region.serve(unsigned).await);
    assert_eq!((status, body.contains("<Code>AccessDenied</Code>")), (403, true), "{body}");
}

fn whole(answer: Answer) -> (u16, String) {
    match answer {
        Answer::Whole(response) => (response.status().as_u16(), text(response.body())),
        other => panic!("wanted a whole answer, found {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_presigned_url_works_without_credentials_until_it_expires() {
    // "Sharing objects with presigned URLs" in the Amazon S3 User Guide
    let region = region();
    let s3 = operator(&region);
    put(&s3, "prod/a b", "hello").await;
    let a_minute = || {
        let from = region.clock().signing().into();
        PresigningConfig::builder()
            .start_time(from)
            .expires_in(Duration::from_secs(60))
            .build()
            .unwrap()
    };
    let get = s3.get_object().bucket(BUCKET).key("prod/a b").presigned(a_minute()).await.unwrap();
    let fetch = |uri: String| {
        let request = http::Request::get(uri).body(Bytes::new()).unwrap();
        let region = region.clone();
        async move { whole(region.serve(request).await) }
    };
    assert_eq!(fetch(get.uri().into()).await, (200, "hello".into()));
    let (status, body) = fetch(get.uri().replace("/prod/", "/test/")).await;
    assert!(status == 403 && body.contains("SignatureDoesNotMatch"), "{status} {body}");
    region.clock().skew(time::Duration::seconds(62));
    let (status, body) = fetch(get.uri().into()).await;
    assert!(status == 403 && body.contains("Request has expired"), "{status} {body}");

    let put = s3.put_object().bucket(BUCKET).key("new").presigned(a_minute()).await.unwrap();
    let mut request = http::Request::put(put.uri()).body(Bytes::from("fresh")).unwrap();
    for (name, value) in put.headers() {
        request
            .headers_mut()
            .insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    assert_eq!(whole(region.serve(request).await), (200, String::new()));
    assert_eq!(
        region.with(|state, _| state.s3.object(BUCKET, "new").unwrap().bytes.clone()),
        "fresh"
    );
}

// "How S3 Versioning works", "Working with delete markers" in the Amazon S3 User Guide

#[tokio::test(start_paused = true)]
async fn versions_and_delete_markers_keep_a_keys_history() {
    let region = region();
    let s3 = operator(&region);
    put(&s3, "k", "unversioned").await;
    version(&s3, BucketVersioningStatus::Enabled).await;
    let second = s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .body(ByteStream::from_static(b"2"))
        .send()
        .await
        .unwrap();
    let marker = s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));

    let absent = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap_err();
    let headers = absent.raw_response().unwrap().headers();
    assert_eq!(
        (absent.code(), headers.get("x-amz-delete-marker")),
        (Some("NoSuchKey"), Some("true"))
    );
    let of = |id: &str| s3.get_object().bucket(BUCKET).key("k").version_id(id).send();
    assert_eq!(refusal(of(marker.version_id().unwrap()).await), "405 MethodNotAllowed");
    assert_eq!(refusal(of("what").await), "400 InvalidArgument");
    assert_eq!(refusal(of(&"0".repeat(32)).await), "404 NoSuchVersion");
    for (id, body) in [(second.version_id().unwrap(), "2"), ("null", "unversioned")] {
        assert_eq!(of(id).await.unwrap().body.collect().await.unwrap().into_bytes(), body);
    }

    let listed = s3.list_object_versions().bucket(BUCKET).send().await.unwrap();
    let ids: Vec<_> = listed
        .versions()
        .iter()
        .map(|it| (it.version_id().unwrap(), it.is_latest().unwrap()))
        .collect();
    assert_eq!(ids, [(second.version_id().unwrap(), false), ("null", false)]);
    assert_eq!(listed.delete_markers()[0].is_latest(), Some(true));

    // Removing the marker brings the object back; suspending writes the `null` version again.
    let unmark =
        s3.delete_object().bucket(BUCKET).key("k").version_id(marker.version_id().unwrap());
    assert_eq!(unmark.send().await.unwrap().delete_marker(), Some(true));
    let back = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(back.version_id(), second.version_id());
    version(&s3, BucketVersioningStatus::Suspended).await;
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .body(ByteStream::from_static(b"3"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.version_id(), Some("null"));
    let listed = s3.list_object_versions().bucket(BUCKET).send().await.unwrap();
    assert_eq!(listed.versions().len(), 2, "the first `null` version is replaced");
}

// "Using server-side encryption with AWS KMS keys (SSE-KMS)" in the Amazon S3 User Guide

#[tokio::test(start_paused = true)]
async fn an_object_under_a_kms_key_is_for_those_who_may_use_the_key() {
    let region = region();
    let s3 = operator(&region);
    let key = region.with(|state, _| {
        let home = Home { region: "eu-west-1", account: "123456789012" };
        state.s3.kms.create_key(home, "1234abcd-12ab-34cd-56ef-1234567890ab").0
    });
    let put = |client: &Client, id: &str| {
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("pki/ca/1.key")
            .body(ByteStream::from_static(b"key"));
        put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(id).send()
    };
    let done = put(&s3, "1234abcd-12ab-34cd-56ef-1234567890ab").await.unwrap();
    assert_eq!(done.ssekms_key_id(), Some(key.as_str()), "the whole ARN comes back");
    assert_ne!(
        done.e_tag(),
        Some("\"3c6e0b8a9c15224a8228b9a98ca1531d\""),
        "not the MD5 of the bytes"
    );
    assert_eq!(refusal(put(&s3, "no-such-key").await), "400 KMS.NotFoundException");

    let objects = (&["s3:GetObject", "s3:PutObject"][..], "arn:aws:s3:::acme-kubernetes/*");
    let keyless = client(&region, &allow(&[objects]));
    let refused = keyless.get_object().bucket(BUCKET).key("pki/ca/1.key").send().await;
    let message = refused.as_ref().unwrap_err().message().unwrap_or_default().to_owned();
    assert!(
        message
            .contains("kms:Decrypt on resource: arn:aws:kms:eu-west-1:123456789012:key/1234abcd"),
        "{message}"
    );
    assert_eq!(refusal(refused), "403 AccessDenied");
    assert_eq!(refusal(put(&keyless, &key).await), "403 AccessDenied");

    let reader = client(&region, &allow(&[objects, (&["kms:Decrypt"], &key)]));
    let got = reader.get_object().bucket(BUCKET).key("pki/ca/1.key").send().await.unwrap();
    assert_eq!(got.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert_eq!(got.ssekms_key_id(), Some(key.as_str()));
    assert_eq!(refusal(put(&reader, &key).await), "403 AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn a_head_needs_the_key_for_the_checksum_alone() {
    // "HeadObject" in the Amazon S3 API Reference, x-amz-checksum-mode
    let region = region();
    let home = Home { region: "eu-west-1", account: "123456789012" };
    let key = region.with(|state, _| state.s3.kms.create_key(home, "one").0);
    let put = operator(&region).put_object().bucket(BUCKET).key("k").ssekms_key_id(key);
    put.server_side_encryption(ServerSideEncryption::AwsKms).send().await.unwrap();
    let keyless = client(&region, &allow(&[(&["s3:GetObject"], "*")]));
    let head = || keyless.head_object().bucket(BUCKET).key("k");
    assert!(head().send().await.unwrap().e_tag.is_some());
    assert_eq!(refusal(head().checksum_mode(ChecksumMode::Enabled).send().await), "403");
}

#[tokio::test(start_paused = true)]
async fn a_copy_keeps_what_the_source_says_unless_told_otherwise() {
    // "CopyObject" in the Amazon S3 API Reference
    let region = region();
    let s3 = operator(&region);
    let put = s3.put_object().bucket(BUCKET).key("a b").body(ByteStream::from_static(b"hello"));
    put.content_type("text/plain").metadata("by", "me").send().await.unwrap();
    let copy =
        |to: &str| s3.copy_object().bucket(BUCKET).key(to).copy_source("acme-kubernetes/a%20b");
    let done = copy("kept").send().await.unwrap().copy_object_result.unwrap();
    assert!(done.checksum_crc32().is_some(), "the source's kind of checksum");
    let replace = copy("new").metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace);
    replace.metadata("by", "you").send().await.unwrap();
    for (key, content_type, by) in
        [("kept", "text/plain", "me"), ("new", "binary/octet-stream", "you")]
    {
        let got = s3.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(
            (got.content_type(), got.metadata().unwrap()["by"].as_str()),
            (Some(content_type), by)
        );
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), "hello");
    }
    assert_eq!(refusal(copy("a b").send().await), "400 InvalidRequest");
    assert_eq!(refusal(copy("new").if_none_match("*").send().await), "412 PreconditionFailed");
    assert_eq!(
        refusal(copy("newer").copy_source_if_match("\"0\"").send().await),
        "412 PreconditionFailed"
    );
    let writer = client(&region, &allow(&[(&["s3:PutObject"], "*")]));
    let blind = writer.copy_object().bucket(BUCKET).key("k").copy_source("acme-kubernetes/kept");
    assert_eq!(refusal(blind.send().await), "403 AccessDenied");
}

// "ListObjectsV2" in the Amazon S3 API Reference

#[tokio::test(start_paused = true)]
async fn a_listing_comes_in_pages() {
    let region = region();
    let s3 = operator(&region);
    region.with(|state, now| {
        for n in 0..1001 {
            state.s3.put(BUCKET, &format!("inbox/{n:04} &<"), "x", now).unwrap();
        }
    });
    let first = s3.list_objects_v2().bucket(BUCKET).prefix("inbox/").send().await.unwrap();
    assert_eq!((first.key_count(), first.is_truncated()), (Some(1000), Some(true)));
    let token = first.next_continuation_token().unwrap();
    let rest = s3
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("inbox/")
        .continuation_token(token)
        .send()
        .await
        .unwrap();
    assert_eq!(rest.contents()[0].key(), Some("inbox/1000 &<"));
    assert_eq!(rest.is_truncated(), Some(false));
    let wrong = s3.list_objects_v2().bucket(BUCKET).continuation_token("!").send().await;
    assert_eq!(refusal(wrong), "400 InvalidArgument");
    let rolled = s3.list_objects_v2().bucket(BUCKET).delimiter("/").send().await.unwrap();
    assert_eq!(rolled.common_prefixes()[0].prefix(), Some("inbox/"));
}

#[tokio::test(start_paused = true)]
async fn a_new_bucket_is_private_and_unversioned_and_belongs_here() {
    // "Creating a bucket", "Blocking public access to your Amazon S3 storage"
    use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
    let region = region();
    let s3 = operator(&region);
    let create = |name: &str, place: Option<&str>| {
        let place = place.map(|place| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(place))
                .build()
        });
        s3.create_bucket().bucket(name).set_create_bucket_configuration(place).send()
    };
    assert_eq!(refusal(create("acme-new", None).await), "400 IllegalLocationConstraintException");
    create("acme-new", Some("eu-west-1")).await.unwrap();
    assert_eq!(refusal(create("acme-new", Some("eu-west-1")).await), "409 BucketAlreadyOwnedByYou");
    assert_eq!(refusal(create("Acme_New", Some("eu-west-1")).await), "400 InvalidBucketName");

    let block = s3.get_public_access_block().bucket("acme-new").send().await.unwrap();
    let block = block.public_access_block_configuration.unwrap();
    assert_eq!(
        (block.block_public_acls(), block.restrict_public_buckets()),
        (Some(true), Some(true))
    );
    assert_eq!(s3.get_bucket_versioning().bucket("acme-new").send().await.unwrap().status(), None);
    let location = s3.get_bucket_location().bucket("acme-new").send().await.unwrap();
    assert_eq!(location.location_constraint().unwrap().as_str(), "eu-west-1");
    let head = s3.head_bucket().bucket("acme-new").send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-west-1"));
    s3.delete_bucket().bucket("acme-new").send().await.unwrap();
    assert_eq!(refusal(s3.head_bucket().bucket("acme-new").send().await), "404 NotFound");
}

#[tokio::test(start_paused = true)]
async fn slow_down_and_conflicts_can_be_ordered() {
    // "Best practices design patterns: optimizing Amazon S3 performance"
    let region = region();
    let credentials = user(&region, "operator", ADMINISTRATOR);
    let once = |action: &str, fault| Rule::always(fault).on(Service::S3, action).times(1);
    region.faults().add(once("PutObject", Fault::Throttle));
    let s3 = Client::from_conf(config(&region, &credentials).build());
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"1"));
    assert_eq!(refusal(put().send().await), "503 SlowDown");
    put().send().await.unwrap();

    let conflict = ServiceError::new(
        409,
        "ConditionalRequestConflict",
        "The conditional request cannot succeed",
    );
    region.faults().add(once("DeleteObject", Fault::Refuse(conflict)));
    let delete = || s3.delete_object().bucket(BUCKET).key("k").send();
    assert_eq!(refusal(delete().await), "409 ConditionalRequestConflict");
    delete().await.unwrap();
}
