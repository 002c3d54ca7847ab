//! Who may speak to the region's query services, over sockets and TLS, and what each says to the
//! others.

use std::sync::Arc;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use hmac::{Hmac, Mac};
use http::{Request, StatusCode};
use integration::region::iam::Credentials;
use integration::region::serve;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use crate::region_fixture::{Connection, Fixture, loopback};

/// Code and message that STS and EC2 give to somebody with these credentials.
async fn refusals(fixture: &Fixture, credentials: &Credentials) -> [(String, String); 2] {
    let sdk = fixture.sdk(credentials);
    let sts =
        aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.expect_err("refused");
    let ec2 =
        aws_sdk_ec2::Client::new(&sdk).describe_instances().send().await.expect_err("refused");
    let said = |meta: &aws_sdk_ec2::error::ErrorMetadata| {
        (meta.code().unwrap_or_default().to_owned(), meta.message().unwrap_or_default().to_owned())
    };
    [said(sts.into_service_error().meta()), said(ec2.into_service_error().meta())]
}

fn codes(said: &[(String, String); 2]) -> [&str; 2] {
    [&said[0].0, &said[1].0]
}

/// AWS STS API Reference, "GetCallerIdentity".
#[tokio::test]
async fn everybody_may_ask_who_they_are() {
    let fixture = Fixture::new();
    let who = async |credentials: &Credentials| {
        let client = aws_sdk_sts::Client::new(&fixture.sdk(credentials));
        client.get_caller_identity().send().await.unwrap().arn.unwrap()
    };
    assert_eq!(who(&fixture.operator).await, "arn:aws:iam::123456789012:user/operator");
    let session = session(&fixture, 3600);
    assert_eq!(
        who(&session).await,
        format!("arn:aws:sts::123456789012:assumed-role/worker/{}", fixture.instance)
    );
}

/// Amazon EC2 API Reference, "Error codes"; AWS STS API Reference, "Common Errors".
#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_refused_as_each_service_words_it() {
    let fixture = Fixture::new();
    let unknown =
        Credentials { access_key: "AKIAIOSFODNN7EXAMPLE".into(), ..fixture.operator.clone() };
    assert_eq!(codes(&refusals(&fixture, &unknown).await), ["InvalidClientTokenId", "AuthFailure"]);

    let wrong = Credentials { secret: "guessed".into(), ..fixture.operator.clone() };
    assert_eq!(codes(&refusals(&fixture, &wrong).await), ["SignatureDoesNotMatch", "AuthFailure"]);

    let stolen = Credentials { session_token: Some("another".into()), ..session(&fixture, 3600) };
    assert_eq!(codes(&refusals(&fixture, &stolen).await), ["InvalidClientTokenId", "AuthFailure"]);

    let short = session(&fixture, 60);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(codes(&refusals(&fixture, &short).await), ["ExpiredToken", "RequestExpired"]);

    fixture.region.clock().skew(time::Duration::hours(1));
    let skewed = refusals(&fixture, &fixture.operator).await;
    assert_eq!(codes(&skewed), ["SignatureDoesNotMatch", "RequestExpired"]);
    assert_eq!(
        skewed[0].1,
        "Signature expired: 20261123T120100Z is now earlier than 20261123T125600Z (20261123T130100Z - 5 min.)"
    );
}

/// IAM User Guide, "Troubleshoot access denied error messages".
#[tokio::test]
async fn what_no_policy_allows_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    let client = aws_sdk_ec2::Client::new(&fixture.sdk(&session(&fixture, 3600)));
    assert!(client.describe_instances().send().await.is_ok());
    let refused = client
        .terminate_instances()
        .instance_ids(&fixture.instance)
        .send()
        .await
        .expect_err("not allowed");
    let refused = refused.into_service_error();
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
    let message = refused.message().unwrap_or_default();
    let who = format!("User: arn:aws:sts::123456789012:assumed-role/worker/{}", fixture.instance);
    assert!(message.contains(&who), "{message}");
    assert!(message.contains("is not authorized to perform: ec2:TerminateInstances on resource: arn:aws:ec2:eu-west-1:123456789012:instance/"), "{message}");
    assert!(
        message
            .contains("because no identity-based policy allows the ec2:TerminateInstances action"),
        "{message}"
    );
    let used = fixture.region.with(|state, _| {
        state.iam.used().keys().map(|permission| permission.action.clone()).collect::<Vec<_>>()
    });
    assert_eq!(used, ["ec2:DescribeInstances"]);
}

