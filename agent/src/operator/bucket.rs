//! Whether a bucket is fit to hold a cluster: who may write here may let nodes in, and a lost
//! object is a lost cluster.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::BucketVersioningStatus;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{Cluster, Hinted};
use crate::client::Chain;

/// Everything that is not as it must be; empty when the bucket is fit.
pub async fn shortcomings(cluster: &Cluster) -> anyhow::Result<Vec<Hinted>> {
    let mut found = Vec::new();
    match versioning(cluster).await? {
        Check::Fit => {}
        Check::Unfit(hinted) => found.push(hinted),
        // Nothing else can be asked of it.
        Check::Absent(hinted) => return Ok(vec![hinted]),
    }
    match public_access(cluster).await? {
        Check::Fit => {}
        Check::Unfit(hinted) | Check::Absent(hinted) => found.push(hinted),
    }
    Ok(found)
}

enum Check {
    Fit,
    Unfit(Hinted),
    Absent(Hinted),
}

/// Every overwritten or deleted object can be had back.
async fn versioning(cluster: &Cluster) -> anyhow::Result<Check> {
    let bucket = cluster.store.bucket();
    let reply = cluster.store.client().get_bucket_versioning().bucket(bucket).send().await;
    let status = match reply {
        Ok(reply) => reply.status().cloned(),
        Err(error) => return failed(cluster, "s3:GetBucketVersioning", &error),
    };
    if status == Some(BucketVersioningStatus::Enabled) {
        return Ok(Check::Fit);
    }
    let found = status.map_or("was never switched on".to_owned(), |status| format!("is {status}"));
    Ok(Check::Unfit(Hinted::new(
        format!("versioning of bucket `{bucket}` {found}, wanted Enabled"),
        format!(
            "aws s3api put-bucket-versioning --bucket {bucket}{} \
             --versioning-configuration Status=Enabled",
            in_region(cluster)
        ),
    )))
}

/// No policy or ACL, now or later, can open the bucket to the world.
async fn public_access(cluster: &Cluster) -> anyhow::Result<Check> {
    let bucket = cluster.store.bucket();
    let reply = cluster.store.client().get_public_access_block().bucket(bucket).send().await;
    let block = match reply {
        Ok(reply) => reply.public_access_block_configuration,
        Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => None,
        Err(error) => return failed(cluster, "s3:GetBucketPublicAccessBlock", &error),
    };
    let open: Vec<&str> = match &block {
        None => vec!["everything"],
        Some(block) => [
            ("BlockPublicAcls", block.block_public_acls),
            ("IgnorePublicAcls", block.ignore_public_acls),
            ("BlockPublicPolicy", block.block_public_policy),
            ("RestrictPublicBuckets", block.restrict_public_buckets),
        ]
        .into_iter()
        .filter_map(|(name, set)| (set != Some(true)).then_some(name))
        .collect(),
    };
    if open.is_empty() {
        return Ok(Check::Fit);
    }
    Ok(Check::Unfit(Hinted::new(
        format!("bucket `{bucket}` does not block public access: {} is off", open.join(", ")),
        format!(
            "aws s3api put-public-access-block --bucket {bucket}{} --public-access-block-configuration \
             BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
            in_region(cluster)
        ),
    )))
}

fn failed<E>(
    cluster: &Cluster,
    action: &str,
    error: &SdkError<E, HttpResponse>,
) -> anyhow::Result<Check>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let bucket = cluster.store.bucket();
    match error.code() {
        Some("NoSuchBucket") => Ok(Check::Absent(Hinted::new(
            format!("there is no bucket `{bucket}`"),
            create(cluster),
        ))),
        Some("AccessDenied") => Err(Hinted::new(
            format!("S3 denied {action} on bucket `{bucket}`"),
            format!(
                "the operator's policy allows it: `windlass cluster policy operator --cluster {} \
                 --bucket {bucket}` prints it",
                cluster.name
            ),
        )
        .into()),
        _ => {
            anyhow::bail!("S3 failed {action} on bucket `{bucket}`: {}", Chain(error))
        }
    }
}

/// us-east-1 is the one region that may not be named ("CreateBucket", LocationConstraint).
fn create(cluster: &Cluster) -> String {
    let (bucket, region) = (cluster.store.bucket(), region(cluster));
    let here = in_region(cluster);
    match region.as_deref() {
        None | Some("us-east-1") => format!("aws s3api create-bucket --bucket {bucket}{here}"),
        Some(region) => format!(
            "aws s3api create-bucket --bucket {bucket}{here} \
             --create-bucket-configuration LocationConstraint={region}"
        ),
    }
}

/// The reader's AWS CLI may be configured for another one.
fn in_region(cluster: &Cluster) -> String {
    region(cluster).map(|region| format!(" --region {region}")).unwrap_or_default()
}

fn region(cluster: &Cluster) -> Option<String> {
    cluster.store.client().config().region().map(ToString::to_string)
}
