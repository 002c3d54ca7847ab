//! An operator drains a node, or gives it back: by the same rules as the node itself, with his own
//! credential. What he cordoned stays so until he gives it back, whatever the node does meanwhile.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::time::Instant;

use super::attempt::Attempt;
use super::cluster::{Cluster, Mark};
use super::engine::{Decision, Engine};
use super::event::{Announced, At, EventId, Kind, Moment};
use super::foreseen::{Foreseen, foresee};
use super::pods;
use super::report::{Subject, report};
use super::rules::Rules;
use super::said::Turned;
use super::state::{Leaving, State};
use super::step::{NodeAnswer, Observation};
use crate::client::Wire;
use crate::config::Drain;
use crate::exchange::InstanceId;
use crate::report::DrainReport;

/// For a change of a Node, tries that fail included.
const PATIENCE: Duration = Duration::from_secs(60);

/// One node, in an operator's hands.
#[derive(Debug)]
pub struct Hand {
    wire: Wire,
    cluster: Cluster,
    began: Instant,
}

/// What giving a node back came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It takes pods again.
    Now,
    /// Nobody kept it from that.
    Already,
    /// It leaves for a reason of its own, and stays cordoned for that.
    Leaving,
}

impl Hand {
    /// The Node of that name.
    pub fn on(client: Client, wire: &Wire, node: &str) -> Self {
        let cluster = Cluster::of_operator(client, wire, node);
        Self { wire: wire.clone(), cluster, began: Instant::now() }
    }

    /// What a drain would do, in its order. Only asks.
    pub async fn foresee(&self, rules: &Rules) -> anyhow::Result<Foreseen> {
        self.node().await?;
        let listed = pods::list(&self.cluster).await.context("the pods of the node")?;
        Ok(foresee(&listed.items, by_hand(), rules))
    }

    /// Drains it. Ends when its pods are gone, or their time is over.
    pub async fn drain(
        &self,
        rules: Rules,
        instance: InstanceId,
        cluster: &str,
        group: &str,
    ) -> anyhow::Result<DrainReport> {
        let node = self.cluster.node().to_owned();
        let mut engine = Engine::new(Leaving::default(), rules, self.cluster.clone(), None);
        let mut observed = Observation::Standing(vec![by_hand()]);
        loop {
            let decision = engine.decide(observed, self.now());
            if let State::Draining(draining) = &engine.leaving.state
                && let Attempt::Refused(said) = &draining.cordon
            {
                bail!("node `{node}` is not drained, since it cannot be cordoned: {said}");
            }
            let (group, cluster) = (group.to_owned(), cluster.to_owned());
            let subject =
                Subject { instance: instance.clone(), cluster, group, node: node.clone() };
            let at = At { moment: self.now(), time: self.wire.time.now().into() };
            if let Some(report) = report(&engine.leaving, &subject, at) {
                self.say(&engine, &decision).await;
                return Ok(report);
            }
            engine.beside(self.say(&engine, &decision));
            engine.carry_out(decision.effects);
            observed = engine.next(self.now()).await;
        }
    }

    /// Gives it back: what was cordoned by hand, and nothing else.
    pub async fn uncordon(&self) -> anyhow::Result<Returned> {
        let node = self.node().await?;
        let name = self.cluster.node();
        if !Mark::Hand.is_on(&node) {
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
            return match (cordoned, Mark::Node.is_on(&node)) {
                (false, _) => Ok(Returned::Already),
                (true, true) => Ok(Returned::Leaving),
                (true, false) => bail!(
                    "node `{name}` was not cordoned by `windlass drain`\n\
                     hint: `kubectl uncordon {name}`, if nobody needs it cordoned any more"
                ),
            };
        }
        let leaves_anyway = Mark::Node.is_on(&node);
        let returning = State::Returning { uncordon: Attempt::due(self.now()) };
        let leaving = Leaving { events: Vec::new(), state: returning };
        // Nothing but failures is waited for here.
        let rules = Rules::of_drain(&Drain::default());
        let mut engine = Engine::new(leaving, rules, self.cluster.clone(), None);
        let mut observed = Observation::Tick;
        loop {
            if self.began.elapsed() > PATIENCE {
                bail!(
                    "the API server did not uncordon node `{name}` within {} s",
                    PATIENCE.as_secs()
                );
            }
            if let Observation::Uncordoned(NodeAnswer::Refused(said)) = &observed {
                bail!("node `{name}` cannot be uncordoned: {said}");
            }
            let decision = engine.decide(observed, self.now());
            if engine.leaving.state == State::Serving {
                let came_to = if leaves_anyway { Returned::Leaving } else { Returned::Now };
                return Ok(came_to);
            }
            engine.carry_out(decision.effects);
            observed = engine.next(self.now()).await;
        }
    }

    /// The log, at once, and the Node's Events.
    fn say(&self, engine: &Engine, decision: &Decision) -> impl Future<Output = ()> + Send + use<> {
        let (cluster, turned) = (engine.cluster.clone(), decision.turned.clone());
        turned.iter().for_each(Turned::log);
        async move {
            if let Some(Turned { warning, reason, message }) = turned {
                cluster.event(warning, reason, &message).await;
            }
        }
    }

    async fn node(&self) -> anyhow::Result<Node> {
        let nodes: Api<Node> = Api::all(self.cluster.client()?);
        let node = nodes.get_opt(self.cluster.node()).await.context("asking for the Node")?;
        node.with_context(|| format!("there is no node `{}`", self.cluster.node()))
    }

    fn now(&self) -> Moment {
        Moment::after_boot(self.began.elapsed())
    }
}

fn by_hand() -> Announced {
    Announced { id: EventId { kind: Kind::ByHand, name: "windlass drain".to_owned() }, at: None }
}
