//! One file a wire. Clients know nothing of plans; every one of them is built from the [`Wire`]
//! that `main` hands in, so that a test can put a whole region behind it.

pub mod apiserver;
pub mod autoscaling;
pub mod calls;
pub mod credentials;
pub mod dns;
pub mod ec2;
pub mod http;
pub mod imds;
pub mod s3;
pub mod sts;
mod trust;
pub mod wire;

pub use wire::Wire;
