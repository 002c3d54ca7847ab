//! `/etc/windlass/image.spdx.json`: what came into the image, for those who look for licences and
//! for versions with known holes.
//!
//! Source: "SPDX Specification" 2.3, its JSON schema. The document's namespace is made of a digest
//! of its contents and its date is `SOURCE_DATE_EPOCH`, or the epoch itself: the same parts make
//! the same file.

use anyhow::Context;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::inventory::{Inventory, Listed};
use crate::dependencies::{Dependency, Kind};
use crate::pki::sha256_hex;

/// Beside image.json.
pub const PLACE: &str = "/etc/windlass/image.spdx.json";

/// When the document was made, as reproducible builds say it.
pub fn created() -> anyhow::Result<OffsetDateTime> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().with_context(|| {
            format!("SOURCE_DATE_EPOCH is `{text}`, wanted seconds since the epoch")
        })?,
        Err(_) => 0,
    };
    OffsetDateTime::from_unix_timestamp(seconds).context("SOURCE_DATE_EPOCH")
}

/// The document. `crates` are those of the part `windlass`; those that only took part in its build are
/// not in the image, and not in the document.
pub fn document(
    inventory: &Inventory,
    crates: &[Dependency],
    created: OffsetDateTime,
) -> anyhow::Result<String> {
    let linked = crates.iter().filter(|listed| listed.kind == Kind::Runtime && !listed.root);
    let linked: Vec<&Dependency> = linked.collect();
    let mut packages: Vec<Value> = inventory.parts.iter().map(package).collect();
    packages.extend(linked.iter().map(|listed| crate_package(listed)));
    let describes = |part| relationship("SPDXRef-DOCUMENT", "DESCRIBES", &id(part));
    let mut relationships: Vec<Value> = inventory.parts.iter().map(describes).collect();
    if let Some(windlass) = inventory.parts.iter().find(|part| part.name == "windlass") {
        let contains = |listed| relationship(&id(windlass), "CONTAINS", &crate_id(listed));
        relationships.extend(linked.into_iter().map(contains));
    }
    let contents = serde_json::to_string(&packages).context("writing JSON")?;
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("windlass-image-{}", inventory.architecture),
        "documentNamespace":
            format!("https://windlass.invalid/spdx/{}", sha256_hex(contents.as_bytes())),
        "creationInfo": {
            "created": created.format(&Rfc3339).context("the document's date")?,
            "creators": [format!("Tool: windlass-{}", inventory.windlass)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    Ok(serde_json::to_string_pretty(&document).context("writing JSON")? + "\n")
}

fn package(listed: &Listed) -> Value {
    let licence = listed.licence.as_deref().unwrap_or("NOASSERTION");
    let mut package = json!({
        "SPDXID": id(listed),
        "name": listed.name,
        "downloadLocation": listed.url.as_deref().unwrap_or("NOASSERTION"),
        "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": listed.sha256.as_str()}],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    });
    if let Some(version) = &listed.version {
        package["versionInfo"] = version.as_str().into();
    }
    let places = listed.files.keys().map(|path| path.display().to_string());
    let places: Vec<String> = places.chain(listed.images.iter().cloned()).collect();
    if !places.is_empty() {
        package["comment"] = format!("in the image as {}", places.join(", ")).into();
    }
    package
}

/// Its licence is not in the list that the program carries.
fn crate_package(listed: &Dependency) -> Value {
    // What may follow a `+` in a version is build metadata; purl has it percent-encoded.
    let version = listed.version.replace('+', "%2B");
    json!({
        "SPDXID": crate_id(listed),
        "name": listed.name,
        "versionInfo": listed.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{}@{version}", listed.name),
        }],
    })
}

fn relationship(of: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to })
}

/// Letters, digits, `.` and `-` only; a binary and an image may have one name.
fn id(listed: &Listed) -> String {
    let name = listed.name.replace(['_', '+'], "-");
    let kind = format!("{:?}", listed.kind).to_lowercase();
    format!("SPDXRef-{kind}-{name}-{}", &listed.sha256.as_str()[..8])
}

