//! Windlass brings an EC2 instance up as a Kubernetes node and lets it go without dropping a
//! request.

pub mod admit;
pub mod bake;
pub mod basis;
pub mod boot;
pub mod cli;
pub mod client;
pub mod config;
pub mod converge;
pub mod dependencies;
pub mod drawing;
pub mod exchange;
pub mod facts;
pub mod host;
pub mod operator;
pub mod pki;
pub mod plan;
pub mod policies;
pub mod report;
pub mod storage;
pub mod watch;
