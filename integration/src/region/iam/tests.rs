use std::time::Duration;

use time::OffsetDateTime;

use super::*;
use crate::region::ids::Ids;

/// A caller with one policy, and what is asked of it.
struct Table {
    iam: Iam,
    caller: Caller,
}

impl Table {
    fn user(statements: &str) -> Self {
        let (mut iam, mut ids) = (Iam::new("123456789012", "eu-west-1"), Ids::new(3));
        let user =
            iam.add_user(&mut ids, "ann", &[("its", &policy(statements))]).expect("a policy");
        let principal = iam.secret_of(&user.access_key).expect("its key").principal.clone();
        Self { iam, caller: Caller { access_key: user.access_key, principal } }
    }

    fn instance(statements: &str) -> Self {
        let (mut iam, mut ids) = (Iam::new("123456789012", "eu-west-1"), Ids::new(3));
        let role =
            iam.add_role(&mut ids, "worker", &[("its", &policy(statements))]).expect("a policy");
        role.tags.insert("team".into(), "blue".into());
        role.role_id = "AROAWORKER".into();
        let now = OffsetDateTime::UNIX_EPOCH;
        let session = iam
            .open_session(&mut ids, "worker", "i-0a", now, Duration::from_secs(60))
            .expect("a session");
        let principal = iam.secret_of(&session.access_key).expect("its key").principal.clone();
        Self { iam, caller: Caller { access_key: session.access_key, principal } }
    }

    fn decides(&mut self, action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
        let access = context
            .iter()
            .fold(Access::new(action, resource), |access, (key, value)| access.with(*key, *value));
        self.iam.allows(&self.caller, &access)
    }
}

fn policy(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

fn with_condition(condition: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{{{condition}}}}}"#)
}

/// IAM User Guide, "Policy evaluation logic": an explicit deny wins, without an allow there is none.
#[test]
fn an_explicit_deny_wins_and_silence_is_a_refusal() {
    let mut table = Table::user(
        r#"{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"*"},
           {"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/secret/*"}"#,
    );
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/open", &[]), Decision::Allowed);
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/secret/x", &[]), Decision::Denied);
    assert_eq!(table.decides("s3:PutObject", "arn:aws:s3:::b/open", &[]), Decision::NotAllowed);
    assert_eq!(table.decides("S3:LISTBUCKET", "arn:aws:s3:::b", &[]), Decision::Allowed);
}

/// IAM User Guide, "IAM JSON policy elements: NotAction" and "NotResource".
#[test]
fn not_action_and_not_resource_speak_of_the_rest() {
    let mut table = Table::user(
        r#"{"Effect":"Allow","NotAction":["iam:*"],"NotResource":"arn:aws:s3:::b/secret/*"}"#,
    );
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/open", &[]), Decision::Allowed);
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/secret/x", &[]), Decision::NotAllowed);
    assert_eq!(table.decides("iam:CreateUser", "*", &[]), Decision::NotAllowed);
}

/// IAM User Guide, "Variables and tags": `aws:userid` of an instance is `ROLE-ID:INSTANCE-ID`.
#[test]
fn an_instance_writes_its_own_key_and_nobody_elses() {
    let mut table = Table::instance(
        r#"{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/inbox/${aws:userid}"}"#,
    );
    assert_eq!(
        table.decides("s3:PutObject", "arn:aws:s3:::b/inbox/AROAWORKER:i-0a", &[]),
        Decision::Allowed
    );
    assert_eq!(
        table.decides("s3:PutObject", "arn:aws:s3:::b/inbox/AROAWORKER:i-0b", &[]),
        Decision::NotAllowed
    );
    assert_eq!(
        table.decides("s3:PutObject", "arn:aws:s3:::b/inbox/AROAWORKER:i-0a/x", &[]),
        Decision::NotAllowed
    );
}

