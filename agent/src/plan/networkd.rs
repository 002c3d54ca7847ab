//! systemd-networkd takes away what it did not make when it starts or configures a link anew. Told
//! not to, it leaves our routes and rules. On a first boot it has started before it is told so.
//!
//! Source: networkd.conf(5), `ManageForeignRoutes=` and `ManageForeignRoutingPolicyRules=`.

use super::HostPlan;

/// networkd reads it when it starts; what it did before, it did before there was a pod.
const DROP_IN: &str = "/etc/systemd/networkd.conf.d/50-windlass.conf";

const CONTENTS: &str = "\
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
";

pub(super) fn plan(plan: &mut HostPlan) {
    plan.write(DROP_IN, 0o644, CONTENTS.to_owned());
}
