//! Who is told that the node went on to another state: S3 gets the drain report, the Node an Event,
//! people a message. None of it holds the drain up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use futures_util::future::join3;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::event::At;
use super::report::{Subject, report};
use super::said::Turned;
use super::state::Leaving;
use super::webhook::Webhook;
use crate::basis::{Basis, Mailbox};
use crate::client::Wire;
use crate::client::s3::{Condition, Store};
use crate::exchange::Keys;
use crate::host::Machine;
use crate::report::DrainReport;

/// Time for a second try after one that S3 never answered.
const UPLOAD: Duration = Duration::from_secs(15);

/// The way to all of them. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    cluster: Cluster,
    subject: Subject,
    sdk: SdkConfig,
    mailbox: Mailbox,
    webhook: Option<Webhook>,
    /// Reports are put, and people are told, in the order in which things happened.
    puts: Arc<Mutex<()>>,
    messages: Arc<Mutex<()>>,
    /// What is told and has not arrived yet.
    under_way: Arc<watch::Sender<usize>>,
}

impl Telling {
    pub(super) fn new(
        machine: &Machine,
        wire: &Wire,
        cluster: &Cluster,
        subject: Subject,
        basis: &Basis,
        sdk: SdkConfig,
    ) -> Self {
        let webhook = basis.config.watch.webhook_file.as_ref();
        Self {
            cluster: cluster.clone(),
            subject,
            sdk,
            mailbox: basis.mailbox.clone(),
            webhook: webhook.map(|file| Webhook::new(machine, wire, file)),
            puts: Arc::default(),
            messages: Arc::default(),
            under_way: Arc::default(),
        }
    }

    /// All of them, at once.
    pub(super) fn tell(
        &self,
        leaving: &Leaving,
        turned: Turned,
        at: At,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (telling, report) = (self.clone(), report(leaving, &self.subject, at));
        self.under_way.send_modify(|count| *count += 1);
        async move {
            let Turned { warning, reason, message } = &turned;
            let event = telling.cluster.event(*warning, reason, message);
            join3(event, telling.put(report), telling.call(message)).await;
            telling.under_way.send_modify(|count| *count -= 1);
        }
    }

    /// Until all that was told has arrived, or `patience` is over.
    pub(super) fn settled(&self, patience: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut under_way = self.under_way.subscribe();
        async move {
            let _ = timeout(patience, under_way.wait_for(|count| *count == 0)).await;
        }
    }

    async fn put(&self, report: Option<DrainReport>) {
        let Some(report) = report else { return };
        let _turn = self.puts.lock().await;
        let putting = async {
            let key = Keys::of(&self.subject.cluster).drain(&self.mailbox.user);
            let bytes = serde_json::to_vec_pretty(&report)?;
            let store = Store::new(&self.sdk, &self.mailbox.bucket);
            let put = timeout(UPLOAD, store.put(&key, bytes, Condition::Always));
            put.await.context("S3 did not take it in time")??;
            anyhow::Ok(())
        };
        if let Err(error) = putting.await {
            tracing::warn!("the drain report is not in S3: {error:#}");
        }
    }

    async fn call(&self, message: &str) {
        let Some(webhook) = &self.webhook else { return };
        let _turn = self.messages.lock().await;
        let Subject { cluster, group, node, .. } = &self.subject;
        webhook.tell(&format!("{cluster}/{group} {node}: {message}")).await;
    }
}
