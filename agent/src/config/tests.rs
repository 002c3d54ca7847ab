//! What an operator writes, right and wrong, and what is made of it.

use std::time::Duration;

use serde_json::json;

use super::*;

const CA: &str = include_str!("testdata/ca.crt");
const LEAF: &str = include_str!("testdata/leaf.crt");
const CLUSTER: &str = include_str!("testdata/cluster.toml");

fn ca() -> CaBundle {
    CaBundle { certificate_authorities: CA.to_owned(), generation: 1 }
}

fn revision(group: &str) -> NodeConfig {
    let file = ClusterFile::parse(CLUSTER).expect("a good file");
    file.revisions(&ca()).remove(group).expect("the group")
}

fn revision_text(replace: &str, by: &str) -> String {
    let text = revision("workers").to_toml();
    assert!(text.contains(replace), "no `{replace}` in:\n{text}");
    text.replace(replace, by)
}

fn refused(text: &str) -> String {
    NodeConfig::parse(text).expect_err("a configuration with problems").to_string()
}

#[test]
fn a_cluster_file_becomes_one_whole_revision_a_group() {
    let file = ClusterFile::parse(CLUSTER).expect("a good file");
    assert_eq!(file.bucket, "acme-kubernetes");
    assert_eq!(file.groups().collect::<Vec<_>>(), ["control-plane", "workers"]);

    let workers = revision("workers");
    assert_eq!(workers.node.role, Role::Worker);
    assert_eq!(workers.network.dns, ["10.96.0.10".parse::<IpAddr>().expect("an address")]);
    assert_eq!(workers.network.node_mask_ipv4, 24);
    assert_eq!(workers.admission.window, Duration::from_secs(900));
    assert_eq!(workers.admission.certificate_lifetime, Duration::from_secs(86_400));
    assert_eq!(workers.api.ca_generation, 1);
}

#[test]
fn a_group_overrides_what_all_groups_share() {
    let (workers, control_plane) = (revision("workers"), revision("control-plane"));
    assert_eq!(workers.drain.when_refused, WhenRefused::Wait);
    assert_eq!(control_plane.drain.when_refused, WhenRefused::Delete);
    assert_eq!(workers.kubelet.max_pods, MaxPods::Fixed(58));
    assert_eq!(control_plane.kubelet.max_pods, MaxPods::Gke);
    let thresholds = json!({ "memory.available": "200Mi", "nodefs.available": "5%" });
    assert_eq!(workers.kubelet.overrides["evictionHard"], thresholds);
    assert_eq!(control_plane.boot.deadline, Duration::from_secs(1200));
    assert_eq!(workers.boot.deadline, Duration::from_secs(600));
}

#[test]
fn a_taint_is_taken_as_kubectl_writes_it() {
    let taint = Taint {
        key: "node-role.kubernetes.io/control-plane".into(),
        value: String::new(),
        effect: "NoSchedule".into(),
    };
    assert_eq!(revision("control-plane").node.taints, [taint]);
}

#[test]
fn five_mistakes_are_five_problems_with_line_and_hint() {
    let text = CLUSTER
        .replace("region = \"eu-west-1\"", "regoin = \"eu-west-1\"")
        .replace("https://api", "http://api")
        .replace("10.64.0.0/14", "10.64.0.1/14")
        .replace("max_pods = 58", "max_pods = \"esk\"")
        .replace("\"wait\"", "wait_for_ever");
    let refused = ClusterFile::parse(&text).expect_err("no TOML").to_string();
    assert_eq!(
        refused,
        "cluster.toml, line 33: is not TOML: string values must be quoted, expected literal string"
    );

    let text = text.replace("wait_for_ever", "\"wait\"").replace("effect = ", "efect = ");
    let refused = ClusterFile::parse(&text).expect_err("five mistakes").to_string();
    assert_eq!(
        refused,
        "cluster.toml, line 3: `cluster.regoin` is not a known key\n  \
         hint: did you mean `region`?\n\
         cluster.toml, line 8: `api.endpoint` is `http://api.prod.acme.example`, wanted a URL \
         `https://HOST[:PORT]`\n\
         cluster.toml, line 11: `network.pods[0]` is `10.64.0.1/14`, which has bits set beyond its \
         mask\n  hint: the network is `10.64.0.0/14`\n\
         cluster.toml, line 31: `groups.workers.taints[0].efect` is not a known key\n  \
         hint: did you mean `effect`?\n\
         cluster.toml, line 36: `groups.workers.kubelet.max_pods` is `esk`, wanted `eks` or `gke`\n  \
         hint: did you mean `eks`?"
    );
}

