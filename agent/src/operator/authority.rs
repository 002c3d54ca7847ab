//! The cluster's certificate authority in S3: `pki/kubernetes/<generation>.{crt,key}`, the key
//! encrypted by the cluster's KMS key.
//!
//! The key is stored before its certificate, so that a certificate that is there can always sign.
//! Both are written once and never again: whoever comes second, or goes on after being cut off,
//! ends with what the first one stored.

use anyhow::Context;

use super::Cluster;
use crate::client::s3::{Condition, Written};
use crate::pki::{Certificate, CertificateAuthority, PrivateKey};

/// The authority that signs nodes' certificates and that the API server trusts.
pub const KUBERNETES: &str = "kubernetes";

/// Where a new authority begins to count.
const FIRST: u32 = 1;

/// What is public of all generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// Generation and certificate, the oldest first; never empty.
    all: Vec<(u32, String)>,
}

/// Whether there was something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    Made(Authorities),
    Found(Authorities),
}

/// Leaves an authority in S3, made at the cluster's time where there was none.
pub async fn ensure(cluster: &Cluster, kms_key: &str) -> anyhow::Result<Ensured> {
    if let Some(found) = read(cluster).await? {
        return Ok(Ensured::Found(found));
    }
    let key = stored_key(cluster, kms_key).await?;
    let made = CertificateAuthority::of_key(KUBERNETES, key, cluster.now())?;
    let name = cluster.keys.ca_certificate(KUBERNETES, FIRST);
    let pem = made.certificate_pem().as_bytes().to_vec();
    let written = cluster.store.put(&name, pem, Condition::Absent).await;
    let found = read(cluster).await?.context("the authority vanished after it was written")?;
    match written.map_err(|error| cluster.explain(error))? {
        Written::Now { .. } => Ok(Ensured::Made(found)),
        Written::Lost => Ok(Ensured::Found(found)),
    }
}

/// The certificates of all generations; none before `windlass cluster init`.
pub async fn read(cluster: &Cluster) -> anyhow::Result<Option<Authorities>> {
    let listed = cluster.store.list(&cluster.keys.authority(KUBERNETES)).await;
    let listed = listed.map_err(|error| cluster.explain(error))?;
    let mut generations: Vec<u32> = listed.iter().filter_map(|key| generation(key)).collect();
    generations.sort_unstable();
    let mut all = Vec::new();
    for generation in generations {
        let key = cluster.keys.ca_certificate(KUBERNETES, generation);
        let pem = text(cluster, &key).await?;
        Certificate::from_pem(&pem).with_context(|| format!("reading `{key}`"))?;
        all.push((generation, pem));
    }
    Ok((!all.is_empty()).then_some(Authorities { all }))
}

/// The newest generation with its key; fails where the caller may not decrypt that.
pub async fn load(cluster: &Cluster, of: &Authorities) -> anyhow::Result<CertificateAuthority> {
    let (generation, certificate) = of.newest();
    let key = text(cluster, &cluster.keys.ca_key(KUBERNETES, generation)).await?;
    CertificateAuthority::load(certificate, PrivateKey::from_pem(&key)?)
}

/// The key of the first generation: a new one or the one that an earlier call stored.
async fn stored_key(cluster: &Cluster, kms_key: &str) -> anyhow::Result<PrivateKey> {
    let (key, name) = (PrivateKey::generate()?, cluster.keys.ca_key(KUBERNETES, FIRST));
    let pem = key.to_pem().into_bytes();
    let written = cluster.store.put_encrypted(&name, pem, Condition::Absent, kms_key).await;
    match written.map_err(|error| cluster.explain(error))? {
        Written::Now { .. } => Ok(key),
        Written::Lost => PrivateKey::from_pem(&text(cluster, &name).await?),
    }
}

async fn text(cluster: &Cluster, key: &str) -> anyhow::Result<String> {
    let object = cluster.store.get(key).await.map_err(|error| cluster.explain(error))?;
    let object = object.with_context(|| format!("there is no `{key}`"))?;
    String::from_utf8(object.bytes).with_context(|| format!("`{key}` is not text"))
}

fn generation(key: &str) -> Option<u32> {
    key.rsplit('/').next()?.strip_suffix(".crt")?.parse().ok()
}

impl Authorities {
    /// What signs now.
    pub fn newest(&self) -> (u32, &str) {
        let (generation, pem) = self.all.last().expect("never empty");
        (*generation, pem)
    }

    /// All certificates, concatenated: what a certificate may descend from.
    pub fn bundle(&self) -> String {
        self.all.iter().map(|(_, pem)| pem.as_str()).collect()
    }

    /// Generation and what is read from its certificate, the oldest first.
    pub fn certificates(&self) -> Vec<(u32, Certificate)> {
        let read = |pem: &str| Certificate::from_pem(pem).expect("read once before");
        self.all.iter().map(|(generation, pem)| (*generation, read(pem))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_certificates_only() {
        assert_eq!(generation("prod/pki/kubernetes/12.crt"), Some(12));
        assert_eq!(generation("prod/pki/kubernetes/1.key"), None);
        assert_eq!(generation("prod/pki/kubernetes/old.crt"), None);
    }
}
