//! One AWS region in one process: IMDSv2, S3, EC2, Auto Scaling and STS over their real wire
//! protocols, with one state under one lock, one clock that tests can move, and faults by rule.
//!
//! Every request, from a socket or in process, takes the same way: [`Region::serve`] (the four
//! services) or [`Region::serve_imds`].

pub mod clock;
