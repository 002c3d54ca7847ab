//! The Packer templates, judged by Packer itself. Debian's is older than what AMIs need today, so this
//! also says exactly what of the templates it does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::lab::artifacts::{self, Cache, file_digest};
use integration::lab::progress::Progress;
use integration::lab::run::{command, output};

/// What Packer learnt after 1.6.6, each under the name that it complains of.
const NEWER: [&str; 3] = ["deprecate_at", "imds_support", "metadata_options"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packer/provision.sh");
const PLUGINS: &str = "plugins.pkr.hcl";
const AMAZON: &str = "amazon.pkr.hcl";

/// A copy of the templates in this folder, which goes with it.
pub struct Templates {
    packer: PathBuf,
    pub folder: PathBuf,
}

impl Templates {
    pub fn copied(folder: PathBuf) -> Self {
        let cache = Cache::open().unwrap();
        let packer = artifacts::packer(&cache, &Progress::quiet()).unwrap();
        for folder in ["packer", "selinux"].map(|name| folder.join(name)) {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let from = from.join(folder.file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            for file in fs::read_dir(from).unwrap().flatten() {
                fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        }
        Self { packer, folder }
    }

    /// Without what Debian's Packer does not know.
    pub fn older(self) -> Self {
        fs::remove_file(self.file(PLUGINS)).unwrap();
        self.without_newer();
        self
    }

    fn without_newer(&self) {
        for name in NEWER {
            self.change(AMAZON, |text| without(text, name));
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("packer").join(name)
    }

    fn change(&self, name: &str, change: impl Fn(&str) -> String) {
        let file = self.file(name);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, change(&text)).unwrap();
    }

    /// Packer with a subcommand and these variables, in the folder, to which paths are relative.
    pub fn packer(&self, words: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut packer = command(&self.packer, words);
        packer.args(variables.iter().map(|(name, value)| format!("-var={name}={value}")));
        packer.arg("packer").current_dir(&self.folder).env("CHECKPOINT_DISABLE", "1");
        packer.env("PACKER_CONFIG_DIR", &self.folder);
        packer
    }

    fn validate(&self) -> Output {
        for (file, contents) in
            [("bake.toml", "kubernetes = \"v1.37.2\"\n"), ("windlass", ""), ("disk", "")]
        {
            fs::write(self.folder.join(file), contents).unwrap();
        }
        let variables = [
            ("bake", "bake.toml"),
            ("windlass_amd64", "windlass"),
            ("windlass_arm64", "windlass"),
            ("disk", "disk"),
        ];
        self.packer(&["validate"], &variables).output().unwrap()
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn said(output: &Output) -> String {
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
    let folder = std::env::temp_dir().join(format!("windlass-packer-{}", std::process::id()));
    let templates = Templates::copied(folder);
    let refused = errors(&templates.validate());
    assert!(refused.contains("required_plugins"), "{refused:?}");
    fs::remove_file(templates.file(PLUGINS)).unwrap();
    assert_eq!(errors(&templates.validate()), BTreeSet::from(NEWER.map(str::to_owned)));

    // It looks at values only where it knows every name.
    templates.without_newer();
    let accepted = templates.validate();
    assert!(accepted.status.success(), "{}", said(&accepted));
    assert_eq!(errors(&accepted), BTreeSet::new());

    templates.change(AMAZON, |text| text.replace("throughput            = 125", "throughput = 1"));
    let refused = templates.validate();
    assert!(
        said(&refused).contains("Throughput must be between 125 and 1000"),
        "{}",
        said(&refused)
    );
    templates.change(AMAZON, |text| text.replace("encrypt_boot ", "encrypt_bott "));
    assert_eq!(errors(&templates.validate()), BTreeSet::from(["encrypt_bott".to_owned()]));
}

/// The tag of an AMI says which program is in it: it is looked at before anything is done.
#[test]
fn a_builder_whose_program_is_not_what_its_tag_will_say_is_not_touched() {
    let folder = std::env::temp_dir().join(format!("windlass-provision-{}", std::process::id()));
    // Nothing else is in PATH: a script that goes on gets no further.
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).unwrap();
    let sha256sum = output(&mut command("sh", ["-c", "command -v sha256sum"])).unwrap();
    std::os::unix::fs::symlink(sha256sum.trim(), programs.join("sha256sum")).unwrap();
    let program = folder.join("windlass");
    fs::write(&program, "a program").unwrap();
    let digest = file_digest(&program).unwrap();
    let provision = |tag: Option<&str>| {
        let mut script = command("/bin/sh", [SCRIPT]);
        script.arg(&folder).arg("bake.toml").env_clear().env("PATH", &programs);
        said(&script.envs(tag.map(|tag| ("WINDLASS_SHA256", tag))).output().unwrap())
    };
    for wrong in ["", &digest[1..], &"0".repeat(64)] {
        let said = provision(Some(wrong));
        let wanted =
            format!("the program windlass has the SHA-256 {digest}, wanted `{wrong}`\nhint: ");
        assert!(said.starts_with(&wanted), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    for good in [Some(digest.as_str()), None] {
        let said = provision(good);
        assert!(!said.contains("SHA-256") && said.contains("not found"), "{said}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_provisions_an_image_is_a_script_that_a_shell_can_read() {
    let read = command("sh", ["-n", SCRIPT]).output().unwrap();
    assert!(read.status.success(), "{}", said(&read));
}
