//! From an empty bucket to Ready nodes by what an operator does and nothing else, under the shipped
//! policies: `cluster init`, `cluster apply`, a control plane that lets itself in, then a worker.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use integration::lab::storm::scene::tag_route_tables;
use integration::region::autoscaling::{GroupTag, NewGroup, NewHook, Transition, create_group};
use integration::region::ec2::{Author, NewInterface, Route, Target, TemplateName, Towards};
use integration::region::iam;
use integration::region::inprocess::InProcess;
use integration::region::s3::kms::Home;
use integration::region::s3::store::Versioning;
use integration::region::{Region, Settings, State};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use windlass::admit::{Admitter, Resources, load_authority};
use windlass::basis::Basis;
use windlass::boot::boot;
use windlass::cli::Started;
use windlass::client::Wire;
use windlass::client::autoscaling::Groups;
use windlass::client::dns::Dns;
use windlass::client::ec2::Ec2;
use windlass::client::s3::Store;
use windlass::config::{ClusterFile, NodeConfig};
use windlass::drawing::{self, Picture};
use windlass::host::Machine;
use windlass::operator::rows::GrantState;
use windlass::operator::{Cluster, authority, bucket, nodes, reports, revisions, rows};
use windlass::policies::{CLUSTER_TAG, Identity, Scope, render};
use windlass::watch::drain::Drainer;
use windlass::watch::{Metrics, Status};

use crate::boot_apiserver::{ApiServer, READY};
use crate::boot_scene::{folder, spec};
use crate::operator_scene::{BUCKET, KMS_KEY, sdk_in};

/// The region, the operator, and where everything is.
struct Account {
    region: Region,
    operator: iam::Credentials,
    vpc: String,
    subnet: String,
}

impl Account {
    fn new() -> Self {
        let region = Region::new(Settings::new(1, OffsetDateTime::now_utc()));
        let (operator, vpc, subnet) = region.with(|state, now| {
            let home = Home { region: "eu-west-1", account: "123456789012" };
            state.s3.kms.create_key(home, KMS_KEY.rsplit('/').next().expect("an id"));
            state.s3.create_bucket(BUCKET, now).versioning = Versioning::Enabled;
            state.imds.credentials_delay = std::time::Duration::ZERO;
            let State { iam, ids, ec2, .. } = state;
            for identity in [Identity::ControlPlane, Identity::Worker] {
                let policy = [("shipped", &*policy(identity))];
                iam.add_role(ids, &format!("prod-{identity}"), &policy).expect("a role");
            }
            let policy = [("shipped", &*policy(Identity::Operator))];
            let operator = iam.add_user(ids, "ann", &policy).expect("a user");
            let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
            let subnet = ec2.create_subnet(ids, &vpc, None, "10.0.0.0/20").expect("a subnet");
            tag_route_tables(ec2, &vpc, "prod");
            (operator, vpc, subnet)
        });
        Self { region, operator, vpc, subnet }
    }

    fn cluster(&self) -> Cluster {
        Cluster::new(&sdk_in(&self.region, &self.operator), BUCKET, "prod")
    }