#[tokio::test]
async fn an_unsigned_request_is_refused_in_the_services_own_envelope() {
    let fixture = Fixture::new();
    let listening = serve::http(&fixture.region, loopback()).unwrap();
    let mut connection = Connection::to(listening.address()).await;
    let ec2 = connection.send(Request::get("/?Action=DescribeInstances&Version=2016-11-15")).await;
    assert_eq!(ec2.status(), StatusCode::FORBIDDEN);
    assert!(
        ec2.body().contains("<Response><Errors><Error><Code>MissingAuthenticationToken</Code>"),
        "{}",
        ec2.body()
    );
    let sts = connection.send(Request::get("/?Action=GetCallerIdentity&Version=2011-06-15")).await;
    assert_eq!(sts.status(), StatusCode::FORBIDDEN);
    assert!(
        sts.body().contains("<Error><Type>Sender</Type><Code>MissingAuthenticationToken</Code>"),
        "{}",
        sts.body()
    );
    assert!(sts.body().contains("<ErrorResponse xmlns="), "{}", sts.body());
}

/// IAM User Guide, "Create a signed AWS API request": the signature in the query, as tools that
/// prove their identity to another party send it. Another header may be signed with it.
#[tokio::test]
async fn a_presigned_identity_is_accepted_from_whoever_sends_it() {
    let fixture = Fixture::new();
    let listening = serve::http(&fixture.region, loopback()).unwrap();
    let mut connection = Connection::to(listening.address()).await;
    let session = session(&fixture, 3600);
    let url = presigned(&session, "20261123T120000Z", 60);
    let ask = |url: &str| Request::get(url.to_owned()).header("x-k8s-aws-id", "prod");
    let answer = connection.send(ask(&url)).await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.body());
    assert!(
        answer.body().contains(&format!(":{}</UserId>", fixture.instance)),
        "{}",
        answer.body()
    );

    let altered = connection.send(ask(&url.replace("prod", "test"))).await;
    assert_eq!(altered.status(), StatusCode::OK, "the header is not in the URL");
    let altered = connection.send(Request::get(url.clone()).header("x-k8s-aws-id", "test")).await;
    assert_eq!(altered.status(), StatusCode::FORBIDDEN);
    assert!(altered.body().contains("SignatureDoesNotMatch"), "{}", altered.body());
}

/// An independent signer of one kind of request.
fn presigned(credentials: &Credentials, date: &str, seconds: u32) -> String {
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let day = &date[..8];
    let query = format!(
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential={}%2F{day}%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date={date}&X-Amz-Expires={seconds}\
         &X-Amz-Security-Token={}&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id",
        credentials.access_key,
        credentials.session_token.clone().unwrap()
    );
    let empty = hex::encode(Sha256::digest(b""));
    let canonical = format!(
        "GET\n/\n{query}\nhost:region.test\nx-k8s-aws-id:prod\n\nhost;x-k8s-aws-id\n{empty}"
    );
    let scope = format!("{day}/eu-west-1/sts/aws4_request");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let key = scope
        .split('/')
        .fold(format!("AWS4{}", credentials.secret).into_bytes(), |key, part| hmac(&key, part));
    format!("/?{query}&X-Amz-Signature={}", hex::encode(hmac(&key, &to_sign)))
}

#[tokio::test]
async fn the_same_region_speaks_tls() {
    let fixture = Fixture::new();
    let made =
        rcgen::generate_simple_self_signed(["sts.eu-west-1.amazonaws.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = serve::tls(vec![made.cert.der().clone()], key).unwrap();
    let listening = serve::https(&fixture.region, loopback(), config).unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(listening.address()).await.unwrap();
    let name = ServerName::try_from("sts.eu-west-1.amazonaws.com").unwrap();
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    let answer = Connection::over(stream)
        .await
        .send(
            Request::get(presigned(&session(&fixture, 60), "20261123T120000Z", 60))
                .header("x-k8s-aws-id", "prod"),
        )
        .await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.body());
}

/// Credentials of the instance's role.
fn session(fixture: &Fixture, seconds: u64) -> Credentials {
    let now = fixture.region.clock().unmoved();
    fixture.region.with(|state, _| {
        let lifetime = std::time::Duration::from_secs(seconds);
        state.iam.open_session(&mut state.ids, "worker", &fixture.instance, now, lifetime).unwrap()
    })
}
