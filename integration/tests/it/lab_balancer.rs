//! The load balancer without a cluster: targets are servers in the namespace where it listens.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use integration::lab::balancer::{
    ADDRESS, Counts, DEREGISTRATION_DELAY, Front, PROPAGATION, Serving, Status,
};
use integration::lab::network::Namespace;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::region_fixture::Connection;

const NODE_PORT: u16 = 30080;
const HEALTH_CHECK_NODE_PORT: u16 = 31000;

/// A namespace, and the load balancer in it.
struct Scene {
    namespace: Namespace,
    serving: Serving,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::checking(name, None)
    }

    fn checking(name: &str, health_check_node_port: Option<u16>) -> Self {
        let name = format!("wl-test-balancer-{name}-{}", std::process::id());
        let namespace = Namespace::create(&name).unwrap();
        namespace.ip(&format!("link set lo up\naddr add {ADDRESS}/32 dev lo\n")).unwrap();
        let front = Front {
            namespace: "default".into(),
            name: "web".into(),
            port: 80,
            node_port: NODE_PORT,
            health_check_node_port,
        };
        let serving = Serving::start(&namespace, &front).unwrap();
        Self { namespace, serving }
    }

    /// Makes these its targets.
    fn register(&mut self, nodes: &[&Node]) {
        let nodes = nodes.iter().map(|node| (node.name.to_owned(), node.address));
        self.serving.register(&nodes.collect::<BTreeMap<_, _>>());
    }

    /// A node whose NodePort answers until the test ends.
    fn node(&self, name: &'static str, number: u8) -> Node {
        let node = Node::new(name, number);
        self.serve(&node, NODE_PORT);
        node
    }

    /// Answers there until the test ends or the task does.
    fn serve(&self, node: &Node, port: u16) -> JoinHandle<()> {
        let listener = self.namespace.listen(SocketAddr::from((node.address, port))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (listener, node) = (TcpListener::from_std(listener).unwrap(), node.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let node = node.clone();
                let service = service_fn(move |request| node.clone().answer(request));
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        })
    }

    async fn connect(&self) -> Connection {
        let address = SocketAddrV4::new(ADDRESS, 80);
        Connection::over(self.namespace.connect(address).await.unwrap()).await
    }

    /// Over a connection of its own.
    async fn get(&self, path: &str) -> (StatusCode, String) {
        get(&mut self.connect().await, path).await
    }

    /// A request finds no target, though this one is registered, and nobody else.
    async fn gets_nothing(&self, node: &Node) {
        sleep(Duration::from_millis(300)).await;
        assert!(is(&self.serving.status(), node.name, "initial"));
        assert_eq!(self.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE);
        let counts = self.serving.status().counts;
        assert_eq!(counts, Counts { requests: 1, no_target: 1, ..Counts::default() });
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) {
        let started = Instant::now();
        while !wanted(&self.serving.status()) {
            let status = self.serving.status();
            assert!(started.elapsed() < Duration::from_secs(10), "never {what}: {status:#?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.namespace.delete() {
            eprintln!("{error:#}");
        }
    }
}

#[derive(Clone)]
struct Node {
    name: &'static str,
    address: Ipv4Addr,
    healthy: Arc<AtomicBool>,
}

impl Node {
    fn new(name: &'static str, number: u8) -> Self {
        let address = Ipv4Addr::new(127, 0, 1, number);
        Self { name, address, healthy: Arc::new(AtomicBool::new(true)) }
    }

    /// `/healthz` as kube-proxy does, `/after/MILLISECONDS` late, everything else at once.
    async fn answer(self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let path = request.uri().path();
        if let Some(milliseconds) = path.strip_prefix("/after/") {
            sleep(Duration::from_millis(milliseconds.parse().unwrap())).await;
        }
        let sick = path == "/healthz" && !self.healthy.load(Ordering::Relaxed);
        let mut response = Response::new(Full::from(self.name));
        if sick || path == "/broken" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(response)
    }
}

