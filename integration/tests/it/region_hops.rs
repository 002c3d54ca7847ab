//! How far the metadata service's token gets: to the instance, and not to a pod behind it.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http::{Request, StatusCode};
use integration::lab::network::Namespace;
use integration::region::serve::{Listening, Who, imds};

use crate::region_fixture::{Connection, Fixture};

const METADATA: ([u8; 4], u16) = ([169, 254, 169, 254], 80);

/// The metadata service, an instance one hop away, a pod two hops away.
struct Hops {
    service: Namespace,
    instance: Namespace,
    pod: Namespace,
}

impl Hops {
    fn create(test: &str) -> Self {
        let create = |part: &str| {
            Namespace::create(&format!("wl-hops-{test}-{}-{part}", std::process::id())).unwrap()
        };
        let hops = Self { service: create("imds"), instance: create("node"), pod: create("pod") };
        let (instance, pod) = (hops.instance.name(), hops.pod.name());
        hops.service
            .ip(&format!(
                "link set lo up\naddr add 169.254.169.254/32 dev lo\n\
                 link add node type veth peer name eth0 netns {instance}\n\
                 addr add 10.8.0.1/30 dev node\nlink set node up\nroute add 10.9.0.0/30 via 10.8.0.2 onlink dev node\n"
            ))
            .unwrap();
        hops.instance
            .ip(&format!(
                "addr add 10.8.0.2/30 dev eth0\nlink set eth0 up\nroute add default via 10.8.0.1\n\
                 link add pod type veth peer name eth0 netns {pod}\naddr add 10.9.0.1/30 dev pod\nlink set pod up\n"
            ))
            .unwrap();
        hops.instance.sysctl(&[("net.ipv4.ip_forward", "1")]).unwrap();
        hops.pod
            .ip("addr add 10.9.0.2/30 dev eth0\nlink set eth0 up\nroute add default via 10.9.0.1\n")
            .unwrap();
        hops
    }

    fn serve(&self, fixture: &Fixture) -> Listening {
        let listener = self.service.listen(SocketAddr::from(METADATA)).unwrap();
        imds(&fixture.region, listener, Who::Instance(fixture.address.into())).unwrap()
    }
}

impl Drop for Hops {
    fn drop(&mut self) {
        for namespace in [&self.pod, &self.instance, &self.service] {
            if let Err(error) = namespace.delete() {
                eprintln!("{error:#}");
            }
        }
    }
}

async fn connect(from: &Namespace) -> Connection {
    let stream = from
        .inside(|| Ok(TcpStream::connect_timeout(&METADATA.into(), Duration::from_secs(5))?))
        .unwrap();
    stream.set_nonblocking(true).unwrap();
    Connection::over(tokio::net::TcpStream::from_std(stream).unwrap()).await
}

async fn token(from: &Namespace) -> Option<StatusCode> {
    let mut connection = connect(from).await;
    let put =
        Request::put("/latest/api/token").header("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let answer = tokio::time::timeout(Duration::from_secs(2), connection.send(put)).await.ok()?;
    Some(answer.status())
}

/// Amazon EC2 User Guide, "Configure the Instance Metadata Service options",
/// `http-put-response-hop-limit`: beyond it the answer to the PUT is lost on its way, and nothing
/// else tells the caller so.
#[tokio::test]
async fn a_token_gets_no_further_than_the_hop_limit() {
    let hops = Hops::create("limit");
    let fixture = Fixture::new();
    let _listening = hops.serve(&fixture);
    assert_eq!(token(&hops.instance).await, Some(StatusCode::OK));
    assert_eq!(token(&hops.pod).await, None, "over two hops with a limit of one");
    // Only the answer to the PUT is so limited.
    let unasked = connect(&hops.pod).await.send(Request::get("/latest/meta-data/")).await;
    assert_eq!(unasked.status(), StatusCode::UNAUTHORIZED);

    let ec2 = aws_sdk_ec2::Client::new(&fixture.sdk(&fixture.operator));
    let change = ec2.modify_instance_metadata_options().instance_id(&fixture.instance);
    change.http_put_response_hop_limit(2).send().await.unwrap();
    assert_eq!(token(&hops.pod).await, Some(StatusCode::OK), "over two hops with a limit of two");
}
