//! `cargo lab binary`: the product as it is released, held against what is promised of it: one
//! static file that runs where there is nothing else.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use windlass::bake::Architecture;

use super::figures::Spread;
use super::product;
use super::up::{Latency, Options};
use crate::lab::account::Account;
use crate::lab::artifacts::Cache;
use crate::lab::family::Family;
use crate::lab::progress::Progress;
use crate::lab::release::arm64::Arm64;
use crate::lab::release::elf::Linkage;
use crate::lab::release::{Built, Folders, ensure_listed, twice};
use crate::lab::run::{command, output};
use crate::region::{Region, Settings, serve};

/// 16 MB.
const LARGEST_BYTES: u64 = 16_000_000;

/// The same for arm64, whose linker here cannot pack relocations.
const LARGEST_ARM64_BYTES: u64 = 16_000_000;

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo lab binary                  what the program is, and what it does where there is nothing else
  cargo lab binary --twice          and a build from another folder has the same bytes
  cargo lab binary --twice --clean  with all crates, from nothing
  cargo lab binary --arch arm64     the program for the other architecture, under qemu")]
pub struct Binary {
    /// This program instead of one built from this source
    #[arg(long)]
    windlass: Option<PathBuf>,
    /// How many starts are timed
    #[arg(long, default_value_t = 101)]
    starts: usize,
    /// Build it a second time, from another folder into another, and compare
    #[arg(long, conflicts_with = "windlass")]
    twice: bool,
    /// Build also the crates that it depends on again, in both folders
    #[arg(long, requires = "twice")]
    clean: bool,
    /// What it is to run on [default: as this machine]
    #[arg(long, value_enum, value_name = "ARCHITECTURE", conflicts_with_all = ["windlass", "twice"])]
    arch: Option<Architecture>,
}

pub fn binary(wanted: &Binary) -> Result<ExitCode> {
    let own = Architecture::own().context("EC2 has no instances of this machine's architecture")?;
    let architecture = wanted.arch.unwrap_or(own);
    if architecture == Architecture::Arm64 && own != architecture {
        return arm64();
    }
    let (cache, progress) = (Cache::open()?, Progress::new());
    let (program, built) = match &wanted.windlass {
        Some(given) => (released(Some(given.clone()))?, None),
        None if wanted.twice => {
            let twice = twice(&cache, &progress, wanted.clean)?;
            println!("twice        sha256:{}, from two folders", twice.digest);
            (twice.built.program.clone(), Some(twice.built))
        }
        None => {
            let built = Folders::own()?.build()?;
            (built.program.clone(), Some(built))
        }
    };
    let form = Form::of(&program, architecture, LARGEST_BYTES)?;
    form.print();
    if let Some(built) = &built {
        print_listed(built)?;
    }

    let chroot = Chroot::with(&program)?;
    println!("in a chroot  {}", output(&mut chroot.windlass(&["--version"]))?.trim());
    let requests = runtime()?.block_on(ask_s3_from(&program, &chroot))?;
    println!("             `cluster show` there: {requests} requests to S3 answered");

    let starts = (0..wanted.starts).map(|_| start_ms(&program)).collect::<Result<Vec<_>>>()?;
    let Spread { median, p99, .. } = Spread::of(&starts).context("no start was timed")?;
    println!(
        "start        `--version`, fork to exit: median {median:.1} ms, p99 {p99:.1} ms of {}",
        starts.len()
    );
    form.ensure_as_promised()?;
    Ok(ExitCode::SUCCESS)
}

/// What can be said of it on a machine that does not run it.
fn arm64() -> Result<ExitCode> {
    let (cache, progress) = (Cache::open()?, Progress::new());
    let arm64 = Arm64::ensure(&cache, &progress)?;
    progress.say("arm64", "building the program");
    let built = arm64.build()?;
    let form = Form::of(&built.program, Architecture::Arm64, LARGEST_ARM64_BYTES)?;
    form.print();
    print_listed(&built)?;
    let version = output(&mut arm64.emulated(&built.program, ["--version"]))?;
    println!("under qemu   {}", version.trim());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cluster.toml");
    let check = ["config", "check", &example.display().to_string()];
    let checked = output(&mut arm64.emulated(&built.program, check))?;
    println!("             `config check`: {}", checked.trim());
    form.ensure_as_promised()?;
    Ok(ExitCode::SUCCESS)
}

fn print_listed(built: &Built) -> Result<()> {
    let (linked, others) = ensure_listed(built)?;
    println!("lists        {linked} crates that are linked, {others} that built it: as compiled");
    Ok(())
}

