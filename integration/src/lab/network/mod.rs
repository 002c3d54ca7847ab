//! The VPC of a lab: one router namespace, one namespace a node, and what answers in the router:
//! the metadata service, the resolver, DHCP and AWS' endpoints.

pub mod checks;
pub mod dhcp;
pub mod forwarding;
pub mod namespace;
pub mod resolver;
pub mod router;
pub mod vpc;

pub use checks::Drops;
pub use namespace::Namespace;
pub use router::{Attachment, Router};
