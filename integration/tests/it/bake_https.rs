//! Downloads over TLS: whom the system trusts is believed, and nobody else. Names are looked up in
//! `/etc/hosts` as everywhere.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use integration::lab::certificates::{Authority, Usage};
use integration::region::serve;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

/// ELF for x86-64.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0and more";

/// A server that has one program under every path, whose certificate is for `name`.
fn serve(authority: &Authority, name: &str) -> u16 {
    let pair = authority.issue(name, None, Usage::Server, &[name.to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config: Arc<ServerConfig> = serve::tls(vec![certificate], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            // A client that does not believe us is gone before it has asked.
            let _ = answer(StreamOwned::new(connection, stream));
        }
    });
    port
}

fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        asked.extend(byte);
    }
    let length = PROGRAM.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(PROGRAM)?;
    stream.flush()
}

/// A tree to bake into, and an authority that the builder may trust.
struct Bench {
    folder: PathBuf,
    authority: Authority,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = format!("windlass-bake-https-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(folder.join("root/usr/bin")).unwrap();
        fs::write(folder.join("root/usr/bin/env"), PROGRAM).unwrap();
        // Another one: contents that are there already would not be asked for.
        fs::write(folder.join("windlass"), [PROGRAM, b" of ours"].concat()).unwrap();
        let authority = Authority::create("a builder's authority").unwrap();
        fs::write(folder.join("authority.pem"), authority.certificate()).unwrap();
        Self { folder, authority }
    }

    /// With a kubelet from `localhost` at this port.
    fn bake(&self, port: u16) -> Output {
        let (sha256, size) = (hex::encode(Sha256::digest(PROGRAM)), PROGRAM.len());
        let text = format!(
            "kubernetes = \"v1.37.2\"\n[[binary]]\nname = \"windlass\"\nfrom = \"windlass\"\n\
             [[binary]]\nname = \"kubelet\"\nfrom = \"https://localhost:{port}/kubelet\"\n\
             sha256 = \"{sha256}\"\nsize = {size}\n"
        );
        let description = self.folder.join("bake.toml");
        fs::write(&description, text).unwrap();
        let mut bake = Command::new(&*crate::bake_debian::WINDLASS);
        bake.arg("bake").arg("--root").arg(self.folder.join("root")).arg(description);
        bake.env("SSL_CERT_FILE", self.folder.join("authority.pem")).env_remove("SSL_CERT_DIR");
        bake.output().unwrap()
    }

    fn kubelet(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.join("root/usr/local/bin/kubelet")).ok()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_program_comes_over_tls_from_a_server_that_is_trusted() {
    let bench = Bench::new("trusted");
    let output = bench.bake(serve(&bench.authority, "localhost"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.kubelet().unwrap(), PROGRAM);
}

#[test]
fn a_server_that_is_not_who_it_says_is_named_and_not_asked_again() {
    let stranger = Authority::create("somebody else's authority").unwrap();
    for (name, own, of, wanted) in [
        ("unknown", false, "localhost", "UnknownIssuer"),
        ("other", true, "example.test", "not valid for name"),
    ] {
        let bench = Bench::new(name);
        let authority = if own { &bench.authority } else { &stranger };
        let port = serve(authority, of);
        let output = bench.bake(port);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        let begins = format!("error: downloading https://localhost:{port}/kubelet: ");
        assert!(said.contains(&begins) && said.contains(wanted), "{said}");
        assert!(said.contains("\nhint: its certificate is not one that this machine trusts"));
        assert!(!said.contains("trying again"), "{said}");
        assert_eq!(bench.kubelet(), None);
    }
}
