//! nftables' table is the planned one: compared as a whole, replaced as a whole.

use super::super::Ensured;
use crate::host::Machine;
use crate::plan::network::PacketFilter;

/// Keeps the table. It remembers how this machine's nft lists it: another version may use other
/// words than ours, and a table that only reads differently is not replaced again and again.
#[derive(Debug, Default)]
pub struct Filter {
    listed: Option<(PacketFilter, String)>,
}

impl Filter {
    /// The kernel has this table, and nothing else in it.
    pub async fn ensure(
        &mut self,
        machine: &Machine,
        wanted: &PacketFilter,
    ) -> anyhow::Result<Ensured> {
        if let Some(found) = machine.packet_filter().await?
            && self.is(&found, wanted)
        {
            return Ok(Ensured::Unchanged);
        }
        machine.replace_packet_filter(wanted).await?;
        self.listed = machine.packet_filter().await?.map(|listed| (wanted.clone(), listed));
        Ok(Ensured::Changed)
    }

    fn is(&self, found: &str, wanted: &PacketFilter) -> bool {
        let listed = self.listed.as_ref();
        is_planned(found, wanted)
            || listed.is_some_and(|(filter, listed)| filter == wanted && same(listed, found))
    }
}

/// The kernel has this table, and nothing else in it. For whoever looks once: [`Filter`] lists anew what
/// it has replaced, which is one more start of nft.
pub async fn ensure_filter(machine: &Machine, wanted: &PacketFilter) -> anyhow::Result<Ensured> {
    match machine.packet_filter().await? {
        Some(found) if is_planned(&found, wanted) => Ok(Ensured::Unchanged),
        _ => {
            machine.replace_packet_filter(wanted).await?;
            Ok(Ensured::Changed)
        }
    }
}

/// Whether a listing is of this table.
pub(in crate::converge) fn is_planned(found: &str, wanted: &PacketFilter) -> bool {
    same(found, &wanted.to_string())
}

/// But for indentation.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}
