//! The CloudFormation template has the shipped policies, word for word.

use std::fs;
use std::path::Path;

const PARAMETERS: [(&str, &str); 6] = [
    ("@ACCOUNT@", "${AWS::AccountId}"),
    ("@BUCKET@", "${Bucket}"),
    ("@CLUSTER@", "${Cluster}"),
    ("@KMS_KEY@", "${KmsKey}"),
    ("@PARTITION@", "${AWS::Partition}"),
    ("@REGION@", "${AWS::Region}"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

/// As a template says it: each string with a parameter in it is one for `!Sub`, in which IAM's own
/// variables are written `${!aws:userid}` ("Fn::Sub", AWS CloudFormation User Guide).
fn in_a_template(policy: &str) -> String {
    let strings = policy.split('"').enumerate().map(|(at, text)| {
        let is_string = at % 2 == 1;
        match is_string && text.contains('@') {
            true => {
                let text = text.replace("${", "${!");
                let text = PARAMETERS.iter().fold(text, |text, (from, to)| text.replace(from, to));
                format!("!Sub \"{text}\"")
            }
            false if is_string => format!("\"{text}\""),
            false => text.to_owned(),
        }
    });
    strings.collect()
}

#[test]
fn the_template_has_the_shipped_policies() {
    let template = without_space(&read("cloudformation/windlass.yaml"));
    for policy in ["worker", "control-plane"] {
        let policy = in_a_template(&read(&format!("agent/policies/{policy}.json")));
        assert!(!policy.contains('@'), "{policy}");
        let wanted = format!("PolicyDocument:{}", without_space(&policy));
        assert!(template.contains(&wanted), "cloudformation/windlass.yaml lacks:\n{policy}");
    }
}