#[test]
fn an_empty_file_names_all_that_is_missing() {
    let refused = ClusterFile::parse("").expect_err("nothing in it").to_string();
    assert_eq!(
        refused,
        "cluster.toml: `cluster.name` is missing, wanted the cluster's name\n\
         cluster.toml: `cluster.region` is missing, wanted an AWS region\n\
         cluster.toml: `cluster.vpc` is missing, wanted the id of the cluster's VPC\n\
         cluster.toml: `cluster.bucket` is missing, wanted the S3 bucket that holds the cluster's \
         state\n\
         cluster.toml: `api.endpoint` is missing, wanted the API server's URL\n\
         cluster.toml: `network.pods` is missing, wanted a list of CIDRs, such as \
         [\"10.64.0.0/14\"]\n\
         cluster.toml: `network.services` is missing, wanted a list of CIDRs, such as \
         [\"10.96.0.0/16\"]\n\
         cluster.toml: `groups` is missing, wanted a table `[groups.NAME]` for each group"
    );
}

#[test]
fn address_ranges_that_meet_or_do_not_fit_are_refused() {
    for (services, why) in [
        ("10.64.0.0/16", "has `10.64.0.0/16`, which overlaps the pods' `10.64.0.0/14`"),
        ("10.96.0.0/11", "has `10.96.0.0/11`, wanted a prefix of /12 or longer"),
        ("fd00::/112", "has `fd00::/112`, but no pod has an address of that family"),
        ("169.254.0.0/16", "meets the link-local addresses, where IMDS is (169.254.0.0/16)"),
    ] {
        let refused = refused(&revision_text("10.96.0.0/16", services));
        assert!(refused.contains(why), "{refused}");
    }
    let refused = refused(&revision_text("10.64.0.0/14", "10.64.0.0/24"));
    assert!(refused.contains("wanted a longer prefix than that of the pods"), "{refused}");
}

#[test]
fn a_default_mask_that_does_not_fit_is_refused_too() {
    let text = CLUSTER.replace("10.64.0.0/14", "10.64.0.0/25");
    let refused = ClusterFile::parse(&text).expect_err("a small network").to_string();
    assert_eq!(
        refused,
        "cluster.toml, line 11: `network.pods` is `10.64.0.0/25`, too small to give each node a \
         /24 of it\n  hint: take a larger network or set `network.node_mask_ipv4`"
    );
}

#[test]
fn a_certificate_lives_a_day_at_most() {
    let refused = refused(&revision_text("\"86400s\"", "\"25h\""));
    let wanted = "`admission.certificate_lifetime` is `25h`, wanted a duration from 1m to 24h";
    assert!(refused.contains(wanted), "{refused}");
}

