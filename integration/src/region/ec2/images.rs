//! Machine images. Nothing is in them: a lab's machines have a tree of their own. Two are enough
//! for RunInstances to check the architecture.

use std::collections::BTreeMap;

/// The image for `x86_64`.
pub const IMAGE_X86_64: &str = "ami-0a1b2c3d4e5f60718";
/// The image for `arm64`.
pub const IMAGE_ARM64: &str = "ami-0f1e2d3c4b5a69788";

/// Architectures by image ID.
pub(super) fn offered() -> BTreeMap<String, &'static str> {
    BTreeMap::from([(IMAGE_X86_64.to_owned(), "x86_64"), (IMAGE_ARM64.to_owned(), "arm64")])
}
