//! The instance types on offer. The table's header names its source.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::region::call::ServiceError;

/// What an instance of a type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    pub name: &'static str,
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// The most network interfaces, all on one card.
    pub interfaces: u32,
    /// Addresses on each, the primary one included.
    pub ipv4_per_interface: u32,
}

static TYPES: LazyLock<BTreeMap<&str, InstanceType>> = LazyLock::new(|| {
    let table = include_str!("instance_types.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        (row.split('\t').next().unwrap_or_default(), read(row).expect("a row of six columns"))
    })
    .collect()
});

/// All of them, by name.
pub fn all() -> impl Iterator<Item = &'static InstanceType> {
    TYPES.values()
}

/// The type of that name, or what RunInstances answers to an unknown one.
pub fn named(name: &str) -> Result<&'static InstanceType, ServiceError> {
    TYPES.get(name).ok_or_else(|| {
        ServiceError::client(
            "InvalidParameterValue",
            format!("Invalid value '{name}' for InstanceType."),
        )
    })
}

fn read(row: &'static str) -> Option<InstanceType> {
    let mut columns = row.split('\t');
    Some(InstanceType {
        name: columns.next()?,
        architecture: columns.next()?,
        vcpus: columns.next()?.parse().ok()?,
        memory_mib: columns.next()?.parse().ok()?,
        interfaces: columns.next()?.parse().ok()?,
        ipv4_per_interface: columns.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(
            named("m5.large").expect("a type of the table"),
            &InstanceType {
                name: "m5.large",
                architecture: "x86_64",
                vcpus: 2,
                memory_mib: 8192,
                interfaces: 3,
                ipv4_per_interface: 10
            }
        );
        assert_eq!(all().count(), 33);
    }

    #[test]
    fn an_unknown_type_is_refused_by_name() {
        let refused = named("m5.huge").expect_err("no such type");
        assert_eq!(
            refused,
            ServiceError::client(
                "InvalidParameterValue",
                "Invalid value 'm5.huge' for InstanceType."
            )
        );
    }
}