fn crate_id(listed: &Dependency) -> String {
    format!("SPDXRef-crate-{}-{}", listed.name, listed.version).replace(['_', '+'], "-")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::inventory;
    use super::*;
    use crate::dependencies;

    #[test]
    fn a_document_has_what_a_reader_of_spdx_needs_and_no_clock_in_it() {
        let listed = Listed {
            kind: inventory::Kind::Archive,
            name: "cni_plugins".to_owned(),
            version: Some("v1.9.1".to_owned()),
            licence: Some("Apache-2.0".to_owned()),
            url: Some("https://cni.example/cni.tgz".to_owned()),
            sha256: "ab".repeat(32).parse().expect("a digest"),
            bytes: 12,
            members: None,
            files: [("/opt/cni/bin/bridge".into(), "cd".repeat(32).parse().expect("a digest"))]
                .into(),
            images: Vec::new(),
        };
        let inventory = Inventory {
            architecture: "arm64".to_owned(),
            windlass: "0.1.0".to_owned(),
            parts: vec![listed],
            ..Inventory::default()
        };
        let document = || document(&inventory, &[], OffsetDateTime::UNIX_EPOCH);
        let text = document().expect("a document");
        assert_eq!(text, document().expect("again"));
        let found: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["creationInfo"]["created"], "1970-01-01T00:00:00Z");
        let wanted = json!({
            "SPDXID": "SPDXRef-archive-cni-plugins-abababab",
            "name": "cni_plugins",
            "versionInfo": "v1.9.1",
            "downloadLocation": "https://cni.example/cni.tgz",
            "filesAnalyzed": false,
            "checksums": [{"algorithm": "SHA256", "checksumValue": "ab".repeat(32)}],
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "Apache-2.0",
            "copyrightText": "NOASSERTION",
            "comment": "in the image as /opt/cni/bin/bridge",
        });
        assert_eq!(found["packages"][0], wanted);
        let described = &found["relationships"][0]["relatedSpdxElement"];
        assert_eq!(described, &found["packages"][0]["SPDXID"]);
        let namespace = found["documentNamespace"].as_str().expect("a namespace");
        assert!(namespace.starts_with("https://") && namespace.len() > 80, "{namespace}");
    }

    #[test]
    fn windlass_contains_the_crates_that_are_linked_into_it_and_no_others() {
        let crate_ = |name: &str, version: &str, kind, root| Dependency {
            name: name.to_owned(),
            version: version.to_owned(),
            source: "crates.io".to_owned(),
            kind,
            root,
        };
        let crates = [
            crate_("cc", "1.2.3", Kind::Build, false),
            crate_("serde_yaml", "0.9.34+deprecated", Kind::Runtime, false),
            crate_("windlass", "0.1.0", Kind::Runtime, true),
        ];
        let part = Listed {
            kind: inventory::Kind::Binary,
            name: "windlass".to_owned(),
            version: Some("v0.1.0".to_owned()),
            licence: None,
            url: None,
            sha256: "ab".repeat(32).parse().expect("a digest"),
            bytes: 12,
            members: None,
            files: BTreeMap::new(),
            images: Vec::new(),
        };
        let inventory = Inventory { parts: vec![part], ..Inventory::default() };
        let text = document(&inventory, &crates, OffsetDateTime::UNIX_EPOCH).expect("a document");
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let names: Vec<&Value> =
            found["packages"].as_array().expect("a list").iter().map(|p| &p["name"]).collect();
        assert_eq!(names, ["windlass", "serde_yaml"]);
        assert_eq!(
            found["packages"][1]["externalRefs"][0]["referenceLocator"],
            "pkg:cargo/serde_yaml@0.9.34%2Bdeprecated"
        );
        let serde_yaml = "SPDXRef-crate-serde-yaml-0.9.34-deprecated";
        assert_eq!(found["packages"][1]["SPDXID"], serde_yaml);
        let windlass = "SPDXRef-binary-windlass-abababab";
        assert_eq!(
            found["relationships"],
            json!([
                relationship("SPDXRef-DOCUMENT", "DESCRIBES", windlass),
                relationship(windlass, "CONTAINS", serde_yaml),
            ])
        );
    }

    #[test]
    fn every_crate_of_this_program_has_an_identifier_of_its_own() {
        let crates = dependencies::own().expect("a list");
        let linked: Vec<&Dependency> =
            crates.iter().filter(|listed| listed.kind == Kind::Runtime).collect();
        let ids: BTreeSet<String> = linked.iter().map(|listed| crate_id(listed)).collect();
        assert_eq!(ids.len(), linked.len());
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        assert!(ids.iter().all(|id| id.chars().all(allowed)), "{ids:?}");
    }
}
