//! The local region: emulated AWS, real Kubernetes and nodes that boot, on one machine.
//!
//! `region` plays AWS and knows nothing of Windlass but its policies; `lab` builds nodes and a
//! control plane around it. Tests and benchmarks use both as a user would.

pub mod lab;
pub mod region;
