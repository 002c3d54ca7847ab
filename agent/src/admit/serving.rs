//! Approves kubelets' serving certificates, which nobody else does: when the requestor is the node
//! and every name and address in the request is EC2's for its instance. So `kubectl logs` and
//! `exec` verify whom they speak to.
//!
//! Source: "Kubelet authentication/authorization" and "Certificates and Certificate Signing
//! Requests", signer `kubernetes.io/kubelet-serving` (Kubernetes documentation).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;

use super::Admitter;
use super::verify::node_name;
use crate::client::ec2::Instance;
use crate::config::NodeNames;
use crate::pki::{ServingRequest, Subject, Unacceptable};

pub(super) const SIGNER: &str = "kubernetes.io/kubelet-serving";

/// A watch ends by itself after this; then everything is listed again.
const WATCH_SECONDS: u32 = 240;

/// After a failure, and while a request waits until EC2 knows its instance.
const RETRY: Duration = Duration::from_secs(3);

/// How old EC2's word about an instance's names and addresses may be; a follower lists every nine
/// seconds.
const LATELY: Duration = Duration::from_secs(30);

/// The usages that a kubelet asks for; key encipherment only with an RSA key.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// Why a serving certificate is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the requestor is `{found}`, wanted a node of the group `system:nodes`")]
    NoNode { found: String },
    #[error("{0}")]
    Request(#[from] Unacceptable),
    #[error("the subject is `{found}`, the requestor is `{wanted}`")]
    OtherSubject { found: Subject, wanted: Subject },
    #[error("the usage `{found}` is asked for, wanted only server authentication")]
    Usage { found: String },
    #[error("the name `{found}` is not EC2's for instance `{instance}`, which has {known}")]
    OtherName { found: String, instance: String, known: String },
    #[error("the address {found} is not EC2's for instance `{instance}`, which has {known}")]
    OtherAddress { found: IpAddr, instance: String, known: String },
}

/// What a serving request says, apart from Kubernetes' types.
struct Case<'a> {
    user: &'a str,
    groups: &'a [String],
    usages: &'a [String],
    pem: &'a str,
}

