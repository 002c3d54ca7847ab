//! SHA-256 and length of what is too big for memory. By ring, whose digest is assembly: the pure
//! one takes seconds for what an image has in a build that is not optimised.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::config::userdata::Sha256Hex;

/// What contents are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digested {
    pub sha256: Sha256Hex,
    pub bytes: u64,
}

/// Reads the file once.
pub fn of_file(path: &Path) -> io::Result<Digested> {
    copy(&mut File::open(path)?, &mut io::sink())
}

/// Copies `from` to `to` and digests what went by.
pub fn copy(from: &mut impl Read, to: &mut impl io::Write) -> io::Result<Digested> {
    let mut hash = Context::new(&SHA256);
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
                to.write_all(&buffer[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digits: String = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digested { sha256: digits.parse().expect("64 hexadecimal digits"), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Secure Hash Standard" (FIPS 180-4), the examples' first message.
    #[test]
    fn a_digest_is_that_of_the_standard() {
        let found = copy(&mut &b"abc"[..], &mut io::sink()).expect("copied");
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((found.sha256.as_str(), found.bytes), (wanted, 3));
    }
}
