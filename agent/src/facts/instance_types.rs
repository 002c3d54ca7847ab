//! What EC2 says about each instance type, as a table in the binary: a worker asks EC2 nothing.

/// One instance type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceType {
    pub name: &'static str,
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Network interfaces on the default network card.
    pub enis: u32,
    /// IPv4 addresses of each interface, the primary one included.
    pub ipv4_per_eni: u32,
}

/// Sorted by name; comments start with `#`.
const TABLE: &str = include_str!("instance_types.tsv");

/// The type of this name, or `None`: the table is as old as the binary, and new types appear.
pub fn find(name: &str) -> Option<InstanceType> {
    all().find(|found| found.name == name)
}

/// Up to three names from the table that look most like `name`.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let mut scored: Vec<_> = all()
        .map(|known| (strsim::jaro_winkler(name, known.name), known.name))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|(a, a_name), (b, b_name)| b.total_cmp(a).then(a_name.cmp(b_name)));
    scored.into_iter().map(|(_, name)| name).take(3).collect()
}

fn all() -> impl Iterator<Item = InstanceType> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(row)
}

fn row(line: &'static str) -> Option<InstanceType> {
    let mut fields = line.split('\t');
    let row = InstanceType {
        name: fields.next()?,
        architecture: fields.next()?,
        vcpus: fields.next()?.parse().ok()?,
        memory_mib: fields.next()?.parse().ok()?,
        enis: fields.next()?.parse().ok()?,
        ipv4_per_eni: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_type() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(all().count(), lines);
        assert!(lines > 1000, "{lines} types");
    }

    #[test]
    fn a_type_is_found_by_its_name() {
        let wanted = InstanceType {
            name: "m5.large",
            architecture: "x86_64",
            vcpus: 2,
            memory_mib: 8192,
            enis: 3,
            ipv4_per_eni: 10,
        };
        assert_eq!(find("m5.large"), Some(wanted));
        assert_eq!(find("m5.lage"), None);
    }

    #[test]
    fn the_nearest_names_are_offered_for_a_type_that_is_not_in_the_table() {
        assert_eq!(nearest("m5.lage").first(), Some(&"m5.large"));
        assert_eq!(nearest("?"), Vec::<&str>::new());
    }
}