impl Admitter {
    pub(super) async fn approve_serving_certificates(self: Arc<Self>) {
        loop {
            match self.watch_serving_requests().await {
                Ok(()) => {}
                Err(error) => tracing::debug!("serving certificates wait: {error:#}"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Answers all that are there, then each as it comes, until the watch ends or one has to wait.
    async fn watch_serving_requests(&self) -> anyhow::Result<()> {
        let Some(nodes) = &self.nodes else { return Ok(()) };
        let requests: Api<CertificateSigningRequest> = Api::all(nodes.access.client()?);
        let field = format!("spec.signerName={SIGNER}");
        let listed = requests.list(&ListParams::default().fields(&field)).await?;
        let mut all_answered = true;
        for request in &listed.items {
            all_answered &= self.answer_serving_request(&requests, request).await?;
        }
        if !all_answered {
            return Ok(());
        }
        let since = listed.metadata.resource_version.unwrap_or_default();
        let params = WatchParams::default().fields(&field).timeout(WATCH_SECONDS);
        let changes = requests.watch(&params, &since).await?;
        pin_mut!(changes);
        while let Some(change) = changes.next().await {
            if let WatchEvent::Added(request) = change?
                && !self.answer_serving_request(&requests, &request).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Approves or denies. False: EC2 has not described the instance yet.
    async fn answer_serving_request(
        &self,
        requests: &Api<CertificateSigningRequest>,
        request: &CertificateSigningRequest,
    ) -> anyhow::Result<bool> {
        let decided = request.status.as_ref().and_then(|status| status.conditions.as_ref());
        if decided.is_some_and(|conditions| !conditions.is_empty()) {
            return Ok(true);
        }
        let spec = &request.spec;
        let pem = String::from_utf8_lossy(&spec.request.0);
        let case = Case {
            user: spec.username.as_deref().unwrap_or_default(),
            groups: spec.groups.as_deref().unwrap_or_default(),
            usages: spec.usages.as_deref().unwrap_or_default(),
            pem: &pem,
        };
        let names = self.config.cluster.node_names;
        let judged = match node_of(&case) {
            Err(refusal) => Err(refusal),
            Ok(node) => match self.instance_named(node) {
                Some(instance) => judge(&case, &instance, names),
                None => return Ok(false),
            },
        };
        let (kind, message) = match &judged {
            Ok(()) => ("Approved", "every name and address is EC2's for this instance".to_owned()),
            Err(refusal) => ("Denied", refusal.to_string()),
        };
        let name = request.metadata.name.clone().context("a request has a name")?;
        let condition = json!({
            "type": kind, "status": "True", "reason": "WindlassAdmit", "message": message,
        });
        let patch = json!({
            "metadata": { "resourceVersion": request.metadata.resource_version },
            "status": { "conditions": [condition] },
        });
        match requests.patch_approval(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => {}
            // Another admitter was faster, or it is gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(true),
            Err(error) => return Err(error).with_context(|| format!("answering `{name}`")),
        }
        self.counters.count(&format!("serving/{}", kind.to_lowercase()));
        match judged {
            Ok(()) => tracing::info!("approved the serving certificate of {}", case.user),
            Err(refusal) => {
                tracing::warn!("denied the serving certificate of {}: {refusal}", case.user);
            }
        }
        Ok(true)
    }

    fn instance_named(&self, node: &str) -> Option<Instance> {
        let (seen, now) = (self.seen.lock().expect("what was seen"), self.now());
        let names = self.config.cluster.node_names;
        let named = |it: &&Instance| node_name(names, it).is_ok_and(|name| name == node);
        seen.instances(LATELY, now).find(named).cloned()
    }
}

/// The node that asks.
fn node_of<'a>(case: &Case<'a>) -> Result<&'a str, Refusal> {
    let node = case.user.strip_prefix("system:node:");
    let node = node.filter(|_| case.groups.iter().any(|group| group == "system:nodes"));
    node.ok_or_else(|| Refusal::NoNode { found: case.user.to_owned() })
}

fn judge(case: &Case<'_>, instance: &Instance, names: NodeNames) -> Result<(), Refusal> {
    let node = node_of(case)?;
    let request = ServingRequest::verify(case.pem)?;
    let wanted = Subject::node(node);
    if request.subject != wanted {
        return Err(Refusal::OtherSubject { found: request.subject, wanted });
    }
    if let Some(found) = case.usages.iter().find(|usage| !USAGES.contains(&usage.as_str())) {
        return Err(Refusal::Usage { found: found.clone() });
    }
    let mut known: BTreeSet<_> = instance.dns_names.clone();
    known.extend(node_name(names, instance).ok());
    known.insert(instance.id.to_string());
    for found in request.dns_names {
        if !known.contains(&found) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Refusal::OtherName { found, instance: instance.id.to_string(), known });
        }
    }
    for found in request.addresses {
        if !instance.addresses.contains(&found) {
            let known: Vec<_> = instance.addresses.iter().map(IpAddr::to_string).collect();
            let (instance, known) = (instance.id.to_string(), known.join(", "));
            return Err(Refusal::OtherAddress { found, instance, known });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;
    use crate::admit::testing::instance;

    fn pem(node: &str, names: &[&str]) -> String {
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
                .expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        let common_name = format!("system:node:{node}");
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        params.serialize_request(&key).expect("a request").pem().expect("PEM")
    }

    fn judged(user: &str, usages: &[&str], pem: &str) -> Result<(), String> {
        let usages: Vec<_> = usages.iter().map(|&usage| usage.to_owned()).collect();
        let groups = ["system:nodes".to_owned(), "system:authenticated".to_owned()];
        let case = Case { user, groups: &groups, usages: &usages, pem };
        judge(&case, &instance(1), NodeNames::InstanceId).map_err(|refusal| refusal.to_string())
    }

    const NODE: &str = "i-00000000000000001";
    const USER: &str = "system:node:i-00000000000000001";
    const SERVER: [&str; 2] = ["digital signature", "server auth"];

    #[test]
    fn a_node_gets_a_certificate_for_its_own_names() {
        let own = pem(NODE, &[NODE, "ip-10-0-0-1.eu-west-1.compute.internal", "10.0.0.1"]);
        assert_eq!(judged(USER, &SERVER, &own), Ok(()));
    }

    #[test]
    fn a_name_or_address_of_somebody_else_is_refused() {
        assert_eq!(
            judged(USER, &SERVER, &pem(NODE, &["kubernetes.default.svc"])).expect_err("refused"),
            "the name `kubernetes.default.svc` is not EC2's for instance `i-00000000000000001`, \
             which has i-00000000000000001, ip-10-0-0-1.eu-west-1.compute.internal"
        );
        assert_eq!(
            judged(USER, &SERVER, &pem(NODE, &["10.0.0.2"])).expect_err("refused"),
            "the address 10.0.0.2 is not EC2's for instance `i-00000000000000001`, which has \
             10.0.0.1"
        );
    }

    #[test]
    fn only_the_node_itself_and_only_to_serve() {
        let own = pem(NODE, &[NODE]);
        assert_eq!(
            judged("system:serviceaccount:a:b", &SERVER, &own).expect_err("refused"),
            "the requestor is `system:serviceaccount:a:b`, wanted a node of the group \
             `system:nodes`"
        );
        assert_eq!(
            judged("system:node:i-00000000000000002", &SERVER, &own).expect_err("refused"),
            "the subject is `CN=system:node:i-00000000000000001, O=system:nodes`, the requestor \
             is `CN=system:node:i-00000000000000002, O=system:nodes`"
        );
        assert_eq!(
            judged(USER, &["client auth"], &own).expect_err("refused"),
            "the usage `client auth` is asked for, wanted only server authentication"
        );
    }

    #[test]
    fn other_kinds_of_names_are_refused() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(rcgen::DnType::CommonName, USER);
        params.subject_alt_names.push(SanType::URI("spiffe://x".try_into().expect("a URI")));
        let key = KeyPair::generate().expect("a key");
        let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
        assert_eq!(
            judged(USER, &SERVER, &pem).expect_err("refused"),
            "the request asks for URI(spiffe://x), wanted only DNS names and addresses"
        );
    }
}
