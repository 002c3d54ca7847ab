//! Tells people by a webhook that takes Slack's messages, `{"text": "…"}`.
//!
//! Source: "Sending messages using incoming webhooks" (Slack). The URL is a secret: it lies in a file of
//! its own, is read anew for each message, and is in no line of the log.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::client::{Wire, plain};
use crate::host::Machine;

/// For one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Where the URL is.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    machine: Machine,
    wire: Wire,
    file: String,
}

impl Webhook {
    pub(super) fn new(machine: &Machine, wire: &Wire, file: &str) -> Self {
        Self { machine: machine.clone(), wire: wire.clone(), file: file.to_owned() }
    }

    /// That nobody takes the message hinders nothing, and is said.
    pub(super) async fn tell(&self, text: &str) {
        let mut told = self.try_to_tell(text).await;
        for pause in PAUSES {
            if told.is_ok() {
                break;
            }
            sleep(pause).await;
            told = self.try_to_tell(text).await;
        }
        if let Err(error) = told {
            tracing::warn!("the webhook of {} was not told: {error:#}", self.file);
        }
    }

    async fn try_to_tell(&self, text: &str) -> anyhow::Result<()> {
        let url = self.machine.read_text(&self.file)?.context("there is no such file")?;
        let body = json!({ "text": text }).to_string();
        let asked = timeout(PATIENCE, plain::post_json(&self.wire, url.trim(), body));
        let status = asked.await.context("no answer in time")??;
        ensure!((200..300).contains(&status), "it answered {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::converge::ensure_file;
    use crate::converge::files::tests::Scratch;

    /// Answers one request after the other with the statuses; what was asked.
    async fn answering(listener: TcpListener, statuses: &[&str]) -> Vec<String> {
        let mut asked = Vec::new();
        for status in statuses {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"}") {
                let read = connection.read_buf(&mut bytes).await.expect("a request");
                assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
            }
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            connection.write_all(head.as_bytes()).await.expect("answered");
            asked.push(String::from_utf8(bytes).expect("text"));
        }
        asked
    }

    #[tokio::test]
    async fn a_message_is_tried_again_and_its_url_is_nobodys_to_see() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (_scratch, machine) = Scratch::new("webhook");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/services/SECRET", listener.local_addr().expect("bound"));
        let file = "/etc/windlass/webhook";
        ensure_file(&machine, file, 0o600, format!("{url}\n").as_bytes()).expect("written");
        let wire = Wire::real();
        let webhook = Webhook::new(&machine, &wire, file);
        let statuses = ["500 Internal Server Error", "200 OK"];
        let (asked, ()) =
            tokio::join!(answering(listener, &statuses), webhook.tell("the node is \"empty\""));
        assert!(asked[1].starts_with("POST /services/SECRET HTTP/1.1\r\n"), "{asked:?}");
        assert!(asked[1].ends_with(r#"{"text":"the node is \"empty\""}"#), "{asked:?}");
        let gone = webhook.try_to_tell("x").await.expect_err("nobody listens");
        assert!(!format!("{gone:#}").contains("SECRET"), "{gone:#}");
    }
}
