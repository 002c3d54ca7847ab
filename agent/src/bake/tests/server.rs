//! A web server on the loopback that sends what a test tells it to.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// All of it, or the range asked for.
    Right,
    /// All of it, whatever is asked for.
    NoRanges,
    /// So many bytes, then the connection ends.
    Cut(usize),
    /// This status and nothing else.
    Status(u16),
}

/// It serves one thing under every path.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers in this order; the last one is for all further requests.
    pub async fn start(contents: Vec<u8>, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/thing", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers) = (requests.clone(), answers.to_vec());
        tokio::spawn(async move {
            let mut next = 0;
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let answer = answers[next.min(answers.len() - 1)];
                next += 1;
                let range = serve(stream, &contents, answer).await;
                seen.lock().expect("requests").push(range);
            }
        });
        Self { url, requests }
    }

    /// The range that each request asked for; empty for all of it.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }
}

async fn serve(stream: TcpStream, contents: &[u8], answer: Answer) -> String {
    let mut stream = BufReader::new(stream);
    let mut range = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a line");
        if let Some(value) = line.to_lowercase().strip_prefix("range: ") {
            range = value.trim().to_owned();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let start = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let start: usize = start.map_or(0, |start| start.parse().expect("a number"));
    let (head, body) = match answer {
        Answer::Status(status) => (format!("HTTP/1.1 {status} So\r\n"), &contents[..0]),
        Answer::NoRanges => ("HTTP/1.1 200 OK\r\n".to_owned(), contents),
        Answer::Right | Answer::Cut(_) if start == 0 => {
            ("HTTP/1.1 200 OK\r\n".to_owned(), contents)
        }
        Answer::Right | Answer::Cut(_) => {
            let (last, all) = (contents.len() - 1, contents.len());
            let range = format!("Content-Range: bytes {start}-{last}/{all}\r\n");
            (format!("HTTP/1.1 206 Partial Content\r\n{range}"), &contents[start..])
        }
    };
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let sent = match answer {
        Answer::Cut(bytes) => &body[..bytes.min(body.len())],
        _ => body,
    };
    // A client that has enough may be gone.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(sent).await;
    let _ = stream.shutdown().await;
    range
}
