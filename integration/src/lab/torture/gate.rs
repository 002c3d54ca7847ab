//! The way from one node to the API server: a listener of the node's own namespace, which can fall
//! silent, as a network does that loses every packet, and can drop all connections.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// It; closed when dropped.
pub struct Gate {
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    open: bool,
    /// Connections of an earlier one are no more.
    generation: u64,
}

impl Gate {
    /// From this listener to that address, which is one of this program's own namespace.
    pub fn start(listener: StdListener, to: SocketAddr) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let state = watch::Sender::new(State { open: true, generation: 0 });
        let task = tokio::spawn(accept(listener, to, state.subscribe()));
        Ok(Self { state, task })
    }

    /// Nothing goes through until it is opened, and nobody is told.
    pub fn silence(&self) {
        self.state.send_modify(|state| state.open = false);
    }

    /// What waited goes through.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Every connection ends in the middle.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connect(stream, to, state.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How a connection ends concerns its ends alone.
async fn connect(from: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let born = state.borrow_and_update().generation;
    let through = async {
        let to = TcpStream::connect(to).await?;
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
        let (there, back) = (state.clone(), state.clone());
        tokio::try_join!(pass(from_read, to_write, there), pass(to_read, from_write, back))
    };
    let mut watched = state.clone();
    tokio::select! {
        _ = through => {}
        _ = watched.wait_for(|state| state.generation != born) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        state.wait_for(|state| state.open).await.map_err(io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
