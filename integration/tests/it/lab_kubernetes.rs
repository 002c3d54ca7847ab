//! The lab's Kubernetes without the product: a control plane in a node, and a kubelet whose
//! certificate and configuration were written by hand. When this fails, the lab is at fault.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration::lab::artifacts::{self, AGNHOST, Artifacts, Cache, PAUSE, containerd_store};
use integration::lab::certificates::{Authority, Usage};
use integration::lab::control_plane::{self, ControlPlane, PORT};
use integration::lab::progress::Progress;
use integration::lab::run::{command, output};
use integration::lab::site::Site;
use integration::lab::{layers, node};

use crate::bare_vpc::Vpc;

const API: &str = "https://10.0.1.10:6443";
const KUBELET: &str = r#"
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: /etc/kubernetes/ca.crt}}
authorization: {mode: Webhook}
serverTLSBootstrap: true
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
"#;
const CONFLIST: &str = r#"{"cniVersion":"1.0.0","name":"test","plugins":[
  {"type":"bridge","bridge":"cni0","isGateway":true,
   "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}"#;

/// Kubernetes as its administrator sees it from the VPC.
struct Cluster<'a> {
    vpc: &'a Vpc,
    artifacts: &'a Artifacts,
    kubeconfig: String,
}

impl Cluster<'_> {
    fn kubectl(&self, words: &str) -> Command {
        let kubectl = self.artifacts.kubernetes.join("kubectl").display().to_string();
        let mut inside =
            command("ip", ["netns", "exec", self.vpc.router.namespace().name(), &kubectl]);
        inside.args(["--kubeconfig", &self.kubeconfig]).args(words.split(' '));
        inside
    }

    fn eventually(&self, words: &str, wanted: &str) -> String {
        let started = Instant::now();
        loop {
            let found =
                output(&mut self.kubectl(words)).unwrap_or_else(|error| format!("{error:#}"));
            if found.contains(wanted) {
                return found;
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "`{words}` never showed `{wanted}`: {found}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_with_a_certificate_made_by_hand_is_ready_and_runs_a_pod() {
    let cache = Arc::new(Cache::open().unwrap());
    let progress = Progress::new();
    let artifacts = artifacts::ensure(&cache, &progress).unwrap();
    let control_plane_layer = layers::control_plane(&cache, &artifacts, &progress).unwrap();
    let vpc = Vpc::create("kube");
    let authority = Authority::create("test-cluster").unwrap();
    let lab = Authority::create("test-lab").unwrap();
    let site = Site {
        hostname: "node",
        domain: "eu-west-1.compute.internal",
        authority: lab.certificate(),
        cgroup_v1: node::cgroups::is_v1().unwrap(),
    };

    let started = Instant::now();
    let control_plane = ControlPlane {
        addresses: vec![[10, 0, 1, 10].into()],
        names: vec![],
        services: vec!["10.96.0.0/16".parse().unwrap()],
        certificate_lifetime: Duration::from_secs(24 * 3600),
    };
    let (head, _) = vpc.boot(&[&control_plane_layer, &artifacts.debian], 10, |root, _| {
        site.install(&artifacts.debian, root).unwrap();
        control_plane.install(&authority, root).unwrap();
    });
    let kubeconfig = head.spec.folder.join("admin.kubeconfig");
    let administrator = control_plane::administrator(&authority).unwrap();
    assert_eq!(API, format!("https://10.0.1.10:{PORT}"));
    fs::write(
        &kubeconfig,
        control_plane::kubeconfig(API, authority.certificate(), "admin", &administrator),
    )
    .unwrap();
    let cluster =
        Cluster { vpc: &vpc, artifacts: &artifacts, kubeconfig: kubeconfig.display().to_string() };

    cluster.eventually("get --raw /readyz", "ok");
    eprintln!("control plane ready after {} ms", started.elapsed().as_millis());
    // As `windlass admit` does: a kubelet whose Node is not there yet takes far longer.
    let object = head.spec.folder.join("node.json");
    fs::write(&object, r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"worker"}}"#)
        .unwrap();
    output(&mut cluster.kubectl(&format!("create -f {}", object.display()))).unwrap();

    let worker_layer = head.spec.folder.join("worker-layer");
    write_worker_layer(&artifacts, &worker_layer);
    let (worker, _) = vpc.boot(&[&worker_layer, &artifacts.debian], 11, |root, containerd| {
        site.install(&artifacts.debian, root).unwrap();
        containerd_store::copy(&artifacts.images, containerd).unwrap();
        write_kubelet(&authority, root);
    });
    cluster.eventually("get nodes --no-headers", " Ready ");
    eprintln!("node ready after {} ms", started.elapsed().as_millis());
    cluster.eventually("get serviceaccount default --output name", "serviceaccount/default");
    let run =
        format!("run web --image={AGNHOST} --image-pull-policy=Never -- netexec --http-port=8080");
    output(&mut cluster.kubectl(&run)).unwrap();
    cluster.eventually("get pod web --no-headers", "Running");
    eprintln!("pod running after {} ms", started.elapsed().as_millis());
    let address = output(&mut cluster.kubectl("get pod web -o jsonpath={.status.podIP}")).unwrap();
    let said = worker
        .run(["curl", "-sS", "--max-time", "5", &format!("http://{address}:8080/hostname")])
        .unwrap();
    assert_eq!(said, "web");
}

fn write_worker_layer(artifacts: &Artifacts, root: &Path) {
    let (bin, cni) = (root.join("usr/local/bin"), root.join("opt/cni/bin"));
    for folder in [
        &bin,
        &cni,
        &root.join("etc/containerd"),
        &root.join("etc/systemd/system/multi-user.target.wants"),
    ] {
        fs::create_dir_all(folder).unwrap();
    }
    for name in ["containerd", "containerd-shim-runc-v2", "ctr", "runc"] {
        fs::copy(artifacts.containerd.join(name), bin.join(name)).unwrap();
    }
    for name in ["bridge", "host-local", "loopback", "portmap"] {
        fs::copy(artifacts.containerd.join(name), cni.join(name)).unwrap();
    }
    fs::copy(artifacts.kubernetes.join("kubelet"), bin.join("kubelet")).unwrap();
    let config = format!(
        "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n\
         [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{PAUSE}'\n"
    );
    fs::write(root.join("etc/containerd/config.toml"), config).unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    for name in ["containerd.service", "kubelet.service"] {
        fs::copy(units.join(name), root.join("etc/systemd/system").join(name)).unwrap();
        symlink(
            format!("../{name}"),
            root.join("etc/systemd/system/multi-user.target.wants").join(name),
        )
        .unwrap();
    }
}

fn write_kubelet(authority: &Authority, root: &Path) {
    let pki = root.join("var/lib/kubelet/pki");
    fs::create_dir_all(&pki).unwrap();
    fs::create_dir_all(root.join("etc/kubernetes/kubelet.conf.d")).unwrap();
    fs::create_dir_all(root.join("etc/cni/net.d")).unwrap();
    let pair =
        authority.issue("system:node:worker", Some("system:nodes"), Usage::Client, &[]).unwrap();
    let dated = pki.join("kubelet-client-2026-01-01-00-00-00.pem");
    fs::write(&dated, [pair.certificate.as_str(), &pair.key].concat()).unwrap();
    fs::set_permissions(&dated, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("kubelet-client-2026-01-01-00-00-00.pem", pki.join("kubelet-client-current.pem"))
        .unwrap();
    fs::write(root.join("etc/kubernetes/ca.crt"), authority.certificate()).unwrap();
    fs::write(root.join("etc/kubernetes/kubelet.yaml"), KUBELET).unwrap();
    fs::write(
        root.join("etc/kubernetes/kubelet.env"),
        "KUBELET_ARGS=--hostname-override=worker --node-ip=10.0.1.11\n",
    )
    .unwrap();
    fs::write(root.join("etc/cni/net.d/10-test.conflist"), CONFLIST).unwrap();
    let kubeconfig =
        control_plane::kubeconfig(API, authority.certificate(), "system:node:worker", &pair);
    fs::write(root.join("etc/kubernetes/kubelet.kubeconfig"), kubeconfig).unwrap();
}
