//! The commands that look into a lab that is up, and those that poke it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lab::daemon::{Client, Request, Status};
use crate::lab::node::Node;
use crate::lab::vm::agent::Agent;

/// How often a follower looks for more.
const FOLLOW: Duration = Duration::from_millis(200);

/// Asks, and prints the answer if there is something in it.
pub fn print(name: &str, request: &Request) -> Result<()> {
    let answer: Value = Client::connect(name)?.ask(request)?;
    if !answer.is_null() {
        println!("{answer}");
    }
    Ok(())
}

pub fn status(name: &str, json: bool) -> Result<()> {
    let found: Vec<Status> = Client::connect(name)?.ask(&Request::Status)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let header =
        ["INSTANCE", "GROUP", "ZONE", "NAME", "STATE", "LIFECYCLE", "PID"].map(str::to_owned);
    let rows = found.iter().map(|status| {
        [
            status.instance.clone(),
            status.group.clone(),
            status.zone.clone(),
            status.private_dns_name.split('.').next().unwrap_or_default().to_owned(),
            status.state.clone(),
            status.lifecycle.clone().unwrap_or_else(|| "-".into()),
            status.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
        ]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    for status in found.iter().filter(|status| status.trouble.is_some()) {
        eprintln!("{}: {}", status.instance, status.trouble.as_deref().unwrap_or_default());
    }
    Ok(())
}

/// Prints rows with their columns below one another.
pub fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    for row in rows {
        let cells = row.iter().enumerate().map(|(n, cell)| format!("{cell:<0$}", width(n)));
        println!("{}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

pub fn environment(name: &str) -> Result<()> {
    let variables: BTreeMap<String, String> = Client::connect(name)?.ask(&Request::Environment)?;
    for (variable, value) in variables {
        println!("export {variable}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(())
}

/// Asks for something that takes its time, and says to which instance it happens.
pub fn begin(name: &str, request: &Request, what: &str) -> Result<()> {
    let status: Status = Client::connect(name)?.ask(request)?;
    eprintln!("{} is being {what}", status.instance);
    Ok(())
}

/// Runs a command on the node with this terminal, on a virtual machine without; its exit code is ours.
pub fn exec(name: &str, node: String, words: &[String]) -> Result<ExitCode> {
    let status: Status = Client::connect(name)?.ask(&Request::Find { node })?;
    let pid = status.pid.with_context(|| format!("the machine of {} is off", status.instance))?;
    if let Some(agent) = &status.agent {
        let ended = Agent::connect(agent)?.run(words)?;
        io::stdout().write_all(&ended.stdout)?;
        io::stderr().write_all(&ended.stderr)?;
        return Ok(ExitCode::from(ended.code));
    }
    let mut command = Node::command(pid, words.iter().map(String::as_str));
    let ended =
        command.stdin(std::process::Stdio::inherit()).status().context("cannot run nsenter")?;
    Ok(ended
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

pub fn logs(name: &str, node: String, follow: bool) -> Result<()> {
    let status: Status = Client::connect(name)?.ask(&Request::Find { node })?;
    show(Path::new(&status.console), follow)
}

/// Prints a file, and goes on as it grows.
pub fn show(path: &Path, follow: bool) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    loop {
        io::copy(&mut file, &mut io::stdout())?;
        if !follow {
            return Ok(());
        }
        std::thread::sleep(FOLLOW);
    }
}

pub fn calls(name: &str, follow: bool, count: bool) -> Result<()> {
    let mut client = Client::connect(name)?;
    let mut since = 0;
    loop {
        let records: Vec<Value> = client.ask(&Request::Calls { since })?;
        if count {
            return print_counts(&records);
        }
        since += records.len();
        let mut out = io::stdout().lock();
        records.iter().try_for_each(|record| writeln!(out, "{record}"))?;
        out.flush()?;
        drop(out);
        if !follow {
            return Ok(());
        }
        std::thread::sleep(FOLLOW);
    }
}

fn print_counts(records: &[Value]) -> Result<()> {
    let word = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for record in records {
        let call = format!("{}:{}", word(record, "service"), word(record, "action"));
        *counts.entry((word(record, "caller"), call)).or_default() += 1;
    }
    for ((caller, call), count) in counts {
        println!("{count:>6}  {caller:<24} {call}");
    }
    Ok(())
}
