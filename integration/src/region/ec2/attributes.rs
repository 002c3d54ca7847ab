//! What can be changed of an interface: EC2 API Reference, "ModifyNetworkInterfaceAttribute",
//! "ModifyInstanceAttribute".

use super::{Ec2, errors};
use crate::region::call::ServiceError;

/// One change: "You can specify only one attribute at a time."
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    SourceDestCheck(bool),
    Description(String),
    Groups(Vec<String>),
    /// Of the attachment with this ID.
    DeleteOnTermination(String, bool),
}

impl Ec2 {
    pub fn modify_interface(
        &mut self,
        id: &str,
        change: InterfaceChange,
    ) -> Result<(), ServiceError> {
        let vpc = self.interface(id)?.vpc.clone();
        let groups = match &change {
            InterfaceChange::Groups(named) => self.groups_in(&vpc, named)?,
            _ => Vec::new(),
        };
        let held = self.interfaces.get_mut(id).ok_or_else(|| errors::no_interface(id))?;
        match change {
            InterfaceChange::SourceDestCheck(on) => held.source_dest_check = on,
            InterfaceChange::Description(text) => held.description = text,
            InterfaceChange::Groups(_) => held.groups = groups,
            InterfaceChange::DeleteOnTermination(attachment, on) => {
                match held.attachment.as_mut().filter(|with| with.id == attachment) {
                    Some(with) => with.delete_on_termination = on,
                    None => return Err(errors::no_attachment(&attachment)),
                }
            }
        }
        self.touch_network();
        Ok(())
    }
}