    /// The documented description, of this VPC and these roles.
    fn description(&self, endpoint: &str) -> ClusterFile {
        let role = |name: &str| {
            self.region.with(|state, _| state.iam.role(name).expect("a role").role_id.clone())
        };
        let text = include_str!("../../../docs/cluster.toml")
            .replace("vpc-0a1b2c3d4e5f60718", &self.vpc)
            .replace("https://api.prod.acme.example", endpoint)
            .replace("AROACONTROLPLANE00001", &role("prod-control-plane"))
            .replace("AROAWORKER00000000001", &role("prod-worker"));
        ClusterFile::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    /// An Auto Scaling group as docs/operating.md makes it, with one instance.
    fn launch(&self, group: &str, profile: &str) -> Launched {
        let data = format!("cluster = \"prod\"\nbucket = \"{BUCKET}\"\ngroup = \"{group}\"\n");
        let name = format!("prod-{group}");
        self.region.with(|state, now| {
            let by = Author { arn: "arn:aws:iam::123456789012:user/ann", now };
            let template = spec(profile, None, data.as_bytes());
            let template = state.ec2.create_template(&mut state.ids, &name, None, template, by);
            let hook = NewHook {
                name: "prod-launch".to_owned(),
                transition: Some(Transition::Launching),
                ..NewHook::default()
            };
            let tag = GroupTag {
                key: CLUSTER_TAG.to_owned(),
                value: "prod".to_owned(),
                propagate_at_launch: true,
            };
            let template = TemplateName::Id(template.expect("a launch template"));
            let group = NewGroup {
                tags: vec![tag],
                hooks: vec![hook],
                ..NewGroup::of(&name, template, &[&self.subnet], 1)
            };
            create_group(state, group, now).expect("a group");
        });
        let (instance, address) = self.region.with(|state, _| {
            let group = state.autoscaling.group(&name).expect("the group");
            let id = group.members.keys().next().expect("an instance").clone();
            let address = state.ec2.instance(&id).expect("the instance").address;
            (id, address)
        });
        let (machine, folder) = folder(&self.region, address);
        Launched { instance, address, machine, folder }
    }

    /// Where the VPC's routes to pods lead.
    fn pod_routes(&self) -> Vec<String> {
        self.region.with(|state, _| {
            let routes = state.ec2.route_tables().flat_map(|table| &table.routes);
            let interface = |route: &Route| match &route.target {
                Target::Interface(id) => Some(id.clone()),
                _ => None,
            };
            let mut routes: Vec<_> =
                routes.filter_map(|it| Some((it.destination, interface(it)?))).collect();
            routes.sort();
            routes.into_iter().map(|(_, interface)| interface).collect()
        })
    }

    /// The primary network interface of each.
    fn interfaces<const N: usize>(&self, of: [&Launched; N]) -> Vec<String> {
        self.region.with(|state, _| {
            let primary = |it: &Launched| {
                let instance = state.ec2.instance(&it.instance).expect("an instance");
                instance.interfaces[0].clone()
            };
            of.map(primary).to_vec()
        })
    }

    /// The route to the pods of `one` leads to `other`, and another one to an interface that is
    /// attached to nothing.
    fn lead_astray(&self, one: &Launched, other: &Launched) {
        let [one, other] = self.interfaces([one, other]).try_into().expect("two");
        self.region.with(|state, now| {
            let State { ec2, ids, .. } = state;
            let table = ec2.route_tables().next().expect("a table").clone();
            let to = |route: &&Route| route.target == Target::Interface(one.clone());
            let destination = table.routes.iter().find(to).expect("its route").destination;
            let towards = Towards::Interface(other);
            ec2.replace_route(&table.id, destination, &towards, now).expect("replaced");
            let alone = NewInterface { subnet: self.subnet.clone(), ..NewInterface::default() };
            let alone = Towards::Interface(ec2.create_interface(ids, &alone).expect("created"));
            let free = "10.67.255.0/24".parse().expect("a CIDR of the pod network");
            ec2.create_route(&table.id, free, &alone, now).expect("created");
        });
    }

    fn lifecycle(&self, of: &Launched) -> Option<&'static str> {
        self.region.with(|state, _| Some(state.autoscaling.member(&of.instance)?.1.state.name()))
    }

    /// `windlass admit` on a control-plane instance, with what its own role may read.
    async fn admit(&self, on: &Launched) -> JoinHandle<()> {
        let session = self.region.with(|state, now| {
            let hour = std::time::Duration::from_secs(3600);
            state.iam.open_session(&mut state.ids, "prod-control-plane", &on.instance, now, hour)
        });
        let sdk = sdk_in(&self.region, &session.expect("a session"));
        let store = Store::new(&sdk, BUCKET);
        let text = revisions::current(&self.cluster(), "control-plane").await.expect("a revision");
        let config = NodeConfig::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
        let authority = load_authority(&store, &config).await.expect("the CA's key");
        let admitter = Admitter::new(Resources {
            ec2: Ec2::new(&sdk),
            groups: Groups::new(&sdk),
            store,
            clock: on.wire(&self.region).time,
            config,
            authority,
            instance: on.instance.parse().expect("an instance id"),
            apiserver: None,
            follows_group: true,
        });
        tokio::spawn(async move {
            admitter.run(std::future::pending()).await.expect("no loop of an admitter breaks");
        })
    }
}

/// An instance and its machine; the folder goes with it.
struct Launched {
    instance: String,
    address: Ipv4Addr,
    machine: Machine,
    folder: PathBuf,
}

