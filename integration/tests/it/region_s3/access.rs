//! Who may do what, and how one proves who one is.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use integration::region::Answer;
use integration::region::iam::{ADMINISTRATOR, Credentials};

use super::{BUCKET, allow, client, config, operator, put, refusal, region, text, user};

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
