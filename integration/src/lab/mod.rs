//! Nodes, networks and a real control plane around the region.
//!
//! `artifacts` are built once a machine; `network` is a VPC made of network namespaces; `node` is
//! a container that boots systemd; `vm` is a machine with a kernel of its own. `release` builds the
//! product as others get it.

pub mod account;
pub mod api_server;
pub mod artifacts;
pub mod balancer;
pub mod certificates;
pub mod cli;
pub mod control_plane;
pub mod daemon;
pub mod endpoints;
pub mod family;
pub mod fleet;
pub mod groups;
pub mod layers;
mod limits;
pub mod network;
pub mod node;
pub mod progress;
mod public_vpc;
pub mod release;
pub mod run;
pub mod running;
pub mod service_proxy;
pub mod site;
pub mod storm;
pub mod torture;
pub mod vm;
