//! The changes that admission makes in EC2, and what EC2 says when it makes none. Each is one
//! request, never repeated here: whoever asks knows when to ask again.

use std::time::Duration;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::AttributeBooleanValue;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use ipnet::IpNet;

use super::Ec2;
use crate::client::Chain;

/// A change whose answer has not come by then may have been made or not.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a change was not made, or may not have been.
///
/// Source: "Error codes for the Amazon EC2 API".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// `RequestLimitExceeded`
    #[error("EC2 throttles")]
    Throttled,
    /// `IncorrectInstanceState`: the instance is pending, or EC2 has called it running only just
    /// now.
    #[error("EC2 takes no route to an instance that has not arrived yet")]
    TooEarly,
    /// `RouteAlreadyExists`
    #[error("there is a route to that destination already")]
    Exists,
    /// What the change is about is not there: the route, the interface, the table.
    #[error("{0}")]
    Gone(String),
    /// `RouteLimitExceeded`
    #[error("the route table takes no more routes: {0}")]
    Full(String),
    #[error("EC2 denied it: {0}")]
    Denied(String),
    #[error("{0}")]
    Refused(String),
    /// No answer, or one that says that EC2 broke: the change may have been made all the same.
    #[error("whether it was done is not known: {0}")]
    Unknown(String),
}

impl Ec2 {
    /// A route more in `table`.
    pub async fn create_route(
        &self,
        table: &str,
        destination: IpNet,
        interface: &str,
    ) -> Result<(), NotChanged> {
        let (v4, v6) = by_family(destination);
        let request = self.changing.create_route().route_table_id(table);
        let request = request.set_destination_cidr_block(v4).set_destination_ipv6_cidr_block(v6);
        request.network_interface_id(interface).send().await.map(drop).map_err(not_changed)
    }

    /// Another target for the route in `table`, without a moment in which there is none.
    pub async fn replace_route(
        &self,
        table: &str,
        destination: IpNet,
        interface: &str,
    ) -> Result<(), NotChanged> {
        let (v4, v6) = by_family(destination);
        let request = self.changing.replace_route().route_table_id(table);
        let request = request.set_destination_cidr_block(v4).set_destination_ipv6_cidr_block(v6);
        request.network_interface_id(interface).send().await.map(drop).map_err(not_changed)
    }

    /// One route less in `table`, whatever its target is by now.
    pub async fn delete_route(&self, table: &str, destination: IpNet) -> Result<(), NotChanged> {
        let (v4, v6) = by_family(destination);
        let request = self.changing.delete_route().route_table_id(table);
        let request = request.set_destination_cidr_block(v4).set_destination_ipv6_cidr_block(v6);
        request.send().await.map(drop).map_err(not_changed)
    }

    /// Lets the interface carry packets that are neither from nor for its own addresses.
    pub async fn end_source_dest_check(&self, interface: &str) -> Result<(), NotChanged> {
        let off = AttributeBooleanValue::builder().value(false).build();
        let request = self.changing.modify_network_interface_attribute();
        let request = request.network_interface_id(interface).source_dest_check(off);
        request.send().await.map(drop).map_err(not_changed)
    }
}

/// A destination as EC2 takes it: IPv4, or IPv6.
fn by_family(destination: IpNet) -> (Option<String>, Option<String>) {
    match destination {
        IpNet::V4(cidr) => (Some(cidr.to_string()), None),
        IpNet::V6(cidr) => (None, Some(cidr.to_string())),
    }
}

fn not_changed<E>(error: SdkError<E, HttpResponse>) -> NotChanged
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let SdkError::ServiceError(said) = &error else {
        return NotChanged::Unknown(Chain(&error).to_string());
    };
    let (code, message) = (said.err().code().unwrap_or(""), said.err().message().unwrap_or(""));
    match named(code, message) {
        NotChanged::Refused(what) if said.raw().status().is_server_error() => {
            NotChanged::Unknown(what)
        }
        known => known,
    }
}

/// What EC2's code means.
fn named(code: &str, message: &str) -> NotChanged {
    // What follows is another text each time, and says nothing to a person.
    let message = message.split(" Encoded authorization failure message").next().unwrap_or("");
    let said = format!("{code}: {message}");
    match code {
        "RequestLimitExceeded" => NotChanged::Throttled,
        "IncorrectInstanceState" => NotChanged::TooEarly,
        "RouteAlreadyExists" => NotChanged::Exists,
        "RouteLimitExceeded" => NotChanged::Full(said),
        "UnauthorizedOperation" | "AuthFailure" => NotChanged::Denied(said),
        _ if code.ends_with(".NotFound") => NotChanged::Gone(said),
        // How EC2 says so when a route is to be replaced.
        "InvalidParameterValue" if message.contains("There is no route defined") => {
            NotChanged::Gone(said)
        }
        _ => NotChanged::Refused(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_is_to_be_done() {
        let said = |code: &str, message: &str| format!("{code}: {message}");
        for (code, message, wanted) in [
            ("RequestLimitExceeded", "Request limit exceeded.", NotChanged::Throttled),
            ("IncorrectInstanceState", "…", NotChanged::TooEarly),
            ("RouteAlreadyExists", "…", NotChanged::Exists),
            ("RouteLimitExceeded", "m", NotChanged::Full(said("RouteLimitExceeded", "m"))),
            (
                "UnauthorizedOperation",
                "m Encoded authorization failure message: 4UUk",
                NotChanged::Denied(said("UnauthorizedOperation", "m")),
            ),
            ("InvalidRoute.NotFound", "m", NotChanged::Gone(said("InvalidRoute.NotFound", "m"))),
            ("InvalidParameterValue", "m", NotChanged::Refused(said("InvalidParameterValue", "m"))),
        ] {
            assert_eq!(named(code, message), wanted);
        }
        let absent = "There is no route defined for '10.0.0.0/24' in the route table.";
        assert_eq!(
            named("InvalidParameterValue", absent),
            NotChanged::Gone(said("InvalidParameterValue", absent))
        );
    }
}
