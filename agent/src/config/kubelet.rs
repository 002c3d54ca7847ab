//! How kubelet is to differ from what Windlass would plan.

use std::collections::BTreeMap;

use serde_json::Value;

use super::entry::Entry;
use super::raw::Section;
use super::words::nearest;
use super::{Kubelet, MaxPods, ReservedFormula};

/// The table `[kubelet]`; what it does not say is as in `base`.
pub(super) fn read(section: &Section<'_>, base: Kubelet) -> Option<Kubelet> {
    let max_pods = section.or("max_pods", base.max_pods, |entry| match entry.str() {
        Some(_) => entry.choice(&[("eks", MaxPods::Eks), ("gke", MaxPods::Gke)]),
        None => entry.integer(1..=1000).map(MaxPods::Fixed),
    });
    let reserved = section.or("reserved", base.reserved, |entry| {
        entry.choice(&[
            ("eks", ReservedFormula::Eks),
            ("gke", ReservedFormula::Gke),
            ("none", ReservedFormula::None),
        ])
    });
    let overrides = section.or("overrides", BTreeMap::new(), |entry| entry.map(field));
    let mut merged = Value::Object(base.overrides.into_iter().collect());
    merge(&mut merged, Value::Object(overrides?.into_iter().collect()));
    let Value::Object(merged) = merged else { return None };
    Some(Kubelet {
        max_pods: max_pods?,
        reserved: reserved?,
        overrides: merged.into_iter().collect(),
    })
}

/// Lays `over` over `base`: objects key by key, everything else whole, as kubelet itself does with
/// its drop-in files ("Set Kubelet Parameters Via A Configuration File", kubelet configuration
/// merging order).
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// One overridden field of KubeletConfiguration.
fn field(key: &str, entry: Entry<'_>) -> Option<Value> {
    if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| *owned == key) {
        return entry.problem_with_hint("cannot be overridden: windlass owns it", *instead);
    }
    let known = FIELDS.split_whitespace();
    if !known.clone().any(|field| field == key) {
        let plain = key.replace(['-', '_'], "");
        if let Some(meant) = nearest(&plain, known).filter(|meant| looks_like(&plain, meant)) {
            let message = "is not a field of KubeletConfiguration";
            return entry.problem_with_hint(message, format!("did you mean `{meant}`?"));
        }
    }
    entry.json()
}

/// A field that is not known may be new in a later kubelet, so only what looks like a slip is
/// refused.
fn looks_like(found: &str, known: &str) -> bool {
    strsim::damerau_levenshtein(&found.to_lowercase(), &known.to_lowercase()) <= 2
}

/// Fields that would lock a node out or break a promise if they were another's, and what to do.
const OWNED: [(&str, &str); 18] = [
    ("apiVersion", "leave it out"),
    ("authentication", "clients are verified by the cluster's CA; leave it out"),
    ("authorization", "the API server decides (Webhook); leave it out"),
    ("cgroupDriver", "it follows the host's cgroup version; leave it out"),
    ("clusterDomain", "set `network.domain`"),
    ("containerRuntimeEndpoint", "the image's containerd is used; leave it out"),
    ("kind", "leave it out"),
    ("maxPods", "set `kubelet.max_pods`"),
    ("podCIDR", "pod CIDRs are leased; set `network.pods`"),
    ("providerID", "it is the instance's; leave it out"),
    ("readOnlyPort", "it would show every pod to anybody; leave it out"),
    ("registerNode", "a node that does not register is never Ready; leave it out"),
    ("registerWithTaints", "set the group's `taints`"),
    ("rotateCertificates", "the first certificate lives 24 h at most; leave it out"),
    ("runOnce", "leave it out"),
    ("serverTLSBootstrap", "serving certificates come from the cluster; leave it out"),
    ("tlsCertFile", "serving certificates come from the cluster; leave it out"),
    ("tlsPrivateKeyFile", "serving certificates come from the cluster; leave it out"),
];

/// Source: `KubeletConfiguration` of k8s.io/kubelet 0.37.2, config/v1beta1.
const FIELDS: &str = "
address allowedUnsafeSysctls authentication authorization cgroupDriver cgroupRoot cgroupsPerQOS
clusterDNS clusterDomain configMapAndSecretChangeDetectionStrategy containerLogMaxFiles
containerLogMaxSize containerLogMaxWorkers containerLogMonitorInterval containerRuntimeEndpoint
contentType cpuCFSQuota cpuCFSQuotaPeriod cpuManagerPolicy cpuManagerPolicyOptions
cpuManagerReconcilePeriod crashLoopBackOff defaultPodSysctls enableContentionProfiling
enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery
enforceNodeAllocatable eventBurst eventRecordQPS evictionHard evictionMaxPodGracePeriod
evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft evictionSoftGracePeriod
failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode healthzBindAddress
healthzPort httpCheckFrequency imageGCHighThresholdPercent imageGCLowThresholdPercent
imageMaximumGCAge imageMinimumGCAge imagePullCredentialsVerificationPolicy imageServiceEndpoint
iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS
kubeReserved kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging
makeIPTablesUtilChains maxOpenFiles maxParallelImagePulls maxPods memoryManagerPolicy
memoryReservationPolicy memorySwap memoryThrottlingFactor mergeDefaultEvictionSettings
nodeLeaseDurationSeconds nodeStatusMaxImages nodeStatusReportFrequency nodeStatusUpdateFrequency
oomScoreAdj podCIDR podLogsDir podPidsLimit podsPerCore port preloadedImagesVerificationAllowlist
protectKernelDefaults providerID qosReserved readOnlyPort registerNode registerWithTaints
registryBurst registryPullQPS reservedMemory reservedSystemCPUs resolvConf rotateCertificates
runOnce runtimeRequestTimeout seccompDefault serializeImagePulls serverTLSBootstrap
showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority
shutdownGracePeriodCriticalPods singleProcessOOMKill staticPodPath staticPodURL
staticPodURLHeader streamingConnectionIdleTimeout syncFrequency systemCgroups systemReserved
systemReservedCgroup tlsCertFile tlsCipherSuites tlsCurvePreferences tlsMinVersion
tlsPrivateKeyFile topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing
userNamespaces volumePluginDir volumeStatsAggPeriod
";
