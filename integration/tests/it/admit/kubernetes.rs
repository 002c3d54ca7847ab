//! The admitter against a real API server of Kubernetes 1.37 with RBAC, Node authorizer and
//! NodeRestriction: Nodes, its own role, renewal, serving certificates. The region is in process,
//! time is real.

use std::time::Duration;

use integration::lab::api_server::Programs;
use integration::region::Profile;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tokio::time::{Instant, sleep};
use windlass::client::apiserver::{Identity, connect};
use windlass::client::dns::Dns;
use windlass::pki::{PrivateKey, Subject};

use super::agent::Agent;
use super::control_plane::{self, free_port};
use super::scene::{CONTROL_PLANE, Launch, Machine, Scene, Setting};

/// A region whose time is the real one, and an API server's address at which nobody answers yet.
struct World {
    scene: Scene,
    port: u16,
    programs: Programs,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl World {
    async fn new() -> Self {
        let programs = control_plane::build();
        let now = time::OffsetDateTime::now_utc();
        let port = free_port();
        let endpoint = format!("https://localhost:{port}");
        let setting = Setting { now, endpoint, gpu: true, ..Setting::usual(1, Profile::None) };
        let scene = Scene::with(&setting);
        let region = tokio::spawn(scene.region.clone().run());
        Self { scene, port, programs, tasks: vec![region] }
    }

    /// Starts an admitter that knows the API server.
    async fn admit(&mut self) {
        let own = self.scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
        let mut machine = self.scene.machine(&own).await;
        machine.wire.dns = Some(Dns::system());
        self.tasks.push(tokio::spawn(self.scene.admitter_with_api(&machine)));
    }

    async fn worker(&self) -> Machine {
        let instance = self.scene.launch(Launch::WORKER);
        let mut machine = self.scene.machine(&instance).await;
        machine.wire.dns = Some(Dns::system());
        machine
    }

    fn client(&self, machine: &Machine, identity: &Identity) -> Client {
        let endpoint = format!("https://localhost:{}", self.port);
        let authority = self.scene.authority();
        connect(&machine.wire, &endpoint, authority.certificate_pem(), identity).expect("a client")
    }

    fn administrator(&self, machine: &Machine) -> Client {
        let subject = Subject {
            common_name: "administrator".to_owned(),
            organization: Some("system:masters".to_owned()),
        };
        let hour = Duration::from_secs(3600);
        let identity = self.scene.authority().identity(&subject, machine.now(), hour);
        self.client(machine, &identity.expect("an identity"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Asks until there is something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn let_in(world: &World, key: &PrivateKey) -> (Machine, Client) {
    let machine = world.worker().await;
    let agent = Agent::new(&world.scene, machine.clone(), key);
    agent.ask().await;
    let grant = agent.granted().await;
    let identity = Identity { certificate: grant.certificate, private_key: key.to_pem() };
    let client = world.client(&machine, &identity);
    (machine, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_there_before_its_grant_and_may_serve_and_renew() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut world = World::new().await;
    let _control_plane = control_plane::start(&world.programs, &world.scene, world.port);
    let looker = world.worker().await;
    let administrator = world.administrator(&looker);
    until("the API server answers", async || administrator.apiserver_version().await.ok()).await;
    world.admit().await;
    renewal_is_allowed(&administrator).await;

    let key = PrivateKey::generate().expect("a key");
    let (machine, node) = let_in(&world, &key).await;
    let name = machine.user.instance.as_str();
    // With the node's own credential: the certificate is one that the API server takes.
    let own: Node = Api::all(node.clone()).get(name).await.expect("the Node is there");
    says_what_was_planned(&own, name);

    let right = approval(&node, name, &[name, &world.scene.address(&machine.user.instance)]).await;
    assert_eq!(
        right,
        ("Approved".to_owned(), "every name and address is EC2's for this instance".to_owned())
    );
    pods_can_ask_for_gpus(&administrator).await;
    let (kind, why) = approval(&node, name, &["kubernetes.default.svc"]).await;
    assert_eq!(kind, "Denied");
    assert!(
        why.starts_with("the name `kubernetes.default.svc` is not EC2's for instance"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_does_not_wait_for_the_api_server_and_the_node_is_completed_later() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut world = World::new().await;
    world.admit().await;
    let key = PrivateKey::generate().expect("a key");
    let (machine, node) = let_in(&world, &key).await;
    let name = machine.user.instance.as_str();

    let _control_plane = control_plane::start(&world.programs, &world.scene, world.port);
    // Kubelet registers itself, with what it may say.
    let nodes: Api<Node> = Api::all(node);
    let itself = Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Node::default()
    };
    until("kubelet registers", async || nodes.create(&PostParams::default(), &itself).await.ok())
        .await;
    let complete = until("the Node is completed", async || {
        let found = nodes.get(name).await.ok()?;
        found.spec.as_ref()?.pod_cidr.is_some().then_some(found)
    })
    .await;
    says_what_was_planned(&complete, name);
}

fn says_what_was_planned(node: &Node, instance: &str) {
    let spec = node.spec.clone().expect("a spec");
    assert_eq!(spec.provider_id, Some(format!("aws:///eu-west-1a/{instance}")));
    assert!(spec.pod_cidr.expect("a pod CIDR").starts_with("10.128."));
    let labels = node.metadata.labels.clone().expect("labels");
    // One that a kubelet may give itself, and two that it may not.
    assert_eq!(labels["topology.kubernetes.io/zone"], "eu-west-1a");
    assert_eq!(labels["node-role.kubernetes.io/worker"], "");
    assert_eq!(labels["acme.node-restriction.kubernetes.io/tier"], "batch");
    assert_eq!(labels["nvidia.com/gpu.present"], "true");
    let taints = spec.taints.expect("taints");
    let taint = taints.iter().find(|taint| taint.key == "acme.example/dedicated");
    assert_eq!(taint.expect("the taint").effect, "NoSchedule");
}

async fn renewal_is_allowed(administrator: &Client) {
    let bindings: Api<ClusterRoleBinding> = Api::all(administrator.clone());
    let binding = until("the binding for renewal", async || {
        bindings.get("windlass:node-certificate-renewal").await.ok()
    })
    .await;
    assert_eq!(
        binding.role_ref.name,
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    );
    assert_eq!(binding.subjects.expect("subjects")[0].name, "system:nodes");
    let manager = binding.metadata.managed_fields.expect("managed fields")[0].manager.clone();
    assert_eq!(manager.as_deref(), Some("windlass-admit"));
    let role: ClusterRole =
        Api::all(administrator.clone()).get("windlass:admit").await.expect("the admitter's role");
    assert!(!format!("{role:?}").contains("\"*\""), "the admitter may too much: {role:?}");
}

async fn pods_can_ask_for_gpus(administrator: &Client) {
    let classes: Api<RuntimeClass> = Api::all(administrator.clone());
    let class = until("the runtime class", async || classes.get("nvidia").await.ok()).await;
    assert_eq!(class.handler, "nvidia");
    let selector = class.scheduling.expect("scheduling").node_selector.expect("a selector");
    assert_eq!(selector["nvidia.com/gpu.present"], "true");
    let manager = class.metadata.managed_fields.expect("managed fields")[0].manager.clone();
    assert_eq!(manager.as_deref(), Some("windlass-admit"));
}

/// Asks as the node for a serving certificate, and waits for the decision.
async fn approval(node: &Client, name: &str, names: &[&str]) -> (String, String) {
    let requests: Api<CertificateSigningRequest> = Api::all(node.clone());
    let request = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("csr-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: k8s_openapi::ByteString(serving_request(name, names).into_bytes()),
            signer_name: "kubernetes.io/kubelet-serving".to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "server auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let asked = requests.create(&PostParams::default(), &request).await.expect("asked");
    let asked = asked.metadata.name.expect("a name");
    until("a decision about the serving certificate", async || {
        let found = requests.get(&asked).await.ok()?;
        let condition = found.status?.conditions?.into_iter().next()?;
        Some((condition.type_, condition.message.unwrap_or_default()))
    })
    .await
}

fn serving_request(name: &str, names: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("a DNS name")),
        })
        .collect();
    let key = KeyPair::generate().expect("a key");
    params.serialize_request(&key).expect("a request").pem().expect("PEM")
}