#[test]
fn only_certificates_of_authorities_are_trusted() {
    let block = |text: &str| text.replace('\n', "\\n");
    let key = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n";
    for (pem, why) in [
        (block(LEAF), "has as number 1 `CN=example`, which is not a CA's certificate"),
        (block(CA) + key, "has a block `PRIVATE KEY` as number 2, wanted CA certificates as PEM"),
        ("nothing".to_owned(), "holds no certificate, wanted CA certificates as PEM"),
    ] {
        let mut config = revision("workers");
        config.api.certificate_authorities = pem.replace("\\n", "\n");
        let refused = refused(&config.to_toml());
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn kubelet_fields_that_windlass_owns_are_named_with_what_to_do() {
    let with = |field: &str| {
        let group = "[groups.workers.kubelet]\nmax_pods = 58\n";
        let text = CLUSTER.replace(group, &format!("{group}overrides.{field}\n"));
        let text =
            text.replace("overrides = { evictionHard = { \"nodefs.available\" = \"5%\" } }", "");
        ClusterFile::parse(&text).map_err(|problems| problems.to_string())
    };
    assert!(with("clusterDNS = [\"169.254.20.10\"]").is_ok());
    assert!(with("aFieldOfALaterKubelet = true").is_ok());
    let refused = with("rotateCertificates = false").expect_err("an owned field");
    let wanted = "`groups.workers.kubelet.overrides.rotateCertificates` cannot be overridden: \
                  windlass owns it\n  hint: the first certificate lives 24 h at most; leave it out";
    assert!(refused.contains(wanted), "{refused}");
    let refused = with("max_pods = 3").expect_err("no such field");
    assert!(refused.contains("hint: did you mean `maxPods`?"), "{refused}");
    let refused = with("evictionhard = {}").expect_err("no such field");
    assert!(refused.contains("hint: did you mean `evictionHard`?"), "{refused}");
}

#[test]
fn labels_and_taints_follow_kubernetes_rules() {
    for (from, to, why) in [
        ("acme.example/tier", "kubernetes.io/hostname", "is set by windlass itself"),
        ("acme.example/tier", "a/b/c", "is not a label's key"),
        ("\"general\"", "\"general purpose\"", "is `general purpose`, wanted at most 63 letters"),
        ("\"batch\"", "\"-batch\"", "has the value `-batch`, wanted at most 63 letters"),
        ("NoSchedule\" }]", "Never\" }]", "has the effect `Never`, wanted `NoSchedule`, `Prefer"),
        ("[{ key", "[\"dedicated:NoSchedule\", { key", "with the effect `NoSchedule` twice"),
    ] {
        let text = CLUSTER.replace(from, to);
        let refused = ClusterFile::parse(&text).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_registrys_name_cannot_climb_out_of_its_folder() {
    for host in ["..", "a/b", ""] {
        let text = format!("{CLUSTER}\n[registry.mirrors]\n\"{host}\" = [\"https://m.example\"]\n");
        let refused = ClusterFile::parse(&text).expect_err("no registry").to_string();
        assert!(refused.contains("is not a registry"), "{refused}");
    }
}

/// What is written by hand is cut off, doubled and misspelt: that is answered, never a panic.
#[test]
fn whatever_is_read_is_either_good_or_has_a_problem_that_can_be_shown() {
    const BITS: [&str; 12] = [
        "\"",
        "[",
        "]",
        "\n",
        "=",
        "{",
        "é",
        "\u{0}",
        "-1",
        "[groups.x]\n",
        "\"\"\"",
        "10.0.0.0/8",
    ];
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = if rng.bool() { CLUSTER.to_owned() } else { revision("workers").to_toml() };
        for _ in 0..rng.usize(1..4) {
            let mut place =
                || (0..).map(|_| rng.usize(..=text.len())).find(|&at| text.is_char_boundary(at));
            let (Some(a), Some(b)) = (place(), place()) else { continue };
            let by = BITS[rng.usize(..BITS.len())];
            let end = if rng.bool() { a.min(b) } else { a.max(b).min(a.min(b) + 40) };
            let end = (end..).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
            text.replace_range(a.min(b)..end, by);
        }
        let problems = [
            ClusterFile::parse(&text).err(),
            NodeConfig::parse(&text).err(),
            UserData::parse(text.as_bytes()).err(),
        ];
        for problems in problems.into_iter().flatten() {
            assert!(problems.iter().len() > 0, "seed {seed}");
            assert!(!problems.to_string().is_empty(), "seed {seed}");
        }
    }
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let page = include_str!("../../../docs/configuration.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    let block = |index: usize| blocks[index].split("```").next().expect("a block");
    let stated = ClusterFile::parse(block(0)).expect("the page's cluster.toml is good");
    let short: String =
        block(0).split_inclusive('\n').filter(|line| !line.contains("# default")).collect();
    assert!(short.lines().count() + 10 < block(0).lines().count(), "{short}");
    assert_eq!(ClusterFile::parse(&short), Ok(stated));
    UserData::parse(block(1).as_bytes()).expect("the page's UserData is good");
    let document = page.split("```\nMIME").nth(1).and_then(|rest| rest.split("```").next());
    let document = format!("MIME{}", document.expect("the page's MIME document"));
    assert_eq!(UserData::parse(document.as_bytes()), UserData::parse(block(1).as_bytes()));
}
