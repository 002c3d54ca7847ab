//! What the drain has to say on the line of `systemctl status` that it shares with the network.

use std::sync::{Arc, Mutex};

use sd_notify::NotifyState;

/// The line. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Option<String>>>);

impl Status {
    pub(super) fn set(&self, said: Option<String>) {
        let mut held = self.0.lock().expect("nobody panics while holding a line");
        if *held != said {
            if let Some(said) = &said {
                let _ = sd_notify::notify(false, &[NotifyState::Status(said)]);
            }
            *held = said;
        }
    }

    pub(super) fn beside(&self, network: &str) -> String {
        let held = self.0.lock().expect("nobody panics while holding a line");
        held.as_ref().map_or_else(|| network.to_owned(), |said| format!("{said}; {network}"))
    }
}
