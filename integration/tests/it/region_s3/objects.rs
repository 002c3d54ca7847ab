//! Objects as they are written, read, copied and listed.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use integration::region::call::{Service, ServiceError};
use integration::region::iam::ADMINISTRATOR;
use integration::region::{Fault, Rule};
use time::macros::datetime;

use super::{BUCKET, allow, client, config, operator, refusal, region, user};

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
