//! etcd and a real kube-apiserver for a scene's authority.

use integration::lab::api_server::{self, ApiServer, Programs};
use integration::lab::certificates::Authority;
use integration::lab::progress::Progress;

use super::scene::Scene;

/// Builds what is started, before any certificate is signed.
pub fn build() -> Programs {
    Programs::ensure(&Progress::quiet()).expect("Kubernetes")
}

/// Starts them on this port of the loopback address; killed when dropped.
pub fn start(programs: &Programs, scene: &Scene, port: u16) -> ApiServer {
    let authority = scene.authority();
    let authority = Authority::load(authority.certificate_pem(), &authority.private_key_pem());
    let authority = authority.expect("an authority");
    ApiServer::start(programs, &authority, port, &[], &[]).expect("a control plane")
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    api_server::free_port().expect("a port")
}
