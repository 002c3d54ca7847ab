//! etcd and a real kube-apiserver, as processes on ports of the loopback address.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use integration::lab::artifacts::{self, Artifacts, Cache};
use integration::lab::progress::Progress;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

use super::scene::Scene;

/// etcd and kube-apiserver; killed when dropped.
pub struct ControlPlane {
    processes: Vec<Child>,
    folder: PathBuf,
}

/// What was built.
pub struct Programs {
    cache: Arc<Cache>,
    made: Artifacts,
}

impl ControlPlane {
    /// Builds them, which takes a quarter of an hour where nobody has before: to be done before any
    /// certificate is signed.
    pub fn build() -> Programs {
        let cache = Arc::new(Cache::open().expect("the cache"));
        let made = artifacts::ensure(&cache, &Progress::quiet()).expect("Kubernetes");
        Programs { cache, made }
    }

    /// Starts them for the scene's authority, on ports of the loopback address.
    pub fn start(Programs { cache, made }: &Programs, scene: &Scene, port: u16) -> Self {
        let name = format!("wl-test-admit-{}-{port}", std::process::id());
        let folder = cache.root().join("tmp").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        write_keys(scene, &folder);
        let etcd = format!("http://127.0.0.1:{}", free_port());
        let peers = format!("http://127.0.0.1:{}", free_port());
        let mut started = Self { processes: Vec::new(), folder };
        started.run(
            &made.etcd.join("etcd"),
            &[
                ("data-dir", "etcd"),
                ("listen-client-urls", &etcd),
                ("advertise-client-urls", &etcd),
                ("listen-peer-urls", &peers),
                ("unsafe-no-fsync", "true"),
            ],
        );
        started.run(
            &made.kubernetes.join("kube-apiserver"),
            &[
                ("etcd-servers", &etcd),
                ("secure-port", &port.to_string()),
                ("bind-address", "127.0.0.1"),
                ("advertise-address", "10.255.255.254"),
                ("client-ca-file", "ca.crt"),
                ("tls-cert-file", "server.crt"),
                ("tls-private-key-file", "server.key"),
                ("service-account-issuer", "https://kubernetes.default.svc"),
                ("service-account-key-file", "service-accounts.pub"),
                ("service-account-signing-key-file", "service-accounts.key"),
                ("service-cluster-ip-range", "10.96.0.0/16"),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
            ],
        );
        started
    }

    fn run(&mut self, program: &Path, flags: &[(&str, &str)]) {
        let name = program.file_name().expect("a name").to_string_lossy().into_owned();
        let log = std::fs::File::create(self.folder.join(format!("{name}.log"))).expect("a log");
        let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
        let child = Command::new(program)
            .args(flags)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn();
        self.processes.push(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())));
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The API server first: it clings to etcd.
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("logs are kept in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn write_keys(scene: &Scene, folder: &Path) {
    let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    let authority = scene.authority();
    put("ca.crt", authority.certificate_pem());
    let key = KeyPair::from_pem(&authority.private_key_pem()).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).expect("an authority");
    let server = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.not_before = time::OffsetDateTime::now_utc() - Duration::from_secs(60);
    params.not_after = time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
    put("server.crt", &params.signed_by(&server, &issuer).expect("signed").pem());
    put("server.key", &server.serialize_pem());
    let accounts = KeyPair::generate().expect("a key");
    put("service-accounts.key", &accounts.serialize_pem());
    put("service-accounts.pub", &accounts.public_key_pem());
}
