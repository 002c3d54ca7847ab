//! etcd and a real kube-apiserver as processes on ports of the loopback address, for whoever needs
//! Kubernetes' API and no node; with it those of its controllers that are asked for.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::KeyPair;

use super::artifacts::{self, Artifacts, Cache};
use super::certificates::{Authority, Usage};
use super::control_plane::{administrator, kubeconfig};
use super::progress::Progress;

/// What was built.
pub struct Programs {
    cache: Arc<Cache>,
    made: Artifacts,
}

/// They run; killed when dropped.
pub struct ApiServer {
    processes: Vec<Child>,
    folder: PathBuf,
    port: u16,
}

impl Programs {
    /// Builds them, which takes a quarter of an hour where nobody has before: to be done before any
    /// certificate is signed.
    pub fn ensure(progress: &Progress) -> Result<Self> {
        let cache = Arc::new(Cache::open()?);
        let made = artifacts::ensure(&cache, progress)?;
        Ok(Self { cache, made })
    }
}

impl ApiServer {
    /// Starts them for a cluster with this authority; `names` are those of the API server beside
    /// `localhost`, and `more` are flags of it, without their dashes.
    pub fn start(
        Programs { cache, made }: &Programs,
        authority: &Authority,
        port: u16,
        names: &[&str],
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let name = format!("api-server-{}-{port}", std::process::id());
        let folder = cache.root().join("tmp").join(name);
        fs::create_dir_all(&folder)?;
        let mut started = Self { processes: Vec::new(), folder, port };
        started.write_keys(authority, names)?;
        let etcd = format!("http://127.0.0.1:{}", free_port()?);
        let peers = format!("http://127.0.0.1:{}", free_port()?);
        started.run(
            &made.etcd.join("etcd"),
            &[
                ("data-dir", "etcd"),
                ("listen-client-urls", &etcd),
                ("advertise-client-urls", &etcd),
                ("listen-peer-urls", &peers),
                // It does not outlive its machine.
                ("unsafe-no-fsync", "true"),
            ],
        )?;
        let port = port.to_string();
        let flags = [
            ("etcd-servers", etcd.as_str()),
            ("secure-port", &port),
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
        ];
        started.run(&made.kubernetes.join("kube-apiserver"), &[&flags, more].concat())?;
        Ok(started)
    }

    /// Starts kube-controller-manager with these of its controllers and no other.
    pub fn control(
        &mut self,
        Programs { made, .. }: &Programs,
        authority: &Authority,
        controllers: &str,
    ) -> Result<()> {
        let server = format!("https://127.0.0.1:{}", self.port);
        let pair = administrator(authority)?;
        let config = kubeconfig(&server, authority.certificate(), "administrator", &pair);
        fs::write(self.folder.join("controllers.kubeconfig"), config)?;
        self.run(
            &made.kubernetes.join("kube-controller-manager"),
            &[
                ("kubeconfig", "controllers.kubeconfig"),
                ("controllers", controllers),
                ("leader-elect", "false"),
                // Nobody asks it anything.
                ("secure-port", "0"),
            ],
        )
    }

    /// Where it answers, on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn run(&mut self, program: &Path, flags: &[(&str, &str)]) -> Result<()> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args(flags.iter().map(|(flag, value)| format!("--{flag}={value}")))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.processes.push(child.with_context(|| format!("cannot run {}", program.display()))?);
        Ok(())
    }

    fn write_keys(&self, authority: &Authority, names: &[&str]) -> Result<()> {
        let put = |name: &str, text: &str| fs::write(self.folder.join(name), text);
        put("ca.crt", authority.certificate())?;
        let names = ["localhost", "127.0.0.1"].iter().chain(names);
        let names: Vec<String> = names.map(|name| (*name).to_owned()).collect();
        let server = authority.issue("kube-apiserver", None, Usage::Server, &names)?;
        put("server.crt", &server.certificate)?;
        put("server.key", &server.key)?;
        let accounts = KeyPair::generate()?;
        put("service-accounts.key", &accounts.serialize_pem())?;
        put("service-accounts.pub", &accounts.public_key_pem())?;
        Ok(())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Who clings to another goes first.
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("logs are kept in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
