//! All integration tests in one program: each link is big.

mod lab_node;
mod region_s3;
