//! The table `[host]`: what a group wants of its machines beyond what every node needs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::entry::Entry;
use super::raw::Section;

/// A group's machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Host {
    pub swap: Swap,
    /// Kernel settings by their dotted names, laid over what Windlass sets.
    pub sysctls: BTreeMap<String, String>,
    /// How many pages of each size are set aside for pods.
    pub hugepages: BTreeMap<PageSize, u32>,
    /// Left out of a revision where there is none, as the whole table is.
    #[serde(skip_serializing_if = "Gpu::is_none")]
    pub gpu: Gpu,
}

/// Whose GPUs pods use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gpu {
    #[default]
    None,
    Nvidia,
}

/// What swap space is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    /// Nothing: it is switched off.
    #[default]
    Off,
    /// Burstable pods, in proportion to the memory that they ask for (kubelet's `LimitedSwap`).
    Limited,
}

/// The size of a huge page, KiB. It is written as Kubernetes does, `2Mi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(pub u64);

/// Those of x86-64 and of aarch64 with pages of 4 and of 64 KiB (the kernel's "HugeTLB Pages").
const SIZES: [(&str, PageSize); 6] = [
    ("64Ki", PageSize(64)),
    ("2Mi", PageSize(2 << 10)),
    ("32Mi", PageSize(32 << 10)),
    ("512Mi", PageSize(512 << 10)),
    ("1Gi", PageSize(1 << 20)),
    ("16Gi", PageSize(16 << 20)),
];

/// Settings without which the pod network or kubelet does not work, and why.
const OWNED: [(&str, &str); 11] = [
    ("kernel.keys.root_maxbytes", KUBELET),
    ("kernel.keys.root_maxkeys", KUBELET),
    ("kernel.panic", KUBELET),
    ("kernel.panic_on_oops", KUBELET),
    ("net.bridge.bridge-nf-call-ip6tables", NETWORK),
    ("net.bridge.bridge-nf-call-iptables", NETWORK),
    ("net.ipv4.conf.all.forwarding", NETWORK),
    ("net.ipv4.ip_forward", NETWORK),
    ("net.ipv6.conf.all.forwarding", NETWORK),
    ("vm.overcommit_memory", KUBELET),
    ("vm.panic_on_oom", KUBELET),
];
/// Settings that take a capability which windlass-boot.service has given up: SYS_ADMIN, SYS_PTRACE or
/// SYS_RAWIO (kernel/sysctl.c, kernel/printk/sysctl.c, net/core/sysctl_net_core.c, mm/util.c of Linux).
const PRIVILEGED: [&str; 12] = [
    "kernel.dmesg_restrict",
    "kernel.kexec_load_disabled",
    "kernel.kptr_restrict",
    "kernel.modules_disabled",
    "kernel.numa_balancing",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "kernel.yama.ptrace_scope",
    "net.core.bpf_jit_enable",
    "net.core.bpf_jit_harden",
    "net.core.bpf_jit_kallsyms",
    "vm.mmap_min_addr",
];
const KUBELET: &str = "kubelet insists on its own value (`protectKernelDefaults`); leave it out";
const NETWORK: &str = "the pod network needs it as it is; leave it out";

