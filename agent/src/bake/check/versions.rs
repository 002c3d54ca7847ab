//! Versions that go together: kubelet, containerd, runc, and the API server's.

use std::fmt;
use std::str::FromStr;

use super::Examination;

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// The first containerd 2 that is recommended for a kubelet, by the kubelet's minor version.
///
/// Source: "Kubernetes Support" in containerd's RELEASES.md. There, containerd 1.7 is good up to
/// 1.35; the configuration that a bake writes is of version 3, which only containerd 2 reads.
const CONTAINERD: [(u32, Version); 6] = [
    (0, Version(2, 0, 0)),
    (32, Version(2, 0, 1)),
    (33, Version(2, 0, 4)),
    (34, Version(2, 0, 6)),
    (35, Version(2, 1, 5)),
    (36, Version(2, 2, 0)),
];

/// The first without CVE-2024-21626, by which a container gets at the host's file system.
const RUNC: Version = Version(1, 1, 12);

/// How many minor versions a kubelet may be behind: "Version Skew Policy" (Kubernetes).
const BEHIND: u32 = 3;

/// From this one on kubelet speaks CRI v1 only: older ones nobody has tried here.
const OLDEST: Version = Version(1, 26, 0);

/// What an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Versions {
    kubelet: Option<Version>,
    containerd: Option<Version>,
    runc: Option<Version>,
    api_server: Option<Version>,
}

pub(super) fn check(examination: &mut Examination<'_>) {
    let Some(inventory) = &examination.inventory else { return };
    let of = |program| inventory.version_of(program).and_then(|text| text.parse().ok());
    let versions = Versions {
        kubelet: inventory.kubelet_version.parse().ok(),
        containerd: of("containerd"),
        runc: of("runc"),
        api_server: examination.api_server,
    };
    for (program, version) in [("containerd", versions.containerd), ("runc", versions.runc)] {
        if version.is_none() {
            let message = format!("which version of {program} the image has is not known");
            let hint = format!("say it in bake.toml: `version = \"v…\"` of what brings {program}");
            examination.advise(message, hint);
        }
    }
    for (message, hint) in contradictions(&versions) {
        examination.problem(message, hint);
    }
}

fn contradictions(versions: &Versions) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if let Some(kubelet) = versions.kubelet {
        if kubelet < OLDEST {
            let message = format!("kubelet is {kubelet}, wanted at least {OLDEST}");
            found.push((message, "its CRI is older than what containerd 2 speaks"));
        }
        if let Some(containerd) = versions.containerd {
            let least = CONTAINERD.iter().rev().find(|(minor, _)| *minor <= kubelet.1);
            if let Some((_, least)) = least.filter(|(_, least)| containerd < *least) {
                let message =
                    format!("containerd is {containerd}, kubelet {kubelet} wants at least {least}");
                found.push((message, "take a later release of containerd"));
            }
        }
        if let Some(api_server) = versions.api_server {
            let (found_minor, wanted_minor) =
                ((kubelet.0, kubelet.1), (api_server.0, api_server.1));
            if found_minor > wanted_minor {
                let message =
                    format!("kubelet {kubelet} is newer than the API server {api_server}");
                found.push((message, "raise the control plane first"));
            } else if kubelet.0 == api_server.0 && api_server.1 - kubelet.1 > BEHIND {
                let behind = api_server.1 - kubelet.1;
                let message = format!(
                    "kubelet {kubelet} is {behind} minor versions behind the API server \
                     {api_server}, wanted {BEHIND} at most"
                );
                found.push((message, "bake a later kubelet"));
            }
        }
    }
    if let Some(runc) = versions.runc.filter(|runc| *runc < RUNC) {
        let message = format!("runc is {runc}, wanted at least {RUNC}");
        found.push((message, "containers get out of older ones (CVE-2024-21626)"));
    }
    found
}

impl FromStr for Version {
    type Err = String;

    /// `v1.37.2`, `1.37`, `1.37.2-eks-1` or `1.0.6-2+deb12u2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let mut numbers = digits[..end].split('.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), None) => Ok(Self(major, minor, 0)),
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Ok(Self(major, minor, patch)),
            _ => Err(format!("`{text}` is no version, wanted one such as `1.37.2`")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kubelet: &str, containerd: &str, runc: &str, api_server: &str) -> Vec<String> {
        let version = |text: &str| text.parse().ok();
        let versions = Versions {
            kubelet: version(kubelet),
            containerd: version(containerd),
            runc: version(runc),
            api_server: version(api_server),
        };
        contradictions(&versions).into_iter().map(|(message, _)| message).collect()
    }

    #[test]
    fn versions_that_go_together_are_no_problem() {
        for (kubelet, containerd, runc, api_server) in [
            ("v1.37.2", "v2.4.2", "v1.5.2", "v1.37.0"),
            ("v1.35.0", "v2.1.5", "v1.3.3", "v1.37.2"),
            ("v1.34.1", "v2.0.6", "v1.1.12", "v1.37.2"),
            ("v1.26.0", "v2.0.0", "v1.2.0", "1.26"),
            ("v1.37.2-eks-abc", "2.2.0", "1.3.0", ""),
        ] {
            assert_eq!(said(kubelet, containerd, runc, api_server), [""; 0], "{kubelet}");
        }
    }

    #[test]
    fn versions_that_do_not_go_together_are_named() {
        assert_eq!(
            said("v1.37.2", "v1.7.28", "v1.1.11", "v1.36.9"),
            [
                "containerd is 1.7.28, kubelet 1.37.2 wants at least 2.2.0",
                "kubelet 1.37.2 is newer than the API server 1.36.9",
                "runc is 1.1.11, wanted at least 1.1.12",
            ]
        );
        assert_eq!(
            said("v1.33.2", "v2.0.3", "", "v1.37.0"),
            [
                "containerd is 2.0.3, kubelet 1.33.2 wants at least 2.0.4",
                "kubelet 1.33.2 is 4 minor versions behind the API server 1.37.0, wanted 3 at most",
            ]
        );
    }

    #[test]
    fn a_version_is_read_from_what_packages_call_it() {
        for (text, wanted) in [
            ("v1.37.2", Version(1, 37, 2)),
            ("1.0.6-2+deb12u2", Version(1, 0, 6)),
            ("2.0", Version(2, 0, 0)),
        ] {
            assert_eq!(text.parse(), Ok(wanted));
        }
        "latest".parse::<Version>().expect_err("no version");
    }
}
