//! Which distribution the image is of, and what is particular to it: everything that differs
//! between Debian, Ubuntu and Amazon Linux is here.

use super::super::tree::Tree;
use super::Examination;

/// A kind of base image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Debian,
    Ubuntu,
    AmazonLinux2023,
    /// Not tried by anybody.
    Other,
}

impl Base {
    /// As os-release(5) says it.
    pub fn of(tree: &Tree) -> Self {
        let read = |path| tree.read_text(path).ok().flatten();
        let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        let text = text.unwrap_or_default();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"')).unwrap_or_default()
        };
        match (value("ID"), value("VERSION_ID")) {
            ("debian", _) => Self::Debian,
            ("ubuntu", _) => Self::Ubuntu,
            ("amzn", version) if version.starts_with("2023") => Self::AmazonLinux2023,
            _ => Self::Other,
        }
    }

    /// How a package is installed there.
    pub fn install(self, package: &str) -> String {
        match self {
            Self::AmazonLinux2023 => format!("dnf install {package}"),
            Self::Debian | Self::Ubuntu => format!("apt-get install {package}"),
            Self::Other => format!("install {package}"),
        }
    }

    /// Which package synchronises time there.
    pub fn time_package(self) -> &'static str {
        match self {
            Self::Debian => "systemd-timesyncd",
            Self::Ubuntu | Self::AmazonLinux2023 | Self::Other => "chrony",
        }
    }

    /// Units that download or install packages by themselves.
    pub fn updaters(self) -> &'static [&'static str] {
        match self {
            Self::Debian | Self::Ubuntu => {
                &["apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service"]
            }
            Self::AmazonLinux2023 => &["dnf-automatic.timer", "dnf-automatic-install.timer"],
            Self::Other => &[],
        }
    }
}

pub(super) fn check(examination: &mut Examination<'_>) {
    if examination.base == Base::Other {
        examination.advise(
            "the base is none of Debian, Ubuntu and Amazon Linux 2023, by /etc/os-release",
            "nobody has tried it: try a boot before you depend on it",
        );
    }
    if examination.text("/etc/selinux/config").lines().any(|line| line == "SELINUX=enforcing") {
        // What `semodule` builds of all modules, and what `semanage fcontext` adds.
        let folder = "/etc/selinux/targeted/contexts/files";
        let names = examination.tree.list(folder).into_iter();
        let mut names = names.filter(|name| name.starts_with("file_contexts"));
        let ours = format!("{}/windlass", super::super::places::PROGRAMS);
        if !names.any(|name| examination.text(&format!("{folder}/{name}")).contains(&ours)) {
            examination.advise(
                format!("SELinux is enforcing, and no file context in {folder} is for {ours}"),
                "`semodule --install windlass.cil`, then `restorecon -R /usr/local/bin /var/lib`",
            );
        }
    }
}
