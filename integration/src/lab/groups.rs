//! The account's Auto Scaling groups, through the API: one a group of nodes, over all subnets, with
//! a hook at each end of an instance's life that the node has to complete.

use anyhow::{Context, Result};
use aws_sdk_autoscaling::types::{
    InstanceReusePolicy, LaunchTemplateSpecification, LifecycleHookSpecification,
    RefreshPreferences, Tag, WarmPoolState,
};
use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateTagSpecificationRequest, MarketType,
    RequestLaunchTemplateData, ResourceType,
};
use base64::Engine;
use serde_json::{Value, json};
use windlass::policies::CLUSTER_TAG;

use super::account::{Account, GROUPS, WORKER, sdk};
use super::daemon::{PoolShape, RefreshPace};
use crate::region::Region;

pub const LAUNCH_HOOK: &str = "windlass-launch";
pub const TERMINATION_HOOK: &str = "windlass-termination";
/// Long enough for a slow machine with many nodes.
const LAUNCH_TIMEOUT_SECONDS: i32 = 300;
/// Kept alive by heartbeats.
const TERMINATION_TIMEOUT_SECONDS: i32 = 30;
const MAX_SIZE: i32 = 100;
const INSTANCE_TYPE: &str = "m6i.large";

/// The name of the Auto Scaling group for a group of nodes.
pub fn name(account: &Account, group: &str) -> String {
    format!("{}-{group}", account.cluster)
}

/// Makes launch templates and groups, all empty; workers may be Spot Instances.
pub async fn create(
    region: &Region,
    account: &Account,
    image: &str,
    spot_workers: bool,
) -> Result<()> {
    let config = sdk(region, &account.administrator);
    let (ec2, autoscaling) =
        (aws_sdk_ec2::Client::new(&config), aws_sdk_autoscaling::Client::new(&config));
    for (group, kind) in GROUPS {
        let name = name(account, group);
        let spot = spot_workers && kind == WORKER;
        create_template(&ec2, account, group, kind, image, spot)
            .await
            .with_context(|| format!("cannot make the launch template `{name}`"))?;
        create_group(&autoscaling, account, group)
            .await
            .with_context(|| format!("cannot make the Auto Scaling group `{name}`"))?;
    }
    Ok(())
}

async fn create_template(
    ec2: &aws_sdk_ec2::Client,
    account: &Account,
    group: &str,
    kind: &str,
    image: &str,
    spot: bool,
) -> Result<()> {
    let market =
        LaunchTemplateInstanceMarketOptionsRequest::builder().market_type(MarketType::Spot);
    let tag =
        |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
    let data = RequestLaunchTemplateData::builder()
        .image_id(image)
        .instance_type(InstanceType::from(INSTANCE_TYPE))
        .iam_instance_profile(
            LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
                .arn(&account.roles[kind].profile)
                .build(),
        )
        .metadata_options(
            LaunchTemplateInstanceMetadataOptionsRequest::builder()
                .http_tokens(LaunchTemplateHttpTokensState::Required)
                .http_put_response_hop_limit(1)
                .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
                .build(),
        )
        .set_instance_market_options(spot.then(|| market.build()))
        .user_data(base64::engine::general_purpose::STANDARD.encode(account.user_data(group)))
        .tag_specifications(
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(ResourceType::Instance)
                .tags(tag(CLUSTER_TAG, &account.cluster))
                .tags(tag("Name", &name(account, group)))
                .build(),
        )
        // An Auto Scaling group's own tags do not reach its instances' network interfaces.
        .tag_specifications(
            LaunchTemplateTagSpecificationRequest::builder()
                .resource_type(ResourceType::NetworkInterface)
                .tags(tag(CLUSTER_TAG, &account.cluster))
                .build(),
        )
        .build();
    ec2.create_launch_template()
        .launch_template_name(name(account, group))
        .launch_template_data(data)
        .send()
        .await?;
    Ok(())
}

async fn create_group(
    autoscaling: &aws_sdk_autoscaling::Client,
    account: &Account,
    group: &str,
) -> Result<()> {
    let name = name(account, group);
    let template = LaunchTemplateSpecification::builder()
        .launch_template_name(&name)
        .version("$Latest")
        .build();
    let hook = LifecycleHookSpecification::builder()
        .lifecycle_hook_name(LAUNCH_HOOK)
        .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
        .heartbeat_timeout(LAUNCH_TIMEOUT_SECONDS)
        .default_result("ABANDON")
        .build();
    let termination = LifecycleHookSpecification::builder()
        .lifecycle_hook_name(TERMINATION_HOOK)
        .lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING")
        .heartbeat_timeout(TERMINATION_TIMEOUT_SECONDS)
        .default_result("CONTINUE")
        .build();
    let tag =
        Tag::builder().key(CLUSTER_TAG).value(&account.cluster).propagate_at_launch(false).build();
    autoscaling
        .create_auto_scaling_group()
        .auto_scaling_group_name(&name)
        .launch_template(template)
        .min_size(0)
        .max_size(MAX_SIZE)
        .desired_capacity(0)
        .vpc_zone_identifier(account.subnets.join(","))
        .lifecycle_hook_specification_list(hook)
        .lifecycle_hook_specification_list(termination)
        .tags(tag)
        .send()
        .await?;
    Ok(())
}

