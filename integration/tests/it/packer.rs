//! The Packer templates, judged by Packer itself. Debian's is older than what AMIs need today, so this
//! also says exactly what of the templates it does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use integration::lab::artifacts::{self, Cache};
use integration::lab::progress::Progress;
use integration::lab::run::command;

/// What Packer learnt after 1.6.6, each under the name that it complains of.
const NEWER: [&str; 3] = ["deprecate_at", "imds_support", "metadata_options"];
const PLUGINS: &str = "plugins.pkr.hcl";

/// The templates in a folder of the test's, which goes with it, and what `bake` and the sources need.
struct Templates {
    packer: PathBuf,
    folder: PathBuf,
}

impl Templates {
    fn copied() -> Self {
        let packer =
            artifacts::packer(&Arc::new(Cache::open().unwrap()), &Progress::quiet()).unwrap();
        let folder = std::env::temp_dir().join(format!("windlass-packer-{}", std::process::id()));
        for folder in ["packer", "selinux"].map(|name| folder.join(name)) {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let from = from.join(folder.file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            for file in fs::read_dir(from).unwrap().flatten() {
                fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        }
        for (file, contents) in
            [("bake.toml", "kubernetes = \"v1.37.2\"\n"), ("windlass", ""), ("disk", "")]
        {
            fs::write(folder.join(file), contents).unwrap();
        }
        Self { packer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("packer").join(name)
    }

    fn validate(&self) -> Output {
        let mut validate = command(&self.packer, ["validate"]);
        for (variable, file) in [
            ("bake", "bake.toml"),
            ("windlass_amd64", "windlass"),
            ("windlass_arm64", "windlass"),
            ("disk", "disk"),
        ] {
            validate.arg(format!("-var={variable}={}", self.folder.join(file).display()));
        }
        validate.arg(self.folder.join("packer")).env("CHECKPOINT_DISABLE", "1");
        validate.env("PACKER_CONFIG_DIR", &self.folder).output().unwrap()
    }

    fn change(&self, name: &str, change: impl Fn(&str) -> String) {
        let file = self.file(name);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, change(&text)).unwrap();
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// The names of arguments and blocks that Packer does not know; every other error as it is.
fn errors(output: &Output) -> BTreeSet<String> {
    let said = said(output);
    let errors = said.split("Error: ").skip(1);
    let unknown = |error: &str| {
        let error = error.lines().rfind(|line| line.contains(" not expected here."))?;
        error.split('"').nth(1).map(str::to_owned)
    };
    errors.map(|error| unknown(error).unwrap_or_else(|| error.trim().to_owned())).collect()
}

/// Without an argument or a block of this name.
fn without(text: &str, name: &str) -> String {
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        inside |= words == [name, "{"];
        if !inside && !words.starts_with(&[name, "="]) {
            kept += line;
            kept.push('\n');
        }
        inside &= line != "  }";
    }
    kept
}

#[test]
fn packer_accepts_the_templates_but_for_what_it_did_not_know_then() {
    let templates = Templates::copied();
    let refused = errors(&templates.validate());
    assert!(refused.contains("required_plugins"), "{refused:?}");
    fs::remove_file(templates.file(PLUGINS)).unwrap();
    assert_eq!(errors(&templates.validate()), BTreeSet::from(NEWER.map(str::to_owned)));

    // It looks at values only where it knows every name.
    let amazon = "amazon.pkr.hcl";
    for name in NEWER {
        templates.change(amazon, |text| without(text, name));
    }
    let accepted = templates.validate();
    assert!(accepted.status.success(), "{}", said(&accepted));
    assert_eq!(errors(&accepted), BTreeSet::new());

    templates.change(amazon, |text| text.replace("throughput            = 125", "throughput = 1"));
    let refused = templates.validate();
    assert!(
        said(&refused).contains("Throughput must be between 125 and 1000"),
        "{}",
        said(&refused)
    );
    templates.change(amazon, |text| text.replace("encrypt_boot ", "encrypt_bott "));
    assert_eq!(errors(&templates.validate()), BTreeSet::from(["encrypt_bott".to_owned()]));
}

#[test]
fn what_provisions_an_image_is_a_script_that_a_shell_can_read() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer/provision.sh");
    let read = command("sh", ["-n"]).arg(&script).output().unwrap();
    assert!(read.status.success(), "{}", said(&read));
}
