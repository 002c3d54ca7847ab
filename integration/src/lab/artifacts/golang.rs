//! Kubernetes, containerd and etcd from the Go module proxy, by `go.mod` files with `tool`
//! directives: `go.sum` pins every byte that is compiled.
//!
//! k8s.io/kubernetes cannot be `go install`ed because of its replace directives, hence a module of
//! our own that requires it and replaces the staging modules by their published versions.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use super::cache::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output, shown};

/// One of the modules under `artifacts/`.
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    builds: Vec<Build>,
}

/// One `go build`.
struct Build {
    packages: Vec<&'static str>,
    ldflags: String,
    tags: &'static str,
    cgo: bool,
    /// The file's name where it is not the package's last path element.
    output: &'static str,
}

impl Build {
    fn plain(packages: &[&'static str], ldflags: impl Into<String>) -> Self {
        Self {
            packages: packages.to_vec(),
            ldflags: ldflags.into(),
            tags: "",
            cgo: false,
            output: "",
        }
    }
}

const KUBERNETES_MOD: &str = include_str!("../../../artifacts/kubernetes/go.mod");
const CONTAINERD_MOD: &str = include_str!("../../../artifacts/containerd/go.mod");
const STRIPPED: &str = "-s -w";

pub fn kubernetes_version() -> Result<String> {
    required_version(KUBERNETES_MOD, "k8s.io/kubernetes")
}

pub fn kubernetes(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let version = kubernetes_version()?;
    let (major, minor) = major_and_minor(&version)?;
    // Without these, kubelet and API server call themselves v0.0.0 and refuse things.
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let ldflags = [
        STRIPPED.into(),
        set("gitVersion", &version),
        set("gitMajor", major),
        set("gitMinor", minor),
    ]
    .join(" ");
    Module {
        name: "kubernetes",
        go_mod: KUBERNETES_MOD,
        go_sum: include_str!("../../../artifacts/kubernetes/go.sum"),
        builds: vec![Build::plain(&["tool"], ldflags)],
    }
    .ensure(cache, progress)
}

pub fn containerd(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    const CONTAINERD: &str = "github.com/containerd/containerd/v2";
    let version = required_version(CONTAINERD_MOD, CONTAINERD)?;
    Module {
        name: "containerd",
        go_mod: CONTAINERD_MOD,
        go_sum: include_str!("../../../artifacts/containerd/go.sum"),
        builds: vec![
            Build::plain(
                &[
                    "github.com/containerd/containerd/v2/cmd/containerd",
                    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                    "github.com/containerd/containerd/v2/cmd/ctr",
                    "github.com/containernetworking/plugins/plugins/ipam/host-local",
                    "github.com/containernetworking/plugins/plugins/main/bridge",
                    "github.com/containernetworking/plugins/plugins/main/loopback",
                    "github.com/containernetworking/plugins/plugins/meta/portmap",
                ],
                format!("{STRIPPED} -X {CONTAINERD}/version.Version={version}"),
            ),
            // runc needs C for its first stage and for seccomp, without which containerd cannot
            // run a pod; static, since a node need not have the host's C library.
            Build {
                packages: vec!["github.com/opencontainers/runc"],
                ldflags: format!("{STRIPPED} -extldflags=-static"),
                tags: "seccomp,urfave_cli_no_docs,netgo,osusergo",
                cgo: true,
                output: "",
            },
        ],
    }
    .ensure(cache, progress)
}

pub fn etcd(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    Module {
        name: "etcd",
        go_mod: include_str!("../../../artifacts/etcd/go.mod"),
        go_sum: include_str!("../../../artifacts/etcd/go.sum"),
        builds: vec![
            Build { output: "etcd", ..Build::plain(&["go.etcd.io/etcd/server/v3"], STRIPPED) },
            Build::plain(&["go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"], STRIPPED),
        ],
    }
    .ensure(cache, progress)
}

impl Module {
    fn ensure(self, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
        let mut key =
            Key::default().with(self.go_mod).with(self.go_sum).with(std::env::consts::ARCH);
        for build in &self.builds {
            key = key
                .with(build.packages.join(" "))
                .with(&build.ldflags)
                .with(build.tags)
                .with(build.output);
        }
        let folder = cache.ensure(self.name, &key, progress, |folder| {
            let source = folder.join("source");
            fs::create_dir(&source)?;
            fs::write(source.join("go.mod"), self.go_mod)?;
            fs::write(source.join("go.sum"), self.go_sum)?;
            progress.say(self.name, "downloading Go modules");
            output(command("go", ["mod", "download"]).current_dir(&source))
                .context("hint: Go 1.26 and a way to a Go module proxy are needed")?;
            self.builds
                .iter()
                .try_for_each(|build| self.build(build, &source, &folder.join("bin"), progress))
        })?;
        Ok(folder.join("bin"))
    }

    fn build(&self, build: &Build, source: &Path, bin: &Path, progress: &Progress) -> Result<()> {
        fs::create_dir_all(bin)?;
        let mut go =
            command("go", ["build", "-v", "-trimpath", "-mod=readonly", "-buildvcs=false"]);
        go.args(["-ldflags", &build.ldflags, "-tags", build.tags, "-o"])
            // A trailing slash tells Go that it is a folder.
            .arg(if build.output.is_empty() { bin.join("") } else { bin.join(build.output) })
            .args(&build.packages)
            .env("CGO_ENABLED", if build.cgo { "1" } else { "0" })
            .current_dir(source);
        self.follow(&mut go, progress)
    }

    /// `go build -v` prints each package that it compiles: enough for a sign of life.
    fn follow(&self, go: &mut Command, progress: &Progress) -> Result<()> {
        const EVERY: usize = 250;
        let shown = shown(go);
        let mut child =
            go.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot run `{shown}`"))?;
        let stderr =
            child.stderr.take().ok_or_else(|| anyhow!("`{shown}` has no standard error"))?;
        let mut last = Vec::new();
        for (n, line) in BufReader::new(stderr).lines().enumerate() {
            if n % EVERY == 0 {
                progress.say(self.name, format!("compiling, {n} packages so far"));
            }
            last.push(line?);
            if last.len() > 20 {
                last.remove(0);
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`{shown}` failed ({status}): {}", last.join("\n"));
        }
        Ok(())
    }
}

/// The version that a `go.mod` requires of a module.
fn required_version(go_mod: &str, module: &str) -> Result<String> {
    go_mod
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("require ").split_once(' '))
        .find_map(|(name, rest)| {
            (name == module).then(|| rest.split(' ').next().unwrap_or(rest).to_owned())
        })
        .ok_or_else(|| anyhow!("go.mod requires no `{module}`"))
}

fn major_and_minor(version: &str) -> Result<(&str, &str)> {
    let mut parts = version.trim_start_matches('v').split('.');
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => bail!("`{version}` is not a version of the form v1.2.3"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_read_from_go_mod() {
        assert_eq!(kubernetes_version().unwrap(), "v1.37.2");
        assert_eq!(major_and_minor("v1.37.2").unwrap(), ("1", "37"));
        let missing = required_version("module x\n", "k8s.io/kubernetes").unwrap_err();
        assert_eq!(missing.to_string(), "go.mod requires no `k8s.io/kubernetes`");
    }
}
