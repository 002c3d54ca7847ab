//! A netlink socket, and what the kernel answers on one when it refuses.

use std::io;

use anyhow::Context;
use rtnetlink::Handle;

/// Strict: the kernel looks at what a listing asks for, and leaves out what does not fit, so that
/// ten thousand routes of somebody else cost us no message. (Since Linux 4.20,
/// `NETLINK_GET_STRICT_CHK` in netlink(7).)
///
/// Keep it until the last answer has come: the connection ends with its last handle, and a listing
/// that it was still reading then looks complete.
pub(super) fn handle() -> anyhow::Result<Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection_with_strict_check().context("opening a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The kernel's own reason, where it gave one.
pub(super) fn reason(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// Whether the kernel said this error number.
pub(super) fn is(error: &io::Error, number: nix::errno::Errno) -> bool {
    error.raw_os_error() == Some(number as i32)
}
