//! Nodes, networks and a real control plane around the region.
//!
//! `artifacts` are built once a machine; `network` is a VPC made of network namespaces; `node` is
//! a container that boots systemd.

pub mod artifacts;
pub mod cli;
pub mod network;
pub mod node;
pub mod progress;
pub mod run;
