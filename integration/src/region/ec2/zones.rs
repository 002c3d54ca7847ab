//! The region's zones: EC2 User Guide, "AWS Regions and Zones".

use super::Ec2;

const LETTERS: [char; 3] = ['a', 'b', 'c'];

impl Ec2 {
    /// The zones' names: `eu-west-1a` and so on.
    pub fn zones(&self) -> Vec<String> {
        LETTERS.iter().map(|letter| format!("{}{letter}", self.region)).collect()
    }

    /// `euw1-az1`. Letters are shuffled between accounts, IDs are not; this account's are in order.
    pub fn zone_id(&self, zone: &str) -> String {
        let letter = zone.chars().last().unwrap_or('a');
        let number = LETTERS.iter().position(|held| *held == letter).map_or(1, |at| at + 1);
        format!("{}-az{number}", short(&self.region))
    }
}

/// `eu-west-1` → `euw1`, `ap-southeast-2` → `apse2`.
fn short(region: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    let number = parts.next_back().unwrap_or_default();
    let direction: String = parts
        .map(|word| {
            word.replace("north", "n")
                .replace("south", "s")
                .replace("east", "e")
                .replace("west", "w")
                .replace("central", "c")
        })
        .collect();
    format!("{area}{direction}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_are_short_names_of_the_region_with_a_number() {
        let ec2 = |region: &str| Ec2::new(region, "111122223333");
        assert_eq!(ec2("eu-west-1").zone_id("eu-west-1c"), "euw1-az3");
        assert_eq!(ec2("ap-southeast-2").zone_id("ap-southeast-2a"), "apse2-az1");
        assert_eq!(ec2("us-east-1").zone_id("us-east-1b"), "use1-az2");
    }
}
