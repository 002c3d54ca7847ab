//! Whether a program is in the image.

use super::Machine;

/// Where systemd starts programs from that are named without a folder (systemd.exec(5), `$PATH`).
const FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Machine {
    /// By its path, or by a name that is looked up where the system's programs are.
    pub fn has_program(&self, program: &str) -> bool {
        match program.starts_with('/') {
            true => self.path(program).is_file(),
            false => FOLDERS.iter().any(|folder| self.path(folder).join(program).is_file()),
        }
    }
}