impl Launched {
    fn wire(&self, region: &Region) -> Wire {
        let client = InProcess::instance(region, self.address);
        Wire { http: client.client(), time: client.time(), dns: Some(Dns::system()) }
    }

    async fn boot(&self, region: &Region) {
        // Boxed: without optimisation its future is too large for a test's stack.
        let booted = Box::pin(boot(&self.machine, self.wire(region), Started::now())).await;
        booted.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    }

    async fn watch(&self, region: &Region) {
        let basis = Basis::kept(&self.machine).expect("what the boot left");
        let wire = self.wire(region);
        let (status, metrics) = (Status::default(), Metrics::default());
        let drainer = Drainer::new(&self.machine, &wire, &basis, status, metrics);
        let run = Box::pin(drainer).await.expect("a drainer").run();
        let a_while = std::time::Duration::from_secs(2);
        assert!(tokio::time::timeout(a_while, run).await.is_err(), "it runs for ever");
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn policy(identity: Identity) -> String {
    let scope = Scope {
        cluster: "prod".into(),
        bucket: BUCKET.into(),
        region: Some("eu-west-1".into()),
        account: Some("123456789012".into()),
        kms_key: Some(KMS_KEY.into()),
    };
    render(identity, &scope).expect("a policy")
}

#[tokio::test]
async fn an_empty_bucket_becomes_a_cluster_and_the_policies_are_just_enough() {
    let account = Account::new();
    let cluster = account.cluster();

    // windlass cluster init
    assert_eq!(bucket::shortcomings(&cluster).await.expect("checked"), []);
    authority::ensure(&cluster, KMS_KEY).await.expect("an authority");
    let found = authority::read(&cluster).await.expect("read").expect("an authority");
    let signer = authority::load(&cluster, &found).await.expect("the CA's key");
    let api = ApiServer::start(&signer, READY).await;

    // windlass cluster apply
    let file = account.description(&api.endpoint());
    let wanted = revisions::wanted(&cluster, &file).await.expect("revisions");
    let comparison = revisions::compare(&cluster, &wanted).await.expect("compared");
    revisions::apply(&cluster, &comparison.changes, "ann").await.expect("applied");

    // Nobody is there to let the first control plane in: it lets itself in.
    let first = account.launch("control-plane", "prod-control-plane");
    first.boot(&account.region).await;
    assert_eq!(account.lifecycle(&first), Some("InService"));

    let admitter = account.admit(&first).await;
    let worker = account.launch("workers", "prod-worker");
    // As late as out of a warm pool: its group waits for it.
    account.region.clock().advance(std::time::Duration::from_secs(20 * 60));
    worker.boot(&account.region).await;
    assert_eq!(account.lifecycle(&worker), Some("InService"));
    let routed = account.pod_routes();
    assert_eq!(routed, account.interfaces([&first, &worker]), "each has its pods' packets");

    // Somebody has changed the VPC by hand: the admitter that comes next puts it right.
    admitter.abort();
    account.lead_astray(&worker, &first);
    let admitter = account.admit(&first).await;
    let put_right = async {
        while account.pod_routes() != routed {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), put_right).await.expect("put right");
    admitter.abort();

    // windlass watch tries whether it will be able to let the node go.
    first.watch(&account.region).await;
    worker.watch(&account.region).await;

    // windlass nodes
    let ec2 = Ec2::new(&sdk_in(&account.region, &account.operator));
    let known = nodes::gather(&cluster, &ec2).await.expect("gathered");
    let seen: Vec<_> = rows::rows(&known, cluster.now())
        .into_iter()
        .map(|row| {
            (
                row.instance.to_string(),
                row.group,
                row.grant,
                row.behind,
                row.pod_cidrs.len(),
                row.why_not,
            )
        })
        .collect();
    let granted = |launched: &Launched, group: &str| {
        let group = Some(group.to_owned());
        (launched.instance.clone(), group, GrantState::Granted, Some(false), 1, None)
    };
    assert_eq!(seen, [granted(&first, "control-plane"), granted(&worker, "workers")]);

    // windlass report
    let found = reports::find(&cluster, &worker.instance).await.expect("a report");
    let report = found.boot.expect("a boot report");
    let drawn = drawing::svg(&Picture::from(&report));
    assert!(drawn.contains("Windlass' own time"), "{report:?}");

    let unused = account.region.with(|state, _| state.iam.unused());
    assert_eq!(unused, [], "permissions that nobody needed");
}
