//! What was there before, and what is encrypted.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumMode, ServerSideEncryption};
use integration::region::s3::kms::Home;

use super::{BUCKET, allow, client, operator, put, refusal, region, version};

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
