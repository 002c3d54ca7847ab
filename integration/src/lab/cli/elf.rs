//! How a program is linked, as its ELF headers say. Source: elf(5).

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What the kernel has to find beside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linkage {
    position_independent: bool,
    interpreter: bool,
    libraries: usize,
}

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
}

fn number(file: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let found = file.get(at..at.checked_add(bytes)?)?;
    Some(found.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
}