async fn get(connection: &mut Connection, path: &str) -> (StatusCode, String) {
    let response = connection.head(Request::get(path), "").await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn is(status: &Status, node: &str, state: &str) -> bool {
    status.targets.iter().any(|target| target.node == node && target.state == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leaving_target_has_is_finished_or_cut_when_its_time_is_over() {
    let mut scene = Scene::new("leave");
    let (old, new) = (scene.node("old", 1), scene.node("new", 2));
    scene.register(&[&old]);
    scene.until("the old one healthy", |status| is(status, "old", "healthy")).await;
    let (mut kept, mut short, mut long) =
        (scene.connect().await, scene.connect().await, scene.connect().await);
    assert_eq!(get(&mut kept, "/").await, (StatusCode::OK, "old".to_owned()));

    let in_time = (DEREGISTRATION_DELAY - Duration::from_secs(1)).as_millis();
    let short = tokio::spawn(async move { get(&mut short, &format!("/after/{in_time}")).await });
    let long = tokio::spawn(async move { get(&mut long, "/after/60000").await });
    scene.until("all under way", |status| status.counts.under_way() == 2).await;
    scene.register(&[&new]);
    let left = Instant::now();
    scene.until("the new one healthy", |status| is(status, "new", "healthy")).await;

    // Until that has spread, both get requests, and afterwards one alone, on kept connections too.
    let both = [scene.get("/").await.1, scene.get("/").await.1];
    assert!(both.contains(&"old".to_owned()) && left.elapsed() < PROPAGATION, "{both:?}");
    tokio::time::sleep_until(left + PROPAGATION + Duration::from_millis(100)).await;
    for _ in 0..3 {
        assert_eq!(scene.get("/").await.1, "new");
        assert_eq!(get(&mut kept, "/").await.1, "new");
    }
    assert!(is(&scene.serving.status(), "old", "draining"));

    assert_eq!(short.await.unwrap(), (StatusCode::OK, "old".to_owned()));
    assert_eq!(long.await.unwrap().0, StatusCode::BAD_GATEWAY);
    let took = left.elapsed();
    assert!(took >= DEREGISTRATION_DELAY && took < DEREGISTRATION_DELAY * 2, "{took:?}");
    let status = scene.serving.status();
    assert_eq!(status.targets.len(), 1, "{status:?}");
    let wanted = Counts { requests: 11, answered: 10, cut: 1, ..Counts::default() };
    assert_eq!(status.counts, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_connections_yet_gets_nothing() {
    let mut scene = Scene::new("new");
    let new = Node::new("new", 1);
    scene.register(&[&new]);
    scene.gets_nothing(&new).await;
    scene.serve(&new, NODE_PORT);
    scene.until("the new one healthy", |status| is(status, "new", "healthy")).await;
    assert_eq!(scene.get("/").await, (StatusCode::OK, "new".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_health_check_says_no_gets_nothing_until_it_says_yes() {
    let mut scene = Scene::checking("local", Some(HEALTH_CHECK_NODE_PORT));
    let node = scene.node("node", 1);
    node.healthy.store(false, Ordering::Relaxed);
    scene.serve(&node, HEALTH_CHECK_NODE_PORT);
    scene.register(&[&node]);
    scene.gets_nothing(&node).await;
    node.healthy.store(true, Ordering::Relaxed);
    scene.until("it is healthy", |status| is(status, "node", "healthy")).await;
    assert_eq!(scene.get("/").await, (StatusCode::OK, "node".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_counted_and_not_tried_elsewhere() {
    let mut scene = Scene::new("fail");
    let (closed, open) = (Node::new("closed", 1), scene.node("open", 2));
    let still_open = scene.serve(&closed, NODE_PORT);
    scene.register(&[&closed, &open]);
    scene
        .until("both healthy", |it| is(it, "closed", "healthy") && is(it, "open", "healthy"))
        .await;
    still_open.abort();
    assert!(still_open.await.unwrap_err().is_cancelled());
    let mut statuses = [scene.get("/").await.0, scene.get("/").await.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::BAD_GATEWAY]);
    scene.register(&[&open]);
    sleep(PROPAGATION).await;
    assert_eq!(scene.get("/broken").await, (StatusCode::SERVICE_UNAVAILABLE, "open".to_owned()));

    // A client that does not wait.
    let mut impatient = scene.connect().await;
    let asked = tokio::time::timeout(
        Duration::from_millis(200),
        impatient.head(Request::get("/after/60000"), ""),
    );
    assert!(asked.await.is_err());
    drop(impatient);
    scene.until("nothing under way", |status| status.counts.under_way() == 0).await;
    let wanted = Counts {
        requests: 4,
        answered: 1,
        not_connected: 1,
        server_errors: 1,
        abandoned: 1,
        ..Counts::default()
    };
    let status = scene.serving.status();
    assert_eq!(status.counts, wanted);
    let why: Vec<_> = status.failures.iter().map(|it| (it.node.as_deref(), &*it.why)).collect();
    let [(Some("closed"), refused), others @ ..] = &why[..] else { panic!("{why:?}") };
    assert!(refused.contains("Connection refused"), "{refused}");
    let broken = (Some("open"), "503 Service Unavailable");
    assert_eq!(others, [broken, (Some("open"), "its client went away")]);
}
