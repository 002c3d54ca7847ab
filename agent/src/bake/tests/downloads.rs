//! Servers that break off, know no ranges, serve something else, or are away.

use super::server::{Answer, Server};
use super::*;

#[tokio::test]
async fn a_download_that_breaks_off_is_gone_on_with() {
    let kubelet = native(&"k".repeat(100_000));
    let answers = [Answer::Cut(40_000), Answer::Status(503), Answer::Right];
    let server = Server::start(kubelet.clone(), &answers).await;
    let bench = Bench::new("bake-cut").with_url("kubelet", &server.url, &kubelet);
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
    let [first, second, third] = &server.requests()[..] else { panic!("three requests") };
    assert_eq!((first.as_str(), second), ("", third));
    let start = third.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let start: usize = start.expect("a range").parse().expect("a number");
    assert!(start > 0 && start <= 40_000, "went on at {start}");

    // What is there is not fetched again.
    assert!(bench.bake().await.expect("baked").is_empty());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_from_the_start() {
    let kubelet = native(&"k".repeat(100_000));
    let server = Server::start(kubelet.clone(), &[Answer::Cut(40_000), Answer::NoRanges]).await;
    // By name: looked up without the C library.
    let url = server.url.replace("127.0.0.1", "localhost");
    let bench = Bench::new("bake-ranges").with_url("kubelet", &url, &kubelet);
    bench.bake().await.expect("baked");
    assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
}

#[tokio::test]
async fn a_download_that_always_breaks_off_is_given_up_and_the_image_is_as_it_was() {
    let kubelet = native(&"k".repeat(100_000));
    let server = Server::start(kubelet.clone(), &[Answer::Cut(10)]).await;
    let bench = Bench::new("bake-always").with_file("runc", &native("a runc")).with_url(
        "kubelet",
        &server.url,
        &kubelet,
    );
    let before = bench.everything();
    let error = format!("{:#}", bench.bake().await.expect_err("given up"));
    assert!(error.contains(&format!("downloading {}, tried 3 times", server.url)), "{error}");
    assert!(error.contains("broke off at 30 bytes"), "{error}");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn contents_are_believed_by_their_digest_only() {
    let server = Server::start(native("another"), &[Answer::Right]).await;
    let bench = Bench::new("bake-digest").with_url("kubelet", &server.url, &native("kubelet"));
    let before = bench.everything();
    let error = bench.bake().await.expect_err("wrong").to_string();
    let (found, wanted) = (sha256_hex(&native("another")), sha256_hex(&native("kubelet")));
    let said = format!("{} has the SHA-256 {found}, wanted {wanted}\nhint: ", server.url);
    assert!(error.starts_with(&said), "{error}");
    assert_eq!(bench.everything(), before);

    let missing = Server::start(Vec::new(), &[Answer::Status(404)]).await;
    let bench = Bench::new("bake-404").with_url("kubelet", &missing.url, &native("kubelet"));
    let error = bench.bake().await.expect_err("missing").to_string();
    assert!(error.contains("the server said 404"), "{error}");
    assert_eq!(missing.requests().len(), 1, "asking again is no use");
}

#[tokio::test]
async fn what_an_interrupted_run_left_is_gone_on_with_or_begun_anew() {
    let kubelet = native(&"k".repeat(1000));
    let sha256 = sha256_hex(&kubelet).parse().expect("a digest");
    for (name, left, asked) in [
        ("bake-left", kubelet[..400].to_vec(), vec!["bytes=400-"]),
        ("bake-garbled", vec![b'x'; 400], vec!["bytes=400-", ""]),
        ("bake-long", vec![b'x'; 4000], vec![""]),
    ] {
        let server = Server::start(kubelet.clone(), &[Answer::Right]).await;
        let bench = Bench::new(name).with_url("kubelet", &server.url, &kubelet);
        let staging = Staging::open(&bench.tree).expect("ours");
        fs::write(staging.growing(&sha256), left).expect("what was left");
        drop(staging);
        bench.bake().await.expect("baked");
        assert_eq!(bench.program("/usr/local/bin/kubelet"), kubelet);
        assert_eq!(server.requests(), asked, "{name}");
        assert!(!bench.tree.place(staging::FOLDER).exists());
    }
}

#[tokio::test]
async fn a_network_that_is_away_is_said_with_what_to_do() {
    let bench = Bench::new("bake-network").with_url(
        "kubelet",
        // The discard port, where nobody listens.
        "http://127.0.0.1:9/kubelet",
        &native("kubelet"),
    );
    let error = format!("{:#}", bench.bake().await.expect_err("nobody listens"));
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("hint: is there a way to it from here?"), "{error}");
}
