//! `lab balancer`: what is behind the load balancer, and what became of its requests.

use anyhow::Result;

use super::look::table;
use crate::lab::balancer::{Counts, Status};
use crate::lab::daemon::{Client, Request};

pub fn balancer(name: &str, json: bool) -> Result<()> {
    let status: Status = Client::connect(name)?.ask(&Request::Balancer)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    let (Some(address), Some(service)) = (&status.address, &status.service) else {
        eprintln!(
            "no Service of `type: LoadBalancer`\nhint: kubectl expose deployment NAME --type=LoadBalancer"
        );
        return Ok(());
    };
    println!("http://{address} for {service}\n");
    let header = ["NODE", "ADDRESS", "STATE", "REQUESTS", "FAILED"].map(str::to_owned);
    let rows = status.targets.iter().map(|target| {
        [
            target.node.clone(),
            target.address.clone(),
            target.state.clone(),
            target.counts.requests.to_string(),
            target.counts.failed().to_string(),
        ]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    println!("\n{}", said(&status.counts));
    if !status.failures.is_empty() {
        println!("\nThe latest that failed:");
    }
    for failure in &status.failures {
        println!("{failure}");
    }
    Ok(())
}

/// All numbers that say something.
fn said(counts: &Counts) -> String {
    let reasons = [
        ("not connected", counts.not_connected),
        ("cut", counts.cut),
        ("answered by an error", counts.server_errors),
        ("late", counts.late),
        ("without a healthy target", counts.no_target),
        ("abandoned by their client", counts.abandoned),
    ];
    let reasons = reasons.into_iter().filter(|(_, count)| *count > 0);
    let reasons: Vec<_> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!(
        "{} requests, {} answered, {} under way, {} failed{why}",
        counts.requests,
        counts.answered,
        counts.under_way(),
        counts.failed(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_said_with_their_reasons() {
        let fine = Counts { requests: 3, answered: 2, ..Counts::default() };
        assert_eq!(said(&fine), "3 requests, 2 answered, 1 under way, 0 failed");
        let bad = Counts { requests: 9, cut: 2, no_target: 4, ..fine };
        assert_eq!(
            said(&bad),
            "9 requests, 2 answered, 1 under way, 6 failed (2 cut, 4 without a healthy target)"
        );
    }
}
