//! The service controller: follows the cluster's Services and Nodes, and tells a Service where its load
//! balancer is.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::StreamExt;
use futures_util::future::try_join;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, Resource};
use serde_json::json;

use super::serving::Serving;
use super::wanted::{Front, targets};
use super::{ADDRESS, Shown};
use crate::lab::network::Namespace;

/// After a failure: until there is a control plane, for one.
const AGAIN: Duration = Duration::from_secs(1);
/// A watch ends by itself after this; then everything is listed again.
const WATCH_SECONDS: u32 = 240;

pub struct Controller {
    client: Client,
    router: Namespace,
    shown: Shown,
    services: BTreeMap<String, Service>,
    nodes: BTreeMap<String, Node>,
    serving: Option<Serving>,
}

impl Controller {
    pub fn new(client: Client, router: &Namespace, shown: Shown) -> Self {
        Self {
            client,
            router: router.clone(),
            shown,
            services: BTreeMap::new(),
            nodes: BTreeMap::new(),
            serving: None,
        }
    }

    /// Until it is dropped. While nobody tells anything, all stays as it was.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!("the load balancer does not know its cluster: {error:#}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Everything that is there, then each change as it comes, until a watch ends.
    async fn follow(&mut self) -> Result<()> {
        let services: Api<Service> = Api::all(self.client.clone());
        let nodes: Api<Node> = Api::all(self.client.clone());
        let all = ListParams::default();
        let (listed, listed_nodes) = try_join(services.list(&all), nodes.list(&all)).await?;
        self.services = listed.items.into_iter().map(named).collect();
        self.nodes = listed_nodes.items.into_iter().map(named).collect();
        self.obey().await?;

        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let version = listed.metadata.resource_version.unwrap_or_default();
        let mut of_services = pin!(services.watch(&params, &version).await?);
        let version = listed_nodes.metadata.resource_version.unwrap_or_default();
        let mut of_nodes = pin!(nodes.watch(&params, &version).await?);
        loop {
            tokio::select! {
                change = of_services.next() => match change {
                    Some(change) => take(&mut self.services, change?)?,
                    None => return Ok(()),
                },
                change = of_nodes.next() => match change {
                    Some(change) => take(&mut self.nodes, change?)?,
                    None => return Ok(()),
                },
            }
            self.obey().await?;
        }
    }

    /// Serves what is known now.
    async fn obey(&mut self) -> Result<()> {
        let front = Front::of(self.services.values());
        if self.serving.as_ref().map(Serving::front) != front.as_ref() {
            // The one that was may have the port of the one that comes.
            self.serve(None)?;
            self.serve(front.as_ref())?;
        }
        if let Some(serving) = &mut self.serving {
            serving.register(&targets(self.nodes.values()));
        }
        match front {
            Some(front) => self.tell(&front).await,
            None => Ok(()),
        }
    }

    fn serve(&mut self, front: Option<&Front>) -> Result<()> {
        self.serving = front.map(|front| Serving::start(&self.router, front)).transpose()?;
        let shown = self.serving.as_ref().map(|it| (it.front().clone(), it.targets().clone()));
        *self.shown.lock().expect("what is served") = shown;
        Ok(())
    }

    /// An AWS load balancer has a name there. Requests to the address come here also from pods: without
    /// `Proxy` their node's kube-proxy would take them for the Service's own.
    async fn tell(&self, front: &Front) -> Result<()> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &front.namespace);
        let told = self.services.values().any(|service| {
            let balancer = service.status.as_ref().and_then(|it| it.load_balancer.as_ref());
            let mut ingress = balancer.and_then(|it| it.ingress.as_ref()).into_iter().flatten();
            service.metadata.name.as_ref() == Some(&front.name)
                && service.metadata.namespace.as_ref() == Some(&front.namespace)
                && ingress.any(|it| it.ip.as_deref() == Some(&ADDRESS.to_string()))
        });
        if !told {
            let ingress = json!([{ "ip": ADDRESS, "ipMode": "Proxy" }]);
            let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
            let params = PatchParams::default();
            services.patch_status(&front.name, &params, &Patch::Merge(status)).await?;
        }
        Ok(())
    }
}

/// An object under what is its own for ever.
fn named<K: Resource>(object: K) -> (String, K) {
    (object.meta().uid.clone().unwrap_or_default(), object)
}

fn take<K: Resource>(known: &mut BTreeMap<String, K>, change: WatchEvent<K>) -> Result<()> {
    match change {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            known.extend([named(object)]);
        }
        WatchEvent::Deleted(object) => {
            known.remove(&named(object).0);
        }
        WatchEvent::Bookmark(_) => {}
        WatchEvent::Error(status) => bail!("a watch ended: {status:?}"),
    }
    Ok(())
}
