//! The VPC of a lab: one router namespace, one namespace a node, and what answers in the router:
//! the metadata service, the resolver, the time service, DHCP of both families with the router's own advertisements, and
//! AWS' endpoints.

pub mod advertisements;
pub mod checks;
pub mod dhcp;
pub mod dhcpv6;
pub mod forwarding;
pub mod namespace;
mod neighbours;
mod provisioning;
pub mod resolver;
pub mod router;
pub mod time;
pub mod vpc;

pub use checks::Drops;
pub use namespace::Namespace;
pub use provisioning::Provisioning;
pub use router::{Attachment, Ipv6, Router};
