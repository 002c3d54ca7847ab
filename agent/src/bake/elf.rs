//! What a program is for, by its first bytes.
//!
//! Source: "Tool Interface Standard (TIS) Executable and Linking Format", ELF header; machine
//! numbers of the System V ABI's registry.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The architectures that EC2 has instances of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    #[value(alias = "x86_64")]
    Amd64,
    #[value(alias = "aarch64")]
    Arm64,
}

/// What the first bytes of a file say that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// For this architecture.
    Native(Architecture),
    /// For another, by its number.
    Foreign(u16),
    /// A script: its interpreter decides.
    Script,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by a program of this name, which windlass cannot undo.
    Packed(&'static str),
    /// Nothing that a kernel would run.
    Unknown,
}

impl Program {
    /// Looks at the file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        File::open(path)?.take(20).read_to_end(&mut head)?;
        Ok(Self::of_bytes(&head))
    }

    fn of_bytes(head: &[u8]) -> Self {
        match head {
            [0x7f, b'E', b'L', b'F', ..] if head.len() >= 20 => {
                // Byte 5 says the byte order of the rest: 1 is little-endian.
                let machine = [head[18], head[19]];
                let machine = match head[5] {
                    1 => u16::from_le_bytes(machine),
                    _ => u16::from_be_bytes(machine),
                };
                match machine {
                    62 => Self::Native(Architecture::Amd64),
                    183 => Self::Native(Architecture::Arm64),
                    other => Self::Foreign(other),
                }
            }
            [b'#', b'!', ..] => Self::Script,
            [0x1f, 0x8b, ..] => Self::Gzip,
            // RFC 8878; "The .xz File Format"; bzip2 has no standard.
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Packed("zstd"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Packed("xz"),
            [b'B', b'Z', b'h', ..] => Self::Packed("bzip2"),
            _ => Self::Unknown,
        }
    }

    /// Whether a kernel of this architecture runs it.
    pub fn runs_on(self, architecture: Architecture) -> bool {
        self == Self::Native(architecture) || self == Self::Script
    }
}

impl Architecture {
    /// What this program runs on.
    pub fn own() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(architecture) => write!(f, "a program for {architecture}"),
            Self::Foreign(machine) => write!(f, "a program for the ELF machine {machine}"),
            Self::Script => f.write_str("a script"),
            Self::Gzip => f.write_str("a gzip file"),
            Self::Packed(packer) => write!(f, "a file of {packer}"),
            Self::Unknown => f.write_str("no program"),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The start of a program for `architecture`, with `more` after it.
    pub fn program(architecture: Architecture, more: &str) -> Vec<u8> {
        let machine = match architecture {
            Architecture::Amd64 => 62,
            Architecture::Arm64 => 183,
        };
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(16, 0);
        head.extend([2, 0, machine, 0]);
        head.extend(more.as_bytes());
        head
    }

    #[test]
    fn a_program_is_known_by_its_first_bytes() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let found = Program::of_bytes(&program(architecture, "code"));
            assert_eq!(found, Program::Native(architecture));
        }
        let mut riscv = program(Architecture::Amd64, "");
        riscv[18] = 243;
        assert_eq!(Program::of_bytes(&riscv), Program::Foreign(243));
        assert_eq!(Program::of_bytes(b"#!/bin/sh\n"), Program::Script);
        assert_eq!(Program::of_bytes(b"\x1f\x8b\x08"), Program::Gzip);
        assert_eq!(Program::of_bytes(b"\xfd7zXZ\0\0"), Program::Packed("xz"));
        assert_eq!(Program::of_bytes(b"BZh91AY"), Program::Packed("bzip2"));
        assert_eq!(Program::of_bytes(b"\x7fELF"), Program::Unknown);
        assert_eq!(Program::of_bytes(b""), Program::Unknown);
    }
}
