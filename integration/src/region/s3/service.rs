//! The operations as `s3s` hands them over: each takes the lock once, and never across an await.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::access::Asked;
use super::{buckets, copies, lists, reads, writes};
use crate::region::call::Caller;
use crate::region::{Arrival, Region};

/// What answers one request.
pub struct Service {
    pub region: Region,
    /// Nobody, for an unsigned request.
    pub caller: Option<Caller>,
    pub arrival: Arrival,
    /// The store's count of writes when the request arrived.
    pub arrived: u64,
}

impl Service {
    fn ask<T>(
        &self,
        answer: impl FnOnce(&mut Asked<'_>) -> S3Result<T>,
    ) -> S3Result<S3Response<T>> {
        let caller =
            self.caller.as_ref().ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))?;
        let (arrival, arrived) = (self.arrival, self.arrived);
        self.region
            .with(|state, now| answer(&mut Asked { state, now, caller, arrival, arrived }))
            .map(S3Response::new)
    }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn put_object(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = read(req.input.body.take()).await?;
        // Trailers are known once the body has been read.
        let trailers =
            req.trailing_headers.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
        self.ask(|asked| writes::put(asked, req.input, body, &req.headers, &trailers))
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.ask(|asked| reads::get(asked, req.input))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.ask(|asked| reads::head(asked, req.input))
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        self.ask(|asked| copies::copy(asked, req.input, &req.headers))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.ask(|asked| writes::delete(asked, req.input))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.ask(|asked| writes::delete_many(asked, req.input))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        self.ask(|asked| lists::objects(asked, req.input))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.ask(|asked| lists::objects_v2(asked, req.input))
    }

    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        self.ask(|asked| lists::versions(asked, req.input))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.ask(|asked| buckets::create(asked, req.input))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.ask(|asked| buckets::head(asked, req.input))
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.ask(|asked| buckets::delete(asked, req.input).map(|()| DeleteBucketOutput::default()))
    }

    async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.ask(|asked| buckets::list(asked, req.input))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.ask(|asked| buckets::location(asked, req.input))
    }

    async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.ask(|asked| buckets::versioning(asked, req.input))
    }

    async fn put_bucket_versioning(
        &self,
        req: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        self.ask(|asked| {
            buckets::set_versioning(asked, req.input).map(|()| PutBucketVersioningOutput::default())
        })
    }

    async fn get_public_access_block(
        &self,
        req: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        self.ask(|asked| buckets::public_access_block(asked, req.input))
    }

    async fn put_public_access_block(
        &self,
        req: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        self.ask(|asked| {
            buckets::set_public_access_block(asked, req.input)
                .map(|()| PutPublicAccessBlockOutput::default())
        })
    }

    async fn delete_public_access_block(
        &self,
        req: S3Request<DeletePublicAccessBlockInput>,
    ) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
        let DeletePublicAccessBlockInput { bucket, expected_bucket_owner } = req.input;
        self.ask(|asked| {
            buckets::delete_public_access_block(asked, &bucket, expected_bucket_owner.as_deref())
                .map(|()| DeletePublicAccessBlockOutput::default())
        })
    }

    async fn get_bucket_encryption(
        &self,
        req: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        self.ask(|asked| buckets::encryption(asked, req.input))
    }

    async fn put_bucket_encryption(
        &self,
        req: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        self.ask(|asked| {
            buckets::set_encryption(asked, req.input).map(|()| PutBucketEncryptionOutput::default())
        })
    }
}

/// The whole body, unwrapped from `aws-chunked`, its signatures and hash checked on the way.
async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let read: Result<BytesMut, _> = body
        .try_fold(BytesMut::new(), |mut whole, chunk| async move {
            whole.extend_from_slice(&chunk);
            Ok(whole)
        })
        .await;
    read.map(BytesMut::freeze).map_err(|error| refusal_of_body(&error.to_string()))
}

/// `s3s` says what is wrong with a body by the names of error types that it keeps to itself.
fn refusal_of_body(error: &str) -> S3Error {
    if error.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "The chunk signature does not match");
    }
    if error.contains("Sha256Mismatch") {
        let code = s3s::S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let message =
            "The provided 'x-amz-content-sha256' header does not match what was computed.";
        let mut refusal = S3Error::with_message(code, message);
        refusal.set_status_code(http::StatusCode::BAD_REQUEST);
        return refusal;
    }
    s3_error!(IncompleteBody, "The request body terminated unexpectedly")
}
