//! The real admitters and simulated instances against the region, in process and on a paused clock.

mod again;
mod agent;
mod characters;
mod cluster;
mod control_plane;
mod invariants;
mod kubernetes;
mod roads;
mod route_faults;
mod scene;
mod simulation;
mod storm;