/// What its file looks like, against what it should.
struct Form {
    shown: String,
    linkage: Linkage,
    bytes: u64,
    architecture: Architecture,
    largest_bytes: u64,
}

impl Form {
    fn of(program: &Path, architecture: Architecture, largest_bytes: u64) -> Result<Self> {
        Ok(Self {
            shown: program.display().to_string(),
            linkage: Linkage::of(program)?,
            bytes: fs::metadata(program)?.len(),
            architecture,
            largest_bytes,
        })
    }

    fn print(&self) {
        let limit = self.largest_bytes as f64 / 1e6;
        println!("{}", self.shown);
        println!("linkage      {}", self.linkage);
        println!("size         {:.2} MB (limit: {limit} MB)", self.bytes as f64 / 1e6);
    }

    fn ensure_as_promised(&self) -> Result<()> {
        let Self { shown, linkage, bytes, architecture, largest_bytes } = self;
        ensure!(linkage.is_static_pie(), "{shown} is {linkage}, wanted a static-pie");
        ensure!(
            linkage.architecture() == Some(*architecture),
            "{shown} is {linkage}, wanted one for {architecture}"
        );
        ensure!(
            bytes <= largest_bytes,
            "{shown} has {bytes} bytes, wanted at most {largest_bytes}"
        );
        Ok(())
    }
}

/// The product as it is released, built if it is not given.
pub fn released(given: Option<PathBuf>) -> Result<PathBuf> {
    product::program(&Options::released(Latency::None, given))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A root with the program and `/etc/resolv.conf` in it, and nothing else.
struct Chroot(PathBuf);

impl Chroot {
    fn with(program: &Path) -> Result<Self> {
        let root = std::env::temp_dir().join(format!("windlass-binary-{}", std::process::id()));
        fs::create_dir_all(root.join("etc"))?;
        let chroot = Self(root);
        fs::copy(program, chroot.0.join("windlass"))
            .with_context(|| format!("cannot copy {}", program.display()))?;
        fs::copy("/etc/resolv.conf", chroot.0.join("etc/resolv.conf"))
            .context("cannot copy /etc/resolv.conf")?;
        Ok(chroot)
    }

    fn windlass(&self, arguments: &[&str]) -> Command {
        let mut command = command("chroot", [self.0.as_os_str(), "/windlass".as_ref()]);
        command.args(arguments).env_clear();
        // `chroot` itself is looked for by it.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

impl Drop for Chroot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A cluster is made from outside of the chroot and shown from within; how many requests that took.
async fn ask_s3_from(program: &Path, chroot: &Chroot) -> Result<u64> {
    const CLUSTER: &str = "binary";
    let region = Region::new(Settings::new(1, OffsetDateTime::now_utc()));
    let account = Account::open(&region, CLUSTER, Family::Ipv4).await?;
    let listening = serve::http(&region, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)?;
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://{}", listening.address())),
        ("AWS_REGION", region.settings().name.clone()),
        ("AWS_ACCESS_KEY_ID", account.operator.access_key.clone()),
        ("AWS_SECRET_ACCESS_KEY", account.operator.secret.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("WINDLASS_CLUSTER", account.cluster.clone()),
        ("WINDLASS_BUCKET", account.bucket.clone()),
    ];
    let run = async |mut command: Command| {
        command.envs(variables.clone());
        tokio::task::spawn_blocking(move || output(&mut command)).await?
    };
    let file = std::env::temp_dir().join(format!("windlass-binary-{}.toml", std::process::id()));
    fs::write(
        &file,
        account.cluster_toml(
            &region.settings().name,
            "https://api.binary.internal:6443",
            Duration::from_secs(24 * 3600),
        ),
    )?;
    let description = file.display().to_string();
    let made = run(command(program, ["cluster", "init", "--file", &description])).await;
    let applied = run(command(program, ["cluster", "apply", &description])).await;
    fs::remove_file(&file)?;
    made.and(applied)?;

    let before = region.calls().count("operator", "s3:");
    let said = run(chroot.windlass(&["cluster", "show"])).await?;
    ensure!(
        said.contains("workers"),
        "`cluster show` in the chroot does not list the group `workers`:\n{said}"
    );
    Ok(region.calls().count("operator", "s3:") - before)
}

fn start_ms(program: &Path) -> Result<f64> {
    let began = Instant::now();
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).status()?;
    ensure!(status.success(), "`{} --version` failed ({status})", program.display());
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
