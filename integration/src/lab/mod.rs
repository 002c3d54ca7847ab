//! Nodes, networks and a real control plane around the region.
