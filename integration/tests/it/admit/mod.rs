//! The real admitters and simulated instances against the region, in process and on a paused clock.

mod again;
mod characters;
mod control_plane;
mod hung_change;
mod invariants;
mod kubernetes;
mod roads;
mod route_faults;
mod simulation;
mod storm;
mod warm_pool;
mod window;

use integration::lab::storm::{agent, scene};
