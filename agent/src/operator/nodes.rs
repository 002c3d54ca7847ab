//! What EC2, S3 and the API server say of a cluster's instances, gathered concurrently.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::Cluster;
use super::kubernetes::KubeNode;
use super::revisions::{self, Pointer};
use crate::admit::lease::Leases;
use crate::client::ec2::{Ec2, Instance, State};
use crate::exchange::{Denied, Grant, InstanceId, UserId};
use crate::policies::CLUSTER_TAG;
use crate::report::Report;

/// How many objects are read at a time.
const PARALLEL: usize = 16;

/// All that is known, by instance.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub instances: Vec<Instance>,
    pub pointers: BTreeMap<String, Pointer>,
    pub leases: Leases,
    /// When each unanswered request was written.
    pub requests: BTreeMap<InstanceId, OffsetDateTime>,
    pub grants: BTreeMap<InstanceId, Grant>,
    pub denials: BTreeMap<InstanceId, Denied>,
    pub reports: BTreeMap<InstanceId, Report>,
    /// None: no API server was asked.
    pub nodes: Option<BTreeMap<InstanceId, KubeNode>>,
}

/// Asks EC2 and S3.
pub async fn gather(cluster: &Cluster, ec2: &Ec2) -> anyhow::Result<Known> {
    let tag = (CLUSTER_TAG, cluster.name.as_str());
    let alive =
        [State::Pending, State::Running, State::ShuttingDown, State::Stopping, State::Stopped];
    let instances = async { ec2.instances(None, tag, &alive).await.map_err(anyhow::Error::from) };
    let inbox = async {
        let listed = cluster.store.list_dated(&cluster.keys.inbox()).await;
        listed.map_err(|error| cluster.explain(error))
    };
    let written = async {
        let listed = cluster.store.list(&cluster.keys.nodes()).await;
        listed.map_err(|error| cluster.explain(error))
    };
    let (instances, inbox, written, pointers) =
        tokio::try_join!(instances, inbox, written, revisions::pointers(cluster))?;
    let requests = inbox.into_iter().filter_map(|request| {
        let user = UserId::in_key(&request.key)?;
        Some((user.instance, request.modified))
    });
    let (grants, denials, reports, leases) = tokio::join!(
        objects(cluster, &written, "/grant.json"),
        objects(cluster, &written, "/denied.json"),
        objects(cluster, &written, "/report.json"),
        leases(cluster),
    );
    Ok(Known {
        instances,
        pointers,
        leases: leases?,
        requests: requests.collect(),
        grants,
        denials,
        reports,
        nodes: None,
    })
}

/// The objects among `keys` that end so, by instance. One that cannot be read is left out, and
/// said: the others matter no less for it.
async fn objects<T: DeserializeOwned>(
    cluster: &Cluster,
    keys: &[String],
    ending: &str,
) -> BTreeMap<InstanceId, T> {
    let read = keys.iter().filter(|key| key.ends_with(ending)).map(async |key| {
        let user = UserId::in_key(key)?;
        match object(cluster, key).await {
            Ok(object) => object.map(|object| (user.instance, object)),
            Err(error) => {
                tracing::warn!("leaving out `{key}`: {error:#}");
                None
            }
        }
    });
    let read: Vec<_> = stream::iter(read).buffered(PARALLEL).collect().await;
    read.into_iter().flatten().collect()
}

async fn object<T: DeserializeOwned>(cluster: &Cluster, key: &str) -> anyhow::Result<Option<T>> {
    let object = cluster.store.get(key).await.map_err(|error| cluster.explain(error))?;
    Ok(object.map(|object| serde_json::from_slice(&object.bytes)).transpose()?)
}

/// None are held before an admitter has run; S3 then denies what is absent to whoever may not list.
async fn leases(cluster: &Cluster) -> anyhow::Result<Leases> {
    let key = cluster.keys.leases();
    let listed = cluster.store.list(&key).await.map_err(|error| cluster.explain(error))?;
    match listed.contains(&key) {
        true => Ok(object(cluster, &key).await?.unwrap_or_default()),
        false => Ok(Leases::default()),
    }
}
