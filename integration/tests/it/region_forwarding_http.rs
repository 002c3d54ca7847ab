//! An HTTP load across changes of a route: one pod that two instances lead to, and a route that is
//! replaced from the one to the other and back while requests are in flight.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use integration::lab::network::{Drops, Namespace};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::forwarding_scene::Scene;
use crate::region_fixture::Connection;

/// A pod of the first node's, which asks.
const ASKS: Ipv4Addr = Ipv4Addr::new(100, 64, 1, 5);
/// The pod behind the two others, which answers.
const ANSWERS: Ipv4Addr = Ipv4Addr::new(100, 64, 2, 9);
const PORT: u16 = 8080;

const CHANGES: usize = 30;

/// Many packets each: changes meet requests on their way and answers on theirs.
static BODY: [u8; 256 << 10] = [b'.'; 256 << 10];

/// What is not answered by then has failed.
const LOST: Duration = Duration::from_secs(10);

/// How many requests were answered in full, and how many were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    answered: usize,
    failed: usize,
}

/// EC2 API Reference, "ReplaceRoute": one step.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_a_route_changes_its_target() {
    let scene = Scene::new("http", 3);
    for node in 0..3 {
        scene.check(node, false).await;
    }
    let pod = Pod::behind(&scene);
    pod.serve();
    scene.create("100.64.1.0/24", 0).await;
    scene.create("100.64.2.0/24", 1).await;
    scene.applied().await;

    let before = scene.router.drops().unwrap();
    let load = Load { from: scene.nodes[0].namespace.clone(), ended: Arc::default() };
    let (mut short, mut kept) = (JoinSet::new(), JoinSet::new());
    for _ in 0..3 {
        short.spawn(load.clone().of_short_connections());
        kept.spawn(load.clone().of_one_connection());
    }
    for turn in 0..CHANGES {
        scene.replace("100.64.2.0/24", 1 + (turn + 1) % 2).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    load.ended.store(true, Ordering::Relaxed);
    let (short, kept) = (sum(short.join_all().await), sum(kept.join_all().await));
    let carried = [1, 2].map(|node| packets_to_pod(&scene.nodes[node].namespace));
    eprintln!(
        "over {CHANGES} changes {short:?} on connections of their own, {kept:?} on kept ones; the two \
         nodes carried {carried:?} packets"
    );
    assert_eq!((short.failed, kept.failed), (0, 0));
    assert!(short.answered >= CHANGES && kept.answered >= CHANGES, "{short:?} {kept:?}");
    assert!(carried.iter().all(|packets| *packets >= CHANGES as u64), "{carried:?}");
    // TCP would have sent again what was lost.
    assert_eq!(scene.dropped_since(before), Drops::default());
}

/// A namespace that the second and the third node both lead to; gone when dropped.
struct Pod(Namespace);

impl Pod {
    fn behind(scene: &Scene) -> Self {
        let [one, two] = [1, 2].map(|node| &scene.nodes[node].namespace);
        let pod = Self(Namespace::create(&format!("{}-pod", two.name())).unwrap());
        for namespace in [one, two, &pod.0] {
            // Answers go by the second node, whichever of the two the request came through.
            let loose = ["all", "default"].map(|it| format!("net.ipv4.conf.{it}.rp_filter"));
            let loose = loose.iter().map(|name| (name.as_str(), "0"));
            let forward = [("net.ipv4.ip_forward", "1")];
            namespace.sysctl(&loose.chain(forward).collect::<Vec<_>>()).unwrap();
        }
        for (node, number) in [(one, 1), (two, 2)] {
            let name = pod.0.name();
            node.ip(&format!(
                "link add pod type veth peer name node{number} netns {name}\n\
                 addr add 10.9.{number}.1/30 dev pod\nlink set pod up\n\
                 route add {ANSWERS}/32 via 10.9.{number}.2\n"
            ))
            .unwrap();
            pod.0
                .ip(&format!(
                    "addr add 10.9.{number}.2/30 dev node{number}\nlink set node{number} up\n"
                ))
                .unwrap();
        }
        let own = format!(
            "link set lo up\naddr add {ANSWERS}/32 dev lo\nroute add default via 10.9.1.1\n"
        );
        pod.0.ip(&own).unwrap();
        pod
    }

    /// Answers every GET, until the test ends.
    fn serve(&self) {
        let listener = self.0.listen(SocketAddr::from((ANSWERS, PORT))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = service_fn(async |_| {
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(&BODY))))
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Err(error) = self.0.delete() {
            eprintln!("{error:#}");
        }
    }
}

/// Requests of the pod that asks, one after the other until the load is ended.
#[derive(Clone)]
struct Load {
    from: Namespace,
    ended: Arc<AtomicBool>,
}

impl Load {
    async fn of_short_connections(self) -> Asked {
        let mut asked = Asked::default();
        while !self.ended.load(Ordering::Relaxed) {
            let whole = async { get(&mut self.connect().await?).await };
            asked.count(tokio::time::timeout(LOST, whole).await.unwrap_or(None));
        }
        asked
    }

    /// Over one connection, and none other when that one breaks.
    async fn of_one_connection(self) -> Asked {
        let (mut connection, mut asked) = (self.connect().await.unwrap(), Asked::default());
        while !self.ended.load(Ordering::Relaxed) && asked.failed == 0 {
            let whole = get(&mut connection);
            asked.count(tokio::time::timeout(LOST, whole).await.unwrap_or(None));
        }
        asked
    }

    async fn connect(&self) -> Option<Connection> {
        let socket = self.from.inside(|| {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((ASKS, 0)))?;
            Ok(socket)
        });
        let stream = socket.unwrap().connect(SocketAddr::from((ANSWERS, PORT))).await.ok()?;
        Some(Connection::over(stream).await)
    }
}

/// One request; something, if the whole answer came.
async fn get(connection: &mut Connection) -> Option<()> {
    let response = connection.head(Request::get("/"), "").await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    (status == StatusCode::OK && body[..] == BODY[..]).then_some(())
}

impl Asked {
    fn count(&mut self, answer: Option<()>) {
        match answer {
            Some(()) => self.answered += 1,
            None => self.failed += 1,
        }
    }
}

fn sum(all: Vec<Asked>) -> Asked {
    let add = |a: Asked, b: Asked| Asked {
        answered: a.answered + b.answered,
        failed: a.failed + b.failed,
    };
    all.into_iter().fold(Asked::default(), add)
}

/// How many packets a node has sent to the pod behind it (`proc_net_dev`, "The /proc filesystem").
fn packets_to_pod(node: &Namespace) -> u64 {
    let table = node.inside(|| Ok(std::fs::read_to_string("/proc/thread-self/net/dev")?)).unwrap();
    let counters = table.lines().find_map(|line| line.trim().strip_prefix("pod:")).unwrap();
    counters.split_ascii_whitespace().nth(9).unwrap().parse().unwrap()
}
