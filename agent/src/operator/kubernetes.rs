//! What the API server says of the nodes, where a kubeconfig is at hand.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use super::Hinted;
use crate::client::Wire;
use crate::client::apiserver::{self, Identity};
use crate::exchange::InstanceId;
use crate::plan::node::GROUP_LABEL;

/// A Node as far as an operator asks for it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeNode {
    pub name: String,
    pub group: Option<String>,
    pub ready: bool,
    /// What kubelet or the node controller says about `ready`.
    pub message: String,
    pub cordoned: bool,
    pub kubelet_version: String,
}

/// Every Node that has an AWS provider ID, by its instance.
pub async fn nodes(client: Client) -> anyhow::Result<BTreeMap<InstanceId, KubeNode>> {
    let nodes: Api<Node> = Api::all(client);
    let listed = nodes.list(&ListParams::default()).await.context("listing Nodes")?;
    Ok(listed.items.into_iter().filter_map(read).collect())
}

/// The node that is called so, by its own name or its instance's.
pub async fn named(client: Client, called: &str) -> anyhow::Result<(InstanceId, KubeNode)> {
    let is_it = |(instance, node): &(InstanceId, KubeNode)| {
        node.name == called || instance.as_str() == called
    };
    nodes(client).await?.into_iter().find(is_it).ok_or_else(|| {
        let message = format!("the cluster has no node `{called}` on an EC2 instance");
        Hinted::new(message, "`windlass nodes` lists them").into()
    })
}

/// A client by the context `name` of a kubeconfig's text, else by its current context. Only client
/// certificates are understood; tokens and plugins are named in the error.
pub fn client(wire: &Wire, kubeconfig: &str, name: &str) -> anyhow::Result<Client> {
    let config: Value = serde_saphyr::from_str(kubeconfig).context("the kubeconfig is not YAML")?;
    let current = config["current-context"].as_str().unwrap_or_default();
    let (chosen, context) =
        match (find(&config, "contexts", name), find(&config, "contexts", current)) {
            (Some(context), _) => (name, context),
            (None, Some(context)) => (current, context),
            (None, None) => bail!("the kubeconfig has no context `{name}` and no current one"),
        };
    let part = |kind: &str, field: &str| {
        let name = context["context"][field].as_str().unwrap_or_default();
        find(&config, kind, name).map(|item| &item[field])
    };
    let cluster = part("clusters", "cluster");
    let cluster = cluster.with_context(|| format!("context `{chosen}` names no cluster"))?;
    let user = part("users", "user");
    let user = user.with_context(|| format!("context `{chosen}` names no user"))?;
    let server = cluster["server"].as_str().context("the cluster has no server")?;
    let authorities = pem(cluster, "certificate-authority")?;
    let identity = Identity {
        certificate: pem(user, "client-certificate")
            .with_context(|| format!("user of context `{chosen}` has no client certificate"))?,
        private_key: pem(user, "client-key")?,
    };
    apiserver::connect(wire, server, &authorities, &identity)
}

fn find<'a>(config: &'a Value, kind: &str, name: &str) -> Option<&'a Value> {
    let list = config[kind].as_array()?;
    list.iter().find(|item| item["name"] == name)
}

/// `FIELD-data` in base64, or the file that `FIELD` names.
fn pem(of: &Value, field: &str) -> anyhow::Result<String> {
    let data = format!("{field}-data");
    match (of[&data].as_str(), of[field].as_str()) {
        (Some(data), _) => {
            let bytes = STANDARD.decode(data).with_context(|| format!("`{field}-data`"))?;
            String::from_utf8(bytes).with_context(|| format!("`{field}-data` is not PEM"))
        }
        (None, Some(file)) => {
            std::fs::read_to_string(file).with_context(|| format!("reading {file}"))
        }
        (None, None) => bail!("neither `{data}` nor `{field}` is there"),
    }
}

fn read(node: Node) -> Option<(InstanceId, KubeNode)> {
    let spec = node.spec?;
    let instance = spec.provider_id?.rsplit('/').next()?.parse().ok()?;
    let status = node.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let labels = node.metadata.labels.unwrap_or_default();
    let found = KubeNode {
        name: node.metadata.name.unwrap_or_default(),
        group: labels.get(GROUP_LABEL).cloned(),
        ready: ready.as_ref().is_some_and(|condition| condition.status == "True"),
        message: ready.map_or("kubelet has not said anything yet".to_owned(), message),
        cordoned: spec.unschedulable.unwrap_or(false),
        kubelet_version: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
    };
    Some((instance, found))
}

fn message(condition: NodeCondition) -> String {
    condition.message.filter(|text| !text.is_empty()).or(condition.reason).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_provider_id() {
        let node = serde_json::json!({
            "metadata": { "name": "n1", "labels": { "windlass.dev/group": "workers" } },
            "spec": { "providerID": "aws:///eu-west-1a/i-0123456789abcdef0", "unschedulable": true },
            "status": { "conditions": [
                { "type": "Ready", "status": "False", "reason": "KubeletNotReady",
                  "message": "container runtime network not ready" },
            ] },
        });
        let node = serde_json::from_value(node).expect("a Node");
        let wanted = KubeNode {
            name: "n1".into(),
            group: Some("workers".into()),
            ready: false,
            message: "container runtime network not ready".into(),
            cordoned: true,
            kubelet_version: String::new(),
        };
        assert_eq!(read(node), Some(("i-0123456789abcdef0".parse().expect("an id"), wanted)));
    }

    #[test]
    fn a_node_of_another_cloud_is_nobodys() {
        let node =
            serde_json::json!({ "metadata": {}, "spec": { "providerID": "kind://kind/n1" } });
        assert_eq!(read(serde_json::from_value(node).expect("a Node")), None);
    }

    #[test]
    fn a_user_without_a_certificate_is_named() {
        let config: Value =
            serde_saphyr::from_str(include_str!("testdata/kubeconfig.yaml")).expect("YAML");
        let user = find(&config, "users", "sso").expect("a user");
        let error = pem(&user["user"], "client-certificate").expect_err("a plugin");
        assert_eq!(
            error.to_string(),
            "neither `client-certificate-data` nor `client-certificate` is there"
        );
    }
}
