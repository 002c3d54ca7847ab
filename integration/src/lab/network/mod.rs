//! The VPC of a lab: one router namespace, one namespace a node, and what answers in the router:
//! the metadata service, the resolver, DHCP and AWS' endpoints.

pub mod dhcp;
pub mod namespace;
pub mod resolver;
pub mod router;

pub use namespace::Namespace;
pub use router::{Attachment, Router};
