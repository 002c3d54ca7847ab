//! Where metrics can be read: HTTP on a loopback address, or on a socket in the file system.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::metrics::Metrics;
use crate::client::calls::Calls;
use crate::config::Listen;
use crate::host::Machine;

/// Between two tries to listen: somebody else may have the port for now.
const AGAIN: Duration = Duration::from_secs(60);
/// After a connection that could not be taken, for want of file descriptors perhaps.
const PAUSE: Duration = Duration::from_secs(1);
/// For a request's head.
const HEAD: Duration = Duration::from_secs(5);
/// Readers at a time.
const READERS: usize = 4;

/// Answers for as long as the program runs. That nobody can read metrics hinders nothing else.
pub(super) async fn serve(
    machine: &Machine,
    listen: &Listen,
    metrics: Metrics,
    calls: Calls,
) -> Infallible {
    let page = Page { metrics, calls, readers: Arc::new(Semaphore::new(READERS)) };
    let mut said = String::new();
    loop {
        let Err(error) = serve_once(machine, listen, &page).await;
        let error = format!("{error:#}");
        if error != said {
            tracing::error!("metrics cannot be read at {listen} now: {error}");
            said = error;
        }
        sleep(AGAIN).await;
    }
}

async fn serve_once(machine: &Machine, listen: &Listen, page: &Page) -> anyhow::Result<Infallible> {
    match listen {
        Listen::Off => Ok(std::future::pending().await),
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await.context("listening")?;
            loop {
                page.answer(listener.accept().await.map(|(stream, _)| stream)).await;
            }
        }
        Listen::Unix(path) => {
            let path = machine.path(path);
            // What an earlier run left.
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)?,
                _ => {}
            }
            let listener = UnixListener::bind(&path).context("listening")?;
            loop {
                page.answer(listener.accept().await.map(|(stream, _)| stream)).await;
            }
        }
    }
}

#[derive(Clone)]
struct Page {
    metrics: Metrics,
    calls: Calls,
    readers: Arc<Semaphore>,
}

impl Page {
    /// Beside all else; who comes when there are enough readers is turned away.
    async fn answer<T>(&self, accepted: io::Result<T>)
    where
        T: Send + 'static,
        TokioIo<T>: Read + Write + Unpin,
    {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!("metrics: {error}");
                return sleep(PAUSE).await;
            }
        };
        let Ok(place) = self.readers.clone().try_acquire_owned() else { return };
        let page = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                std::future::ready(Ok::<_, Infallible>(page.page(&request)))
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!("metrics: {error}");
            }
        });
    }

    fn page(&self, request: &Request<Incoming>) -> Response<String> {
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, text) = match request.uri().path() {
            "/metrics" if readable => (StatusCode::OK, self.metrics.text(&self.calls)),
            _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        };
        let mut answer = Response::new(text);
        *answer.status_mut() = status;
        let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        answer
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::converge::files::tests::Scratch;

    async fn asked(path: &std::path::Path, request: &str) -> String {
        let mut stream = loop {
            match UnixStream::connect(path).await {
                Ok(stream) => break stream,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        };
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    #[tokio::test]
    async fn metrics_are_read_from_a_socket_that_an_earlier_run_left() {
        let (_scratch, machine) = Scratch::new("metrics");
        let path = "/metrics.sock";
        std::fs::write(machine.path(path), "left").expect("written");
        let listen = Listen::Unix(path.into());
        let serving = serve(&machine, &listen, Metrics::default(), Calls::default());
        let asking = async {
            let path = machine.path(path);
            // The file that was left is there until the socket is.
            while std::fs::read(&path).is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
            (asked(&path, "GET /metrics").await, asked(&path, "GET /").await)
        };
        let (found, other) = tokio::select! {
            answers = asking => answers,
            never = serving => match never {},
        };
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
        assert!(
            found.contains("version=0.0.4") && found.contains("windlass_build_info{"),
            "{found}"
        );
        assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    }
}