/// Scales a group of nodes to so many.
pub async fn scale(region: &Region, account: &Account, group: &str, to: i32) -> Result<()> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    autoscaling
        .set_desired_capacity()
        .auto_scaling_group_name(&name)
        .desired_capacity(to)
        .send()
        .await
        .with_context(|| format!("cannot scale `{name}` to {to}"))?;
    Ok(())
}

/// Begins to replace every instance of a group of nodes; the refresh's id.
pub async fn refresh(
    region: &Region,
    account: &Account,
    group: &str,
    how: RefreshPace,
) -> Result<String> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    let preferences = RefreshPreferences::builder()
        .min_healthy_percentage(how.min_healthy)
        .max_healthy_percentage(how.max_healthy)
        .instance_warmup(how.warmup);
    let begun = autoscaling
        .start_instance_refresh()
        .auto_scaling_group_name(&name)
        .preferences(preferences.build())
        .send()
        .await
        .with_context(|| format!("cannot refresh `{name}`"))?;
    begun.instance_refresh_id.context("Auto Scaling named no refresh")
}

/// How the refreshes of a group of nodes stand, the latest first.
pub async fn refreshes(region: &Region, account: &Account, group: &str) -> Result<Value> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    let told = autoscaling
        .describe_instance_refreshes()
        .auto_scaling_group_name(&name)
        .send()
        .await
        .with_context(|| format!("cannot list the refreshes of `{name}`"))?;
    let shown = told.instance_refreshes().iter().map(|held| {
        json!({
            "refresh": held.instance_refresh_id(),
            "status": held.status().map(|status| status.as_str()),
            "percentComplete": held.percentage_complete(),
            "instancesToUpdate": held.instances_to_update(),
            "reason": held.status_reason(),
        })
    });
    Ok(shown.collect())
}

/// Gives a group of nodes a warm pool.
pub async fn warm_pool(
    region: &Region,
    account: &Account,
    group: &str,
    pool: &PoolShape,
) -> Result<()> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    let reuse = InstanceReusePolicy::builder().reuse_on_scale_in(pool.reuse).build();
    autoscaling
        .put_warm_pool()
        .auto_scaling_group_name(&name)
        .max_group_prepared_capacity(pool.prepared)
        .pool_state(WarmPoolState::from(pool.state.as_str()))
        .instance_reuse_policy(reuse)
        .send()
        .await
        .with_context(|| format!("cannot give `{name}` a warm pool"))?;
    Ok(())
}

/// Launches one instance by a group's launch template, without the Auto Scaling group; its id. Only
/// such a one may be stopped: Auto Scaling replaces a stopped member.
pub async fn launch_alone(region: &Region, account: &Account, group: &str) -> Result<String> {
    let ec2 = aws_sdk_ec2::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    let template =
        aws_sdk_ec2::types::LaunchTemplateSpecification::builder().launch_template_name(&name);
    let subnet = account.subnets.first().context("the account has no subnet")?;
    let launched = ec2
        .run_instances()
        .launch_template(template.build())
        .subnet_id(subnet)
        .min_count(1)
        .max_count(1)
        .send()
        .await
        .with_context(|| format!("cannot launch an instance by the template `{name}`"))?;
    let instance = launched.instances().first().and_then(|instance| instance.instance_id());
    Ok(instance.context("EC2 launched nothing")?.to_owned())
}

/// How many instances a group of nodes wants to have.
pub async fn desired(region: &Region, account: &Account, group: &str) -> Result<i32> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    let name = name(account, group);
    let found =
        autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&name).send().await?;
    let group = found
        .auto_scaling_groups()
        .first()
        .with_context(|| format!("no Auto Scaling group `{name}`"))?;
    Ok(group.desired_capacity().unwrap_or_default())
}

/// Terminates an instance and makes its group smaller by one.
pub async fn terminate(region: &Region, account: &Account, instance: &str) -> Result<()> {
    let autoscaling = aws_sdk_autoscaling::Client::new(&sdk(region, &account.administrator));
    autoscaling
        .terminate_instance_in_auto_scaling_group()
        .instance_id(instance)
        .should_decrement_desired_capacity(true)
        .send()
        .await
        .with_context(|| format!("cannot terminate `{instance}`"))?;
    Ok(())
}
