//! An operator with the environment of `cargo lab env`, in front of a real API server: the way in,
//! the view of all instances, and what is read when nodes cannot be.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::lab_by_hand::a_worker_is_emptied_by_hand_given_back_and_says_how_it_left;
use crate::lab_changed::a_node_leaves_by_what_its_last_boot_left;
use crate::lab_given_up::instances_that_never_become_ready_are_given_up_with_the_reason;
use crate::lab_scene::{Lab, in_service};
use crate::lab_stopped::{Stopped, launch, pod_cidr};
use crate::lab_units::units_run_as_intended_and_nothing_is_kept_from_them;

/// One lab for all of it: to bring one up takes longer than to look at it.
#[test]
fn an_operator_gets_in_sees_every_instance_and_learns_why_some_are_no_nodes() {
    let lab = Lab::up("operate", &[]);
    let worker = launch(&lab);
    lab.eventually("a control plane in service", |nodes| in_service(nodes, 1));
    lab.report(&worker, |report| report.ready_ms.is_some());

    let kubeconfig = Kubeconfig::beside_another(&lab);
    every_instance_is_shown_with_what_everybody_says_of_it(&lab, &kubeconfig, &worker);
    units_run_as_intended_and_nothing_is_kept_from_them(&lab, &worker);
    let steps = Stopped::of(&lab, &worker).comes_back(&lab);
    assert!(!steps.contains(&"grant".to_owned()), "its certificate still counted: {steps:?}");
    instances_that_never_become_ready_are_given_up_with_the_reason(&lab);
    a_node_leaves_by_what_its_last_boot_left(&lab);
    a_worker_is_emptied_by_hand_given_back_and_says_how_it_left(&lab, &worker);
    lab.ok(&["down"]);
}

/// A kubeconfig of a person who has other clusters. Its folder goes with it.
struct Kubeconfig {
    folder: PathBuf,
    variable: String,
}

impl Kubeconfig {
    /// Merges the lab's cluster into it, as `windlass kubeconfig` does.
    fn beside_another(lab: &Lab) -> Self {
        let folder = std::env::temp_dir().join(format!("windlass-{}", lab.0));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config");
        let kubeconfig = Self { folder, variable: format!("KUBECONFIG={}", file.display()) };
        fs::write(&file, ELSEWHERE).unwrap();

        // From outside the VPC the API server is where the lab forwards to.
        let server = "jsonpath={.clusters[0].cluster.server}";
        let server = lab.operator_ok(&["kubectl", "config", "view", "--output", server]);
        let merging = kubeconfig.run(lab, &["windlass", "kubeconfig", "--server", &server]);
        assert_eq!(merging, "");
        assert_eq!(fs::read_to_string(file.with_extension("bak")).unwrap(), ELSEWHERE);
        let kubectl = |words: &str| {
            let words: Vec<&str> = ["kubectl"].into_iter().chain(words.split(' ')).collect();
            kubeconfig.run(lab, &words)
        };
        assert_eq!(kubectl("config current-context"), "elsewhere\n");
        let contexts = kubectl("config get-contexts --output name");
        assert_eq!(contexts, format!("elsewhere\n{}\n", lab.0));
        let user = "auth whoami --output jsonpath={.status.userInfo.username}";
        assert_eq!(kubectl(&format!("--context {} {user}", lab.0)), "windlass:operator");
        let nodes = kubectl(&format!("--context {} get nodes --output name", lab.0));
        assert_eq!(nodes.lines().count(), 2, "{nodes}");
        kubeconfig
    }

    fn run(&self, lab: &Lab, words: &[&str]) -> String {
        lab.operator_ok(&[&[self.variable.as_str()], words].concat())
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// With something that Windlass has no word for.
const ELSEWHERE: &str = r#"apiVersion: v1
kind: Config
current-context: elsewhere
preferences:
  colors: true
clusters:
- name: elsewhere
  cluster:
    server: https://elsewhere.invalid
users:
- name: me
  user:
    token: secret
contexts:
- name: elsewhere
  context:
    cluster: elsewhere
    user: me
    namespace: mine
"#;

fn every_instance_is_shown_with_what_everybody_says_of_it(
    lab: &Lab,
    kubeconfig: &Kubeconfig,
    worker: &str,
) {
    let printed = kubeconfig.run(lab, &["windlass", "nodes", "--output", "json"]);
    let mut rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let shown = lab.operator_ok(&["windlass", "cluster", "show", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let groups: Vec<String> = rows.iter().map(|row| row["group"].to_string()).collect();
    assert_eq!(groups, ["\"control-plane\"", "\"workers\""]);

    let mut row = rows.pop().unwrap();
    let (age, revision) = (row["age_seconds"].take(), row["revision"].take());
    assert!((1..240).contains(&age.as_i64().unwrap()), "{age}");
    assert!(shown.to_string().contains(&revision.to_string()), "{revision} is not in {shown}");
    let status = lab.status().into_iter().find(|status| status.instance == worker).unwrap();
    assert_eq!(
        row,
        json!({
            "instance": worker, "node": worker, "group": "workers", "state": "running",
            "zone": status.zone, "instance_type": "m6i.large",
            "revision": null, "behind": false, "pod_cidrs": [pod_cidr(lab, worker)],
            "grant": "granted", "ready": true, "cordoned": false, "age_seconds": null,
            "why_not": null,
        })
    );

    let table = kubeconfig.run(lab, &["windlass", "nodes", "--group", "workers"]);
    let words: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head =
        ["NODE", "GROUP", "STATE", "READY", "GRANT", "PODS", "REVISION", "AGE", "WHY", "NOT"];
    assert_eq!(words[0], head, "{table}");
    let (cidr, revision) = (pod_cidr(lab, worker), &revision.as_str().unwrap()[..12]);
    let wanted = [worker, "workers", "running", "yes", "granted", &cidr, revision];
    assert_eq!(words[1][..7], wanted, "{table}");
    assert_eq!((words.len(), words[1].len()), (2, 8), "{table}");
}
