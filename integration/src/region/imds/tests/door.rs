//! Methods, versions, tokens.

use http::{Method, Request, StatusCode};

use super::*;

/// Amazon EC2 User Guide, "How Instance Metadata Service Version 2 works".
#[test]
fn a_token_wants_a_ttl_between_a_second_and_six_hours() {
    let mut instance = Instance::launched();
    let mut put = |ttl: Option<&str>| {
        let request = Request::put("/latest/api/token");
        let request = match ttl {
            Some(ttl) => request.header("x-aws-ec2-metadata-token-ttl-seconds", ttl),
            None => request,
        };
        instance.enters(request).map(|_| ())
    };
    for refused in [None, Some("0"), Some("21601"), Some("-1"), Some(""), Some("1h"), Some("1.5")] {
        assert_eq!(put(refused), Err(StatusCode::BAD_REQUEST), "{refused:?}");
    }
    assert_eq!(put(Some("1")), Ok(()));
    assert_eq!(put(Some("21600")), Ok(()));
}

/// The same page: "requests with an X-Forwarded-For header are rejected".
#[test]
fn a_token_is_not_given_through_a_proxy() {
    let request = Request::put("/latest/api/token")
        .header("x-aws-ec2-metadata-token-ttl-seconds", "60")
        .header("x-forwarded-for", "10.0.0.1");
    assert_eq!(Instance::launched().enters(request), Err(StatusCode::FORBIDDEN));
}

/// Amazon EC2 User Guide, "Access instance metadata", its table of response codes.
#[test]
fn other_methods_are_405() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    let with = |method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-aws-ec2-metadata-token", token.clone())
    };
    for (method, path) in [
        (Method::POST, "/latest/meta-data/"),
        (Method::DELETE, "/latest/meta-data/"),
        (Method::PUT, "/latest/meta-data/"),
        (Method::PUT, "/latest/user-data"),
        (Method::GET, "/latest/api/token"),
    ] {
        assert_eq!(
            instance.enters(with(method.clone(), path)),
            Err(StatusCode::METHOD_NOT_ALLOWED),
            "{method} {path}"
        );
    }
    assert!(instance.enters(with(Method::HEAD, "/latest/meta-data/")).is_ok());
}

/// The same table, 401: a token that is missing, of somebody else, or expired.
#[test]
fn without_a_good_token_of_ones_own_nothing_is_read() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    let read = |path: &str| Request::get(path.to_owned());
    assert_eq!(
        instance.enters(read("/latest/meta-data/instance-id")),
        Err(StatusCode::UNAUTHORIZED)
    );
    assert_eq!(instance.enters(read("/latest/no-such-thing")), Err(StatusCode::UNAUTHORIZED));
    assert_eq!(instance.reads("/latest/user-data", "AQAEAAAA"), Err(StatusCode::UNAUTHORIZED));
    let entered = Entered::Read { path: "user-data".into(), left: Some(Duration::from_secs(60)) };
    assert_eq!(instance.reads("/latest/user-data", &token), Ok(entered));

    let other = machine("i-0b", 11);
    let own = std::mem::replace(&mut instance.machine, other);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
    instance.machine = own;

    instance.later(59);
    assert!(instance.reads("/latest/user-data", &token).is_ok());
    instance.later(1);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
}

#[test]
fn tokens_do_not_survive_a_stop() {
    let mut instance = Instance::launched();
    let token = instance.token("21600");
    instance.machine.launched_at += Duration::from_secs(30);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
}

/// Amazon EC2 User Guide, "Configure the Instance Metadata Service options": `HttpTokens`,
/// `HttpEndpoint`.
#[test]
fn version_one_is_served_only_where_tokens_are_optional() {
    let mut instance = Instance::launched();
    instance.machine.options.tokens_required = false;
    let entered = Entered::Read { path: "meta-data/mac".into(), left: None };
    assert_eq!(instance.enters(Request::get("/latest/meta-data/mac")), Ok(entered));
    assert_eq!(instance.reads("/latest/meta-data/mac", "AQAEAAAA"), Err(StatusCode::UNAUTHORIZED));
    instance.machine.options.endpoint_enabled = false;
    assert_eq!(instance.enters(Request::get("/latest/meta-data/mac")), Err(StatusCode::FORBIDDEN));
    assert_eq!(instance.enters(Request::put("/latest/api/token")), Err(StatusCode::FORBIDDEN));
}

#[test]
fn versions_are_listed_and_others_are_404() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    assert_eq!(instance.reads("/", &token), Ok(Entered::Versions));
    assert!(instance.reads("/2021-07-15/meta-data/", &token).is_ok());
    assert_eq!(instance.reads("/2021-07-16/meta-data/", &token), Err(StatusCode::NOT_FOUND));
}
