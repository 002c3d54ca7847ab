//! The region against moto, an independent emulator: the same boto3 script drives both, and what
//! they answer must be the same but for the differences that the script lists with their reasons.
//!
//! Needs `python3` with `venv`; the packages that `integration/conformance/requirements.txt` pins
//! are installed once, into the lab's cache.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration::lab::artifacts::{Cache, Key};
use integration::lab::progress::Progress;
use integration::lab::run;
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::{Region, Settings, serve};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const REQUIREMENTS: &str = include_str!("../../conformance/requirements.txt");
/// moto takes seconds to import; a stuck script is worth nothing.
const MOTO_STARTS: Duration = Duration::from_secs(120);
const SCRIPT_RUNS: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn the_region_answers_boto3_as_moto_does() -> Result<()> {
    let python = python()?;
    let (region, credentials) = region()?;
    let listening = serve::http(&region, TcpListener::bind("127.0.0.1:0")?)?;
    let time_goes_on = tokio::spawn(region.clone().run());
    let mut moto = Moto::start(&python).await?;
    let script = script(&python, &credentials)
        .arg("compare.py")
        .args(["--region", &format!("http://{}", listening.address())])
        .args(["--moto", &moto.endpoint])
        .output();
    let said =
        tokio::time::timeout(SCRIPT_RUNS, script).await.context("compare.py did not end")??;
    time_goes_on.abort();
    moto.stop().await?;
    let (verdicts, complaints) =
        (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{verdicts}\n{complaints}");
    println!("{verdicts}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_boto3_and_the_aws_cli_work() -> Result<()> {
    let python = python()?;
    let (region, credentials) = region()?;
    let listening = serve::http(&region, TcpListener::bind("127.0.0.1:0")?)?;
    let script = script(&python, &credentials)
        .arg("smoke.py")
        .env("AWS_ENDPOINT_URL", format!("http://{}", listening.address()))
        .output();
    let said =
        tokio::time::timeout(SCRIPT_RUNS, script).await.context("smoke.py did not end")??;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// A region of the present time, since boto3 signs with this machine's clock.
fn region() -> Result<(Region, Credentials)> {
    let region = Region::new(Settings::new(1, OffsetDateTime::now_utc()));
    let credentials = region.with(|state, _| {
        state.iam.add_user(&mut state.ids, "operator", &[("all", ADMINISTRATOR)])
    })?;
    Ok((region, credentials))
}

/// moto's server; it ends with this, by its standard input.
struct Moto {
    child: Child,
    endpoint: String,
}

impl Moto {
    async fn start(python: &Path) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(folder().join("moto_until_eof.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", python.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("moto's output")?).lines();
        let line = tokio::time::timeout(MOTO_STARTS, lines.next_line())
            .await
            .context("moto did not start")??;
        let Some(port) = line else { bail!("moto ended before it said its port") };
        Ok(Self { child, endpoint: format!("http://127.0.0.1:{port}") })
    }

    async fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        if tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A Python script beside `compare.py` whose AWS clients are the operator of the region.
fn script(python: &Path, credentials: &Credentials) -> Command {
    let mut command = Command::new(python);
    command
        .current_dir(folder())
        .env_clear()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret)
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Python with the pinned packages.
fn python() -> Result<PathBuf> {
    let version = run::output(&mut run::command("python3", ["--version"]))?;
    let key = Key::default().with(REQUIREMENTS).with(version);
    let folder =
        Cache::open()?.ensure("conformance-python", &key, &Progress::quiet(), |folder| {
            run::output(run::command("python3", ["-m", "venv"]).arg(folder))?;
            let packages = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
            ];
            run::output(
                run::command(folder.join("bin/python"), packages)
                    .arg(self::folder().join("requirements.txt")),
            )?;
            Ok(())
        })?;
    // Not the scripts beside it: the folder was built under another name.
    Ok(folder.join("bin/python"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}
