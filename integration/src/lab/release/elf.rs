//! What a program is for and how it is linked, as its ELF headers say. Source: elf(5).

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use windlass::bake::Architecture;

/// What the kernel has to find beside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linkage {
    machine: u64,
    position_independent: bool,
    interpreter: bool,
    libraries: usize,
}

/// `EM_X86_64` and `EM_AARCH64`
const MACHINES: [(u64, Architecture); 2] = [(62, Architecture::Amd64), (183, Architecture::Arm64)];
/// `ET_DYN`
const POSITION_INDEPENDENT: u64 = 3;
/// `PT_DYNAMIC`
const DYNAMIC: u64 = 2;
/// `PT_INTERP`
const INTERPRETER: u64 = 3;
/// `DT_NEEDED`
const LIBRARY: u64 = 1;

impl Linkage {
    pub fn of(program: &Path) -> Result<Self> {
        let file =
            fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        Self::read(&file)
            .with_context(|| format!("{} is no 64-bit little-endian ELF file", program.display()))
    }

    fn read(file: &[u8]) -> Option<Self> {
        // Magic, 64 bits, little-endian.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let (first, size, count) =
            (number(file, 0x20, 8)?, number(file, 0x36, 2)?, number(file, 0x38, 2)?);
        let mut linkage = Self {
            machine: number(file, 0x12, 2)?,
            position_independent: number(file, 0x10, 2)? == POSITION_INDEPENDENT,
            interpreter: false,
            libraries: 0,
        };
        for header in (0..count).map(|n| first + n * size) {
            match number(file, header, 4)? {
                INTERPRETER => linkage.interpreter = true,
                DYNAMIC => {
                    let (at, bytes) = (number(file, header + 8, 8)?, number(file, header + 32, 8)?);
                    let tags = (0..bytes / 16).map(|n| number(file, at + n * 16, 8));
                    linkage.libraries = tags.filter(|tag| *tag == Some(LIBRARY)).count();
                }
                _ => {}
            }
        }
        Some(linkage)
    }

    pub fn is_static_pie(self) -> bool {
        self.position_independent && !self.interpreter && self.libraries == 0
    }

    /// What it runs on; `None` is something that EC2 has no instances of.
    pub fn architecture(self) -> Option<Architecture> {
        let mut machines = MACHINES.into_iter();
        machines.find(|(machine, _)| *machine == self.machine).map(|(_, architecture)| architecture)
    }
}

/// The contents of a section, by its name; `None` where there is none.
pub fn section<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (first, size, count, names) = (
        number(file, 0x28, 8)?,
        number(file, 0x3a, 2)?,
        number(file, 0x3c, 2)?,
        number(file, 0x3e, 2)?,
    );
    let contents = |header: u64| {
        let (at, bytes) = (number(file, header + 24, 8)?, number(file, header + 32, 8)?);
        let (at, bytes) = (usize::try_from(at).ok()?, usize::try_from(bytes).ok()?);
        file.get(at..at.checked_add(bytes)?)
    };
    let headers = (0..count).map(|n| first + n * size);
    let names = contents(first + names * size)?;
    let mut named = headers.filter(|header| {
        let at = number(file, *header, 4).and_then(|at| usize::try_from(at).ok());
        let found = at.and_then(|at| names.get(at..)).unwrap_or_default();
        found.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    });
    contents(named.next()?)
}

fn number(file: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let found = file.get(at..at.checked_add(bytes)?)?;
    Some(found.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.architecture() {
            Some(architecture) => write!(f, "{architecture}: ")?,
            None => write!(f, "machine {}: ", self.machine)?,
        }
        if self.is_static_pie() {
            return f.write_str("static-pie, no interpreter, no libraries");
        }
        let kind = if self.position_independent { "DYN" } else { "EXEC" };
        let interpreter = if self.interpreter { "an" } else { "no" };
        write!(f, "{kind} with {interpreter} interpreter and {} libraries", self.libraries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers only: an ELF header, program headers of these types, and a dynamic section.
    fn file(kind: u16, headers: &[u32], tags: &[u64]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x10..0x12].copy_from_slice(&kind.to_le_bytes());
        file[0x12] = 183;
        file[0x20..0x28].copy_from_slice(&64_u64.to_le_bytes());
        file[0x36..0x38].copy_from_slice(&56_u16.to_le_bytes());
        file[0x38..0x3a].copy_from_slice(&(headers.len() as u16).to_le_bytes());
        let section = 64 + 56 * headers.len() as u64;
        for kind in headers {
            let mut header = vec![0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[8..16].copy_from_slice(&section.to_le_bytes());
            header[32..40].copy_from_slice(&(16 * tags.len() as u64).to_le_bytes());
            file.extend(header);
        }
        file.extend(tags.iter().flat_map(|tag| [tag.to_le_bytes(), [0; 8]].concat()));
        file
    }

    #[test]
    fn only_what_needs_nothing_and_may_lie_anywhere_is_a_static_pie() {
        let is = |file: &[u8]| Linkage::read(file).expect("an ELF file").is_static_pie();
        assert!(is(&file(3, &[1, 2], &[5, 6])));
        assert!(!is(&file(2, &[1, 2], &[5, 6])), "fixed addresses");
        assert!(!is(&file(3, &[1, 2, 3], &[5, 6])), "an interpreter");
        assert!(!is(&file(3, &[1, 2], &[5, 1])), "a library");
        assert_eq!(Linkage::read(b"#!/bin/sh"), None);
        assert_eq!(Linkage::read(&file(3, &[2], &[])[..70]), None, "cut short");
    }

    #[test]
    fn the_machine_says_the_architecture() {
        let mut file = file(3, &[1, 2], &[]);
        let of = |file: &[u8]| Linkage::read(file).expect("an ELF file").architecture();
        assert_eq!(of(&file), Some(Architecture::Arm64));
        file[0x12] = 62;
        assert_eq!(of(&file), Some(Architecture::Amd64));
        file[0x12] = 243;
        assert_eq!(of(&file), None, "RISC-V");
    }

    #[test]
    fn a_section_is_found_by_its_whole_name() {
        let names = b"\0.list\0.list-of-names\0";
        let contents = b"contents";
        let mut file = vec![0; 64];
        let headers = 64 + names.len() + contents.len();
        file[0x28..0x30].copy_from_slice(&(headers as u64).to_le_bytes());
        file[0x3a..0x40].copy_from_slice(&[64, 0, 2, 0, 1, 0]);
        file.extend(names);
        file.extend(contents);
        for (name, at, bytes) in [(1, 64 + names.len(), contents.len()), (7, 64, names.len())] {
            let mut header = [0; 64];
            header[0] = name;
            header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(bytes as u64).to_le_bytes());
            file.extend(header);
        }
        assert_eq!(section(&file, ".list"), Some(&contents[..]));
        assert_eq!(section(&file, ".list-of-names"), Some(&names[..]));
        assert_eq!(section(&file, ".list-of"), None);
        assert_eq!(section(&file[..headers + 70], ".list-of-names"), None, "cut short");
    }
}
