//! All integration tests in one program: each link is big.

mod admit;
mod bare_vpc;
mod boot_apiserver;
mod boot_bad_input;
mod boot_scene;
mod boot_worker;
mod conformance;
mod lab_daemon;
mod lab_kubernetes;
mod lab_node;
mod operator_cluster;
mod operator_nodes;
mod operator_scene;
mod region_autoscaling;
mod region_clients;
mod region_clock;
mod region_ec2;
mod region_faults;
mod region_fixture;
mod region_hops;
mod region_imds;
mod region_policies;
mod region_s3;
mod region_s3_wire;
mod region_signatures;
mod region_simulated;
