//! The instance metadata service, version 2: Amazon EC2 User Guide, "Use the Instance Metadata
//! Service to access instance metadata".

mod machine;

use std::collections::BTreeMap;

pub use self::machine::{Interface, Machine, MetadataOptions, SecurityGroup};

/// What the metadata service itself remembers.
#[derive(Clone, Debug, Default)]
pub struct Imds {
    _tokens: BTreeMap<String, ()>,
}
