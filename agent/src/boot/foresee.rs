//! What a boot would find and plan now; nothing is changed, nobody is asked to admit anybody.

use aws_credential_types::provider::SharedCredentialsProvider;
use time::OffsetDateTime;

use super::identity::Wanted;
use super::stop::Stop;
use super::{configuration, identity};
use crate::cli::Failure;
use crate::client::Wire;
use crate::client::credentials::RoleCredentials;
use crate::client::imds::Imds;
use crate::client::s3::Store;
use crate::config::{NodeConfig, UserData};
use crate::exchange::Grant;
use crate::facts::Facts;
use crate::facts::observe;
use crate::host::Machine;
use crate::plan;

/// Looks at what a boot would look at.
pub async fn foresee(machine: &Machine, wire: &Wire) -> Result<Foreseen, Failure> {
    let imds = Imds::new(wire);
    let seen = async {
        let document = observe::document(&imds).await?;
        let user_data = UserData::parse(&observe::user_data(&imds).await?)?;
        let role = SharedCredentialsProvider::new(RoleCredentials::new(imds.clone()));
        let sdk = wire.instance(&document.region, role).await;
        let store = Store::new(&sdk, &user_data.bucket);
        let facts = observe::facts(machine, &imds, document).await?;
        let now = OffsetDateTime::from(wire.time.now());
        let found = configuration::find(machine, &store, &user_data, now).await?;
        let config = found.revision.config;
        let node = plan::node::name(facts.instance.launched(), config.cluster.node_names);
        let wanted = Wanted { instance: &facts.instance.id, node: &node, config: &config, now };
        let grant = identity::installed(machine, wanted);
        Ok::<_, Stop>(Foreseen { facts, config, grant })
    };
    Ok(seen.await?)
}

/// What a plan is made from.
pub struct Foreseen {
    pub facts: Facts,
    pub config: NodeConfig,
    /// The one that is installed.
    pub grant: Option<Grant>,
}
