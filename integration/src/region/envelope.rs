//! What goes around an answer and an error: EC2's shape, the query protocol's and S3's differ.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::call::{Service, ServiceError};
use super::xml::Element;

const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const AUTOSCALING_NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An answer of EC2, Auto Scaling or STS.
pub fn answer(
    service: Service,
    action: &str,
    request_id: &str,
    content: Element,
) -> Response<Bytes> {
    let mut root = Element::new(format!("{action}Response"));
    if service == Service::Ec2 {
        root.push(Element::text("requestId", request_id));
        content.into_children().into_iter().for_each(|child| root.push(child));
    } else {
        // An empty one too: botocore looks for it.
        let mut result = Element::new(format!("{action}Result"));
        content.into_children().into_iter().for_each(|child| result.push(child));
        root.push(result);
        root.push(Element::new("ResponseMetadata").field("RequestId", request_id));
    }
    xml(200, request_id, root.document(Some(namespace(service))))
}

/// An error of any of the four, as its service words it.
pub fn error(service: Service, error: &ServiceError, request_id: &str) -> Response<Bytes> {
    match service {
        Service::Ec2 => ec2_error(error, request_id),
        Service::S3 => s3_error(error, request_id),
        _ => query_error(service, error, request_id),
    }
}

/// EC2 API Reference, "Error codes for the Amazon EC2 API".
fn ec2_error(error: &ServiceError, request_id: &str) -> Response<Bytes> {
    let one = Element::new("Error").field("Code", &error.code).field("Message", &error.message);
    let root = Element::new("Response").list("Errors", [one]).field("RequestID", request_id);
    xml(error.status, request_id, root.document(None))
}

/// Amazon S3 API Reference, "Error Responses".
pub fn s3_error(error: &ServiceError, request_id: &str) -> Response<Bytes> {
    let root = Element::new("Error")
        .field("Code", &error.code)
        .field("Message", &error.message)
        .field("RequestId", request_id);
    let mut response = xml(error.status, request_id, root.document(None));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    response
}

fn query_error(service: Service, error: &ServiceError, request_id: &str) -> Response<Bytes> {
    let fault = if error.status >= 500 { "Receiver" } else { "Sender" };
    let one = Element::new("Error")
        .field("Type", fault)
        .field("Code", &error.code)
        .field("Message", &error.message);
    let root = Element::new("ErrorResponse").with(one).field("RequestId", request_id);
    xml(error.status, request_id, root.document(Some(namespace(service))))
}

fn namespace(service: Service) -> &'static str {
    match service {
        Service::Ec2 => EC2_NAMESPACE,
        Service::AutoScaling => AUTOSCALING_NAMESPACE,
        _ => STS_NAMESPACE,
    }
}

fn xml(status: u16, request_id: &str, document: String) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/xml;charset=UTF-8")
        .header("x-amzn-requestid", request_id)
        .body(Bytes::from(document))
        .expect("a status and two plain headers")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it boto3 fails with a KeyError on what the service has done.
    #[test]
    fn an_answer_that_says_nothing_has_a_result_all_the_same() {
        let told = answer(Service::AutoScaling, "PutLifecycleHook", "1", Element::answer());
        let body = String::from_utf8_lossy(told.body());
        assert!(body.contains("<PutLifecycleHookResult/><ResponseMetadata>"), "{body}");
    }
}