impl Gpu {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Host {
    /// Nothing is wanted that every node does not have.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads the table; what it does not say is as in `base`.
pub(super) fn read(section: &Section<'_>, base: Host) -> Option<Host> {
    let Host { swap, mut sysctls, mut hugepages, gpu } = base;
    let swap = section
        .or("swap", swap, |entry| entry.choice(&[("off", Swap::Off), ("limited", Swap::Limited)]));
    let gpu = section
        .or("gpu", gpu, |entry| entry.choice(&[("none", Gpu::None), ("nvidia", Gpu::Nvidia)]));
    let own: Option<BTreeMap<_, _>> =
        section.or("sysctls", BTreeMap::new(), |entry| entry.map(sysctl));
    let pages = section.or("hugepages", Vec::new(), |entry| entry.map(pages));
    sysctls.extend(own?);
    hugepages.extend(pages?.into_iter().map(|(_, pages): (String, _)| pages));
    Some(Host { swap: swap?, sysctls, hugepages, gpu: gpu? })
}

fn sysctl(name: &str, entry: Entry<'_>) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let parts = || name.split('.').all(|part| !part.is_empty() && !part.starts_with('/'));
    if !name.contains('.') || !name.chars().all(plain) || !parts() {
        return entry.problem("is no kernel setting, wanted a name such as `net.core.somaxconn`");
    }
    if let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return entry.problem_with_hint("cannot be set: windlass owns it", *why);
    }
    if PRIVILEGED.contains(&name) {
        let hint = "put it into the image, as a file below /etc/sysctl.d";
        return entry.problem_with_hint("cannot be set by a boot, which lacks the right", hint);
    }
    match entry.json()? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.trim().is_empty() && !text.contains('\n') => Some(text),
        _ => entry.problem("has no value of a kernel setting, wanted a number or one line of text"),
    }
}

fn pages(size: &str, entry: Entry<'_>) -> Option<(PageSize, u32)> {
    let Some((_, size)) = SIZES.iter().find(|(name, _)| *name == size) else {
        let known = SIZES.map(|(name, _)| name).join(", ");
        return entry.problem(format!("is no size of huge pages, wanted one of {known}"));
    };
    Some((*size, entry.integer(0..=1 << 20)?))
}

impl Serialize for PageSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for PageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match SIZES.iter().find(|(_, size)| size == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}Ki", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;

    fn read_over(base: Host, text: &str) -> Result<Host, String> {
        raw::document("cluster.toml", text, |root| read(root, base))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_group_adds_to_what_holds_for_all() {
        let shared = "hugepages = { 2Mi = 512 }\n[sysctls]\n\"net.core.somaxconn\" = 4096\n";
        let shared = read_over(Host::default(), shared).expect("a table");
        assert_eq!(shared.swap, Swap::Off);
        let own = "swap = \"limited\"\ngpu = \"nvidia\"\nhugepages = { 1Gi = 2, 2Mi = 0 }\n\
                   sysctls = { \"net.core.somaxconn\" = \"8192\", \"net.ipv4.tcp_rmem\" = \"4096 131072 6291456\" }";
        let host = read_over(shared, own).expect("a table");
        let settings: Vec<(&str, &str)> =
            host.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            settings,
            [("net.core.somaxconn", "8192"), ("net.ipv4.tcp_rmem", "4096 131072 6291456")]
        );
        assert_eq!(host.hugepages, [(PageSize(2048), 0), (PageSize(1 << 20), 2)].into());
        assert_eq!((host.swap, host.gpu), (Swap::Limited, Gpu::Nvidia));
    }

    #[test]
    fn what_is_no_setting_or_not_the_operators_is_refused() {
        let said = |text: &str| read_over(Host::default(), text).expect_err(text);
        let owned = said("sysctls = { \"net.ipv4.ip_forward\" = 0 }");
        assert!(owned.contains("cannot be set: windlass owns it"), "{owned}");
        assert!(owned.contains("hint: the pod network needs it as it is"), "{owned}");
        let privileged = said("sysctls = { \"kernel.dmesg_restrict\" = 1 }");
        assert!(privileged.contains("hint: put it into the image"), "{privileged}");
        for name in ["../../etc/passwd", "somaxconn", "net..core", "./x.y"] {
            let said = said(&format!("sysctls = {{ \"{name}\" = 1 }}"));
            assert!(said.contains("is no kernel setting"), "{said}");
        }
        let value = said("sysctls = { \"net.core.somaxconn\" = [1] }");
        assert!(value.contains("wanted a number or one line of text"), "{value}");
        let size = said("hugepages = { 3Mi = 1 }");
        assert!(size.contains("wanted one of 64Ki, 2Mi, 32Mi, 512Mi, 1Gi, 16Gi"), "{size}");
    }
}