#[test]
fn principal_tags_and_the_source_instance_are_variables_too() {
    let mut table = Table::instance(
        r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"},
           {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/none, 'shared'}/*"},
           {"Effect":"Allow","Action":"ec2:CreateRoute","Resource":"*","Condition":{"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:*:*:instance/i-0a"}}}"#,
    );
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/blue/x", &[]), Decision::Allowed);
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/shared/x", &[]), Decision::Allowed);
    assert_eq!(table.decides("s3:GetObject", "arn:aws:s3:::b/red/x", &[]), Decision::NotAllowed);
    assert_eq!(table.decides("ec2:CreateRoute", "*", &[]), Decision::Allowed);
    assert_eq!(Table::user(r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}"#)
        .decides("s3:GetObject", "arn:aws:s3:::b//x", &[]), Decision::NotAllowed);
}

/// IAM User Guide, "IAM JSON policy elements: Condition operators": each with a key that is
/// there, one that differs, and one that is absent.
#[test]
fn condition_operators() {
    const ABSENT: &str = "";
    let rows = [
        // condition, value of the key `k`, decided
        (r#""StringEquals":{"k":["a","b"]}"#, "b", true),
        (r#""StringEquals":{"k":"a"}"#, "A", false),
        (r#""StringEquals":{"k":"a*"}"#, "ab", false),
        (r#""StringEquals":{"k":"a"}"#, ABSENT, false),
        (r#""StringEqualsIfExists":{"k":"a"}"#, ABSENT, true),
        (r#""StringEqualsIfExists":{"k":"a"}"#, "b", false),
        (r#""StringNotEquals":{"k":["a","b"]}"#, "c", true),
        (r#""StringNotEquals":{"k":["a","b"]}"#, "b", false),
        (r#""StringNotEquals":{"k":"a"}"#, ABSENT, true),
        (r#""StringEqualsIgnoreCase":{"k":"A"}"#, "a", true),
        (r#""StringNotEqualsIgnoreCase":{"k":"A"}"#, "a", false),
        (r#""StringLike":{"k":"a*c?"}"#, "abbcd", true),
        (r#""StringLike":{"k":"a*c?"}"#, "abbc", false),
        (r#""StringNotLike":{"k":"a*"}"#, "b", true),
        (r#""StringEquals":{"k":"${aws:username}"}"#, "ann", true),
        (
            r#""ArnLike":{"k":"arn:aws:ec2:*:*:vpc/vpc-1"}"#,
            "arn:aws:ec2:eu-west-1:1:vpc/vpc-1",
            true,
        ),
        (
            r#""ArnLike":{"k":"arn:aws:ec2:*:vpc/vpc-1"}"#,
            "arn:aws:ec2:eu-west-1:1:vpc/vpc-1",
            false,
        ),
        (
            r#""ArnNotLike":{"k":"arn:aws:ec2:*:*:vpc/vpc-1"}"#,
            "arn:aws:ec2:eu-west-1:1:vpc/vpc-2",
            true,
        ),
        (r#""Bool":{"k":true}"#, "true", true),
        (r#""Bool":{"k":"true"}"#, "false", false),
        (r#""Bool":{"k":"false"}"#, ABSENT, false),
        (r#""BoolIfExists":{"k":"false"}"#, ABSENT, true),
        (r#""Null":{"k":"true"}"#, ABSENT, true),
        (r#""Null":{"k":"true"}"#, "x", false),
        (r#""Null":{"k":"false"}"#, "x", true),
        (r#""IpAddress":{"k":["10.0.0.0/8","192.0.2.1"]}"#, "10.1.2.3", true),
        (r#""IpAddress":{"k":["10.0.0.0/8","192.0.2.1"]}"#, "192.0.2.1", true),
        (r#""IpAddress":{"k":"10.0.0.0/8"}"#, "11.0.0.1", false),
        (r#""NotIpAddress":{"k":"10.0.0.0/8"}"#, "11.0.0.1", true),
        (r#""IpAddress":{"k":"2001:db8::/32"}"#, "2001:db8::1", true),
        (r#""NumericLessThanEquals":{"k":10}"#, "10", true),
        (r#""NumericLessThan":{"k":"10"}"#, "10", false),
        (r#""NumericGreaterThan":{"k":9}"#, "10", true),
        (r#""NumericNotEquals":{"k":9}"#, "10", true),
        // Two operators and two keys: all must hold.
        (r#""StringEquals":{"k":"a","aws:username":"ann"},"Null":{"k":"false"}"#, "a", true),
        (r#""StringEquals":{"k":"a","aws:username":"bob"}"#, "a", false),
        (r#""StringEquals":{"aws:RequestedRegion":"eu-west-1"}"#, ABSENT, true),
        // Keys are compared whatever the case.
        (r#""StringEquals":{"AWS:UserName":"ann"}"#, ABSENT, true),
    ];
    for (condition, value, allowed) in rows {
        let context = [("k", value)];
        let context = if value == ABSENT { &[][..] } else { &context[..] };
        let decision = Table::user(&with_condition(condition)).decides(
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            context,
        );
        assert_eq!(decision == Decision::Allowed, allowed, "{condition} with k={value}");
    }
}

/// IAM User Guide, "Single-valued vs. multivalued context keys": the set operators.
#[test]
fn set_operators_quantify_over_the_requests_values() {
    let rows: [(&str, &[&str], bool); 9] = [
        (r#""ForAnyValue:StringEquals":{"k":["a","b"]}"#, &["c", "b"], true),
        (r#""ForAnyValue:StringEquals":{"k":["a","b"]}"#, &["c"], false),
        (r#""ForAnyValue:StringEquals":{"k":["a","b"]}"#, &[], false),
        (r#""ForAllValues:StringLike":{"k":["a*","b"]}"#, &["ax", "b"], true),
        (r#""ForAllValues:StringLike":{"k":["a*","b"]}"#, &["ax", "c"], false),
        (r#""ForAllValues:StringLike":{"k":["a*","b"]}"#, &[], true),
        (r#""ForAnyValue:StringNotEquals":{"k":["a","b"]}"#, &["a", "c"], true),
        (r#""ForAnyValue:StringNotEquals":{"k":["a","b"]}"#, &["a", "b"], false),
        (r#""ForAllValues:StringNotEquals":{"k":["a","b"]}"#, &["c", "b"], false),
    ];
    for (condition, values, allowed) in rows {
        let context: Vec<_> = values.iter().map(|value| ("k", *value)).collect();
        let decision = Table::user(&with_condition(condition)).decides(
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            &context,
        );
        assert_eq!(decision == Decision::Allowed, allowed, "{condition} with {values:?}");
    }
}

/// IAM User Guide, "Troubleshoot access denied error messages".
#[test]
fn a_refusal_names_caller_action_and_resource() {
    let mut table = Table::instance(r#"{"Effect":"Deny","Action":"ec2:*","Resource":"*"}"#);
    let access = Access::new("s3:PutObject", "arn:aws:s3:::b/k");
    let refusal = table.iam.allows(&table.caller, &access).refusal(&table.caller, &access);
    assert_eq!(
        refusal.as_deref(),
        Some(
            "User: arn:aws:sts::123456789012:assumed-role/worker/i-0a is not authorized to perform: s3:PutObject on resource: \
              \"arn:aws:s3:::b/k\" because no identity-based policy allows the s3:PutObject action"
        )
    );
    let access = Access::new("ec2:RunInstances", "*");
    let refusal =
        table.iam.allows(&table.caller, &access).refusal(&table.caller, &access).expect("denied");
    assert!(refusal.ends_with("with an explicit deny in an identity-based policy"), "{refusal}");
}

#[test]
fn permissions_that_no_call_needed_are_known() {
    let mut table = Table::user(
        r#"{"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"},
           {"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}"#,
    );
    table.decides("s3:GetObject", "arn:aws:s3:::b/k", &[]);
    table.decides("s3:GetObject", "arn:aws:s3:::b/k", &[]);
    let permission = |statement: &str, action: &str| Permission {
        policy: "its".into(),
        statement: statement.into(),
        action: action.into(),
    };
    assert_eq!(table.iam.used(), &BTreeMap::from([(permission("Read", "s3:GetObject"), 2)]));
    assert_eq!(
        table.iam.unused(),
        [permission("2", "ec2:DescribeInstances"), permission("Read", "s3:ListBucket")]
    );
}

#[test]
fn a_policy_with_a_mistake_is_refused_with_its_place() {
    let problem = |json: &str| Policy::parse("p", json).expect_err("a mistake").to_string();
    assert_eq!(
        problem(&policy(&with_condition(r#""StringIs":{"k":"v"}"#))),
        "policy `p`, statement 1: unknown condition operator `StringIs`"
    );
    assert_eq!(
        problem(&policy(r#"{"Sid":"S","Effect":"Allow","Action":"GetObject","Resource":"*"}"#)),
        "policy `p`, statement S: action `GetObject` has no service prefix"
    );
    assert_eq!(
        problem(&policy(r#"{"Effect":"Allow","Action":"s3:*"}"#)),
        "policy `p`, statement 1: wants exactly one of `Resource` and `NotResource`"
    );
    assert!(problem(r#"{"Version":"2008-10-17","Statement":[]}"#).contains("wanted `2012-10-17`"));
    assert!(problem(r#"{"Version":"2012-10-17","Statment":[]}"#).contains("not a policy document"));
}
