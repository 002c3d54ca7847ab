//! One file a wire. Clients know nothing of plans; every one of them is built from the [`Wire`]
//! that `main` hands in, so that a test can put a whole region behind it.

pub mod apiserver;
pub mod autoscaling;
pub mod calls;
pub mod credentials;
pub mod dns;
pub mod ec2;
pub mod http;
pub mod imds;
mod link_local;
pub(crate) mod plain;
pub mod s3;
pub mod sts;
pub(crate) mod trust;
pub mod wire;

pub use wire::Wire;

use std::error::Error;
use std::fmt;

/// An error and what caused it, outermost first, for people: `dispatch failure: io error: tcp
/// connect error: Connection refused`. (The SDK's own display adds how each is written in Rust.)
pub(crate) struct Chain<E>(pub E);

impl<E: Error> fmt::Display for Chain<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            // Some say their cause themselves.
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            (said, source) = (text, error.source());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn an_error_is_said_with_its_causes_and_none_of_them_twice() {
        let inner = Layer { text: "connection refused", source: None };
        let middle = Layer { text: "io error: connection refused", source: Some(inner.into()) };
        let outer = Layer { text: "dispatch failure", source: Some(middle.into()) };
        assert_eq!(Chain(outer).to_string(), "dispatch failure: io error: connection refused");
    }
}
