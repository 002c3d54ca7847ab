//! UserData in every form that it may come in, and in every form in which it may be wrong.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::UserData;

const GOOD: &str = "cluster = \"prod\"\nbucket = \"acme-kubernetes\"\ngroup = \"workers\"\n";

fn good() -> UserData {
    UserData {
        cluster: "prod".into(),
        bucket: "acme-kubernetes".into(),
        group: "workers".into(),
        config: None,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn multipart(parts: &[&str]) -> String {
    let mut document = "MIME-Version: 1.0\n\
                        Content-Type: multipart/mixed; boundary=\"==B==\"\n\n"
        .to_owned();
    for part in parts {
        document += &format!("--==B==\n{part}\n");
    }
    document + "--==B==--\n"
}

fn ours() -> String {
    format!("Content-Type: application/windlass+toml\n\n{GOOD}")
}

const SCRIPT: &str = "Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\
                      Content-Disposition: attachment; filename=\"setup.sh\"\n\n\
                      #!/bin/sh\ntrue\n";

fn refused(bytes: &[u8]) -> String {
    UserData::parse(bytes).expect_err("bad UserData").to_string()
}

#[test]
fn it_is_read_raw_gzipped_and_as_a_part_of_a_mime_document() {
    let document = multipart(&[SCRIPT, &ours()]);
    let named = multipart(&[
        "Content-Type: text/cloud-config\n\npackages: []\n",
        &format!("Content-Disposition: attachment; filename=\"windlass.toml\"\n\n{GOOD}"),
    ]);
    let other = multipart(&[&format!("Content-Type: text/x-windlass\n\n{GOOD}")]);
    let windows = document.replace('\n', "\r\n");
    for bytes in [
        GOOD.as_bytes().to_vec(),
        gzip(GOOD.as_bytes()),
        gzip(document.as_bytes()),
        document.into_bytes(),
        named.into_bytes(),
        other.into_bytes(),
        windows.into_bytes(),
    ] {
        assert_eq!(UserData::parse(&bytes), Ok(good()), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_part_may_be_base64_and_gzipped_as_cloud_inits_tools_write_it() {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(gzip(GOOD.as_bytes()));
    let part = format!(
        "Content-Type: application/windlass+toml\nContent-Transfer-Encoding: base64\n\n{body}\n"
    );
    assert_eq!(UserData::parse(multipart(&[SCRIPT, &part]).as_bytes()), Ok(good()));
}

#[test]
fn a_pinned_revision_is_a_sha_256() {
    let digits = "0123456789abcdef".repeat(4);
    let pinned = format!("{GOOD}config = \"sha256:{digits}\"\n");
    let config = UserData::parse(pinned.as_bytes()).expect("good UserData").config;
    assert_eq!(config.map(|hash| hash.to_string()), Some(digits));
    let short = format!("{GOOD}config = \"sha256:6f1c\"\n");
    assert_eq!(
        refused(short.as_bytes()),
        "UserData, line 4: `config` is `sha256:6f1c`, wanted `sha256:` and 64 hexadecimal digits"
    );
}

#[test]
fn nothing_at_all_is_said_to_be_empty() {
    for bytes in [&b""[..], b"\n \n"] {
        assert_eq!(
            refused(bytes),
            "UserData: is empty, wanted TOML\n  hint: UserData names the cluster: \
             cluster = \"prod\", bucket = \"acme-kubernetes\", group = \"workers\", each on a line"
        );
    }
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    assert_eq!(
        refused(b"cluster = \"prod\"\nbucket: acme\n"),
        "UserData, line 2: is not TOML: key with no value, expected `=`"
    );
    assert!(refused(b"#!/bin/sh\necho hello\n").starts_with("UserData: is a script, and"));
    assert!(refused(b"#cloud-config\nusers: []\n").starts_with("UserData: is a cloud-config"));
    assert!(refused(b"Y2x1c3RlciA9ICJwcm9kIgo=\n").starts_with("UserData: looks like base64"));
    assert!(refused(b"cluster = \"\xff\"").starts_with("UserData: is not text: byte 11 is 0xff"));
}

#[test]
fn more_than_ec2_takes_is_refused() {
    assert_eq!(
        refused(&vec![b'#'; 20 * 1024]),
        "UserData: is 20480 bytes, wanted at most 16384\n  \
         hint: EC2 takes no more; gzip it, or move other parts to S3"
    );
}

#[test]
fn a_misspelt_key_is_named_once_with_the_one_that_was_meant() {
    assert_eq!(
        refused(GOOD.replace("bucket", "buckt").as_bytes()),
        "UserData, line 2: `buckt` is not a known key\n  hint: did you mean `bucket`?"
    );
}

#[test]
fn a_mime_document_without_our_part_names_the_parts_it_has() {
    let document = multipart(&[SCRIPT, "Content-Type: text/cloud-config\n\npackages: []\n"]);
    assert_eq!(
        refused(document.as_bytes()),
        "UserData: is a MIME document without a part for windlass: found `text/x-shellscript` \
         (setup.sh), `text/cloud-config`, wanted one of content type \
         `application/windlass+toml`\n  \
         hint: a part with the file name `windlass.toml` is taken too"
    );
    let twice = multipart(&[&ours(), &ours()]);
    assert_eq!(
        refused(twice.as_bytes()),
        "UserData: is a MIME document with 2 parts for windlass, wanted one: \
         `application/windlass+toml`, `application/windlass+toml`"
    );
}

#[test]
fn a_gzip_bomb_is_refused_before_it_unfolds() {
    let bomb = gzip(&vec![0; 8 << 20]);
    assert!(bomb.len() < 16 * 1024, "{} bytes", bomb.len());
    assert_eq!(
        refused(&bomb),
        format!(
            "UserData: unpacks from {} bytes of gzip to more than 262144, wanted at most 262144",
            bomb.len()
        )
    );
    let cut = &gzip(GOOD.as_bytes())[..20];
    assert!(refused(cut).starts_with("UserData: begins as gzip but cannot be unpacked: "));
}
