use time::macros::datetime;

use super::*;
use crate::region::iam::Credentials;
use crate::region::ids::Ids;

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

fn iam() -> (Iam, Credentials, Credentials) {
    let (mut iam, mut ids) = (Iam::new("123456789012", "eu-west-1"), Ids::new(1));
    let user = iam.add_user(&mut ids, "operator", &[]).expect("a user");
    iam.add_role(&mut ids, "worker", &[]).expect("a role");
    let session = iam
        .open_session(&mut ids, "worker", "i-1", NOW, Duration::from_secs(3600))
        .expect("a session");
    (iam, user, session)
}

fn claim(credentials: &Credentials, date: &str, scope: &str) -> Claim {
    let credential = format!("{}/{}/{scope}/aws4_request", credentials.access_key, &date[..8]);
    Claim::new(&credential, date, credentials.session_token.clone(), "host", String::new(), None)
        .expect("a claim")
}

fn judged(claim: &Claim, iam: &Iam, now: OffsetDateTime) -> Result<String, Refusal> {
    claim.caller(iam, Service::Ec2, "eu-west-1", now).map(|caller| caller.userid())
}

#[test]
fn a_role_session_is_its_role_id_and_instance() {
    let (iam, _, session) = iam();
    let role_id = iam.role("worker").expect("the role").role_id.clone();
    let claim = claim(&session, "20261123T120000Z", "eu-west-1/ec2");
    assert_eq!(judged(&claim, &iam, NOW), Ok(format!("{role_id}:i-1")));
}

#[test]
fn keys_and_tokens_must_belong_together() {
    let (iam, user, session) = iam();
    let judge = |key: &str, token: Option<&str>| {
        let credentials = Credentials {
            access_key: key.into(),
            session_token: token.map(str::to_owned),
            ..user.clone()
        };
        judged(&claim(&credentials, "20261123T120000Z", "eu-west-1/ec2"), &iam, NOW)
    };
    assert_eq!(judge("AKIANOBODY", None), Err(Refusal::UnknownKey));
    assert_eq!(judge(&session.access_key, None), Err(Refusal::UnknownKey));
    assert_eq!(judge(&session.access_key, Some("another")), Err(Refusal::BadToken));
    assert_eq!(judge(&user.access_key, Some("unasked")), Err(Refusal::BadToken));
    assert!(judge(&user.access_key, None).is_ok());
}

/// IAM User Guide, "Temporary security credentials".
#[test]
fn a_session_ends_when_its_credentials_expire() {
    let (iam, _, session) = iam();
    let claim = claim(&session, "20261123T125959Z", "eu-west-1/ec2");
    assert!(judged(&claim, &iam, NOW + Duration::from_secs(3599)).is_ok());
    assert_eq!(judged(&claim, &iam, NOW + Duration::from_secs(3600)), Err(Refusal::ExpiredToken));
}

/// IAM User Guide, "Troubleshoot Signature Version 4 signing": five minutes; S3: fifteen.
#[test]
fn a_clock_may_be_off_by_minutes_only() {
    let (iam, user, _) = iam();
    let at = |date: &str, service: Service| {
        let claim = claim(&user, date, &format!("eu-west-1/{service}"));
        claim.caller(&iam, service, "eu-west-1", NOW).map(|_| ())
    };
    assert_eq!(at("20261123T115500Z", Service::Ec2), Ok(()));
    assert_eq!(at("20261123T120500Z", Service::Ec2), Ok(()));
    assert!(matches!(at("20261123T115459Z", Service::Ec2), Err(Refusal::Skewed { .. })));
    assert!(matches!(at("20261123T120501Z", Service::Ec2), Err(Refusal::Skewed { .. })));
    assert_eq!(at("20261123T114500Z", Service::S3), Ok(()));
    assert!(matches!(at("20261123T114459Z", Service::S3), Err(Refusal::Skewed { .. })));
    let error = at("20261123T110000Z", Service::Sts).expect_err("an hour late").error(Service::Sts);
    assert_eq!(
        error.to_string(),
        "SignatureDoesNotMatch (403): Signature expired: 20261123T110000Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)"
    );
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says() {
    let (iam, user, _) = iam();
    let query = |seconds: &str| {
        let request = http::Request::get(format!(
            "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F20261123%2Feu-west-1%2Fsts%2Faws4_request\
             &X-Amz-Date=20261123T120000Z&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
            user.access_key
        ));
        Claim::of(&request.body(()).expect("a request").into_parts().0)
    };
    let claim = query("60").expect("a well-formed query").expect("a presigned one");
    let at = |seconds| {
        claim
            .caller(&iam, Service::Sts, "eu-west-1", NOW + Duration::from_secs(seconds))
            .map(|_| ())
    };
    assert_eq!(at(60), Ok(()));
    assert_eq!(at(61), Err(Refusal::Expired));
    assert!(matches!(query("604801"), Err(Refusal::Malformed(_))));
    assert!(matches!(query("soon"), Err(Refusal::Malformed(_))));
}

#[test]
fn a_scope_names_this_region_and_this_service() {
    let (iam, user, _) = iam();
    let judge = |scope: &str, service| {
        claim(&user, "20261123T120000Z", scope).caller(&iam, service, "eu-west-1", NOW).map(|_| ())
    };
    let elsewhere = Refusal::WrongRegion { found: "us-east-1".into(), wanted: "eu-west-1".into() };
    assert_eq!(judge("us-east-1/ec2", Service::Ec2), Err(elsewhere));
    assert_eq!(judge("us-east-1/sts", Service::Sts), Ok(()));
    assert_eq!(
        judge("eu-west-1/sts", Service::Ec2),
        Err(Refusal::WrongService { wanted: Service::Ec2 })
    );
}
