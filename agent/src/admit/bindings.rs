//! What the API server must allow: the admitter its work, and every kubelet to renew its own client
//! certificate; and the runtime class by which pods ask for GPUs, where a group has any and nobody else made
//! it. By server-side apply, so that what somebody removed comes back and what somebody added stays.
//!
//! Source: "TLS bootstrapping" (Kubernetes documentation), approval of renewals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::node::v1::{RuntimeClass, Scheduling};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::Admitter;
use super::apiserver::{Access, USER};
use crate::config::Gpu;
use crate::plan::node::NVIDIA_LABEL;

/// Between two looks when all is well, and after a failure.
const LOOK: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(2);

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const NODE: &str = "node.k8s.io";

/// The runtime class of pods that use NVIDIA's GPUs, and what containerd calls its runtime for them: as
/// NVIDIA's own documentation and operator do.
const NVIDIA: &str = "nvidia";

/// Kubernetes' own role that lets a node renew its client certificate.
const RENEWAL: &str = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
const RENEWAL_BINDING: &str = "windlass:node-certificate-renewal";

impl Admitter {
    pub(super) async fn keep_bindings(self: Arc<Self>) {
        let Some(nodes) = &self.nodes else { return };
        let mut told = false;
        loop {
            let gpu = self.has_gpu();
            let pause = match ensure(&nodes.access, gpu).await {
                Ok(()) => {
                    told = false;
                    LOOK
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!("what nodes need in the cluster is not sure: {error:#}");
                    }
                    RETRY
                }
            };
            // The first instance of a group with GPUs does not wait for the next look.
            let next = Instant::now() + pause;
            while Instant::now() < next && self.has_gpu() == gpu {
                sleep(RETRY).await;
            }
        }
    }

    /// Whether any group that is known has GPUs.
    fn has_gpu(&self) -> bool {
        self.configs.all().iter().any(|config| config.host.gpu == Gpu::Nvidia)
    }
}

async fn ensure(access: &Access, gpu: bool) -> anyhow::Result<()> {
    let client = access.client()?;
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let wanted = admitters_role();
    let sufficient = match roles.get(USER).await {
        Ok(found) => found.rules == wanted.rules,
        Err(kube::Error::Api(status)) if status.code == 403 => false,
        Err(error) => return Err(error).context("reading the admitter's own role"),
    };
    if !sufficient {
        tracing::info!("creating the role of {USER}, as system:masters");
        let masters = access.masters()?;
        apply(&masters, &wanted).await?;
        apply(&masters, &binding(USER, USER, "User", USER)).await?;
    }
    apply(&client, &binding(RENEWAL_BINDING, RENEWAL, "Group", "system:nodes")).await?;
    if gpu {
        ensure_runtime_class(&client).await?;
    }
    Ok(())
}

/// There is one. Somebody else's, NVIDIA's own operator's for one, stays as it is.
async fn ensure_runtime_class(client: &Client) -> anyhow::Result<()> {
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    let found = classes.get_opt(NVIDIA).await;
    if found.with_context(|| format!("reading the RuntimeClass `{NVIDIA}`"))?.is_some() {
        return Ok(());
    }
    apply(client, &runtime_class()).await
}

/// Its pods go only where there are GPUs.
fn runtime_class() -> RuntimeClass {
    let (label, value) = NVIDIA_LABEL;
    RuntimeClass {
        metadata: ObjectMeta { name: Some(NVIDIA.to_owned()), ..ObjectMeta::default() },
        handler: NVIDIA.to_owned(),
        overhead: None,
        scheduling: Some(Scheduling {
            node_selector: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            tolerations: None,
        }),
    }
}

async fn apply<K>(client: &Client, object: &K) -> anyhow::Result<()>
where
    K: Resource<Scope = k8s_openapi::ClusterResourceScope> + Serialize + DeserializeOwned,
    K: Clone + std::fmt::Debug,
    <K as Resource>::DynamicType: Default,
{
    let name = object.meta().name.clone().context("an object to apply has a name")?;
    let params = PatchParams::apply("windlass-admit").force();
    let objects: Api<K> = Api::all(client.clone());
    objects.patch(&name, &params, &Patch::Apply(object)).await.map(drop).with_context(|| {
        let kind = K::kind(&Default::default()).into_owned();
        format!("applying the {kind} `{name}`")
    })
}

/// No more than this program asks of the API server.
fn admitters_role() -> ClusterRole {
    let rule = |group: &str, resources: &[&str], verbs: &[&str], names: &[&str]| {
        let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(list(&[group])),
            resources: Some(list(resources)),
            resource_names: (!names.is_empty()).then(|| list(names)),
            verbs: list(verbs),
            non_resource_urls: None,
        }
    };
    let serving = super::serving::SIGNER;
    ClusterRole {
        metadata: ObjectMeta { name: Some(USER.to_owned()), ..ObjectMeta::default() },
        aggregation_rule: None,
        rules: Some(vec![
            rule("", &["nodes"], &["get", "list", "create", "patch", "delete"], &[]),
            rule(CERTIFICATES, &["certificatesigningrequests"], &["get", "list", "watch"], &[]),
            rule(CERTIFICATES, &["certificatesigningrequests/approval"], &["patch"], &[]),
            rule(CERTIFICATES, &["signers"], &["approve"], &[serving]),
            rule(RBAC, &["clusterroles"], &["get"], &[USER]),
            rule(RBAC, &["clusterroles"], &["bind"], &[RENEWAL]),
            rule(RBAC, &["clusterrolebindings"], &["create"], &[]),
            rule(RBAC, &["clusterrolebindings"], &["get", "patch"], &[RENEWAL_BINDING]),
            rule(NODE, &["runtimeclasses"], &["create"], &[]),
            rule(NODE, &["runtimeclasses"], &["get", "patch"], &[NVIDIA]),
        ]),
    }
}

fn binding(name: &str, role: &str, kind: &str, subject: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(RBAC.to_owned()),
            kind: kind.to_owned(),
            name: subject.to_owned(),
            namespace: None,
        }]),
    }
}
