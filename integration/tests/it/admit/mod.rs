//! The real admitters and simulated instances against the region, in process and on a paused clock.

mod agent;
mod scene;
mod simulation;
mod storm;
