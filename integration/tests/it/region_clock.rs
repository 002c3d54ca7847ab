//! Time in the region: states that move by themselves, and a clock that tests move.

use std::time::Duration;

use integration::region::Event;
use integration::region::ec2::Timing;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::region_fixture::Fixture;

fn terminate(fixture: &Fixture) {
    fixture.region.with(|state, now| state.ec2.terminate(&fixture.instance, now)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn states_move_when_their_time_has_come_though_nobody_asks() {
    let fixture = Fixture::new();
    fixture.region.with(|state, _| state.ec2.timing = Timing::lifelike());
    let mut events = fixture.region.events();
    let ticking = tokio::spawn(fixture.region.clone().run());
    let begun = Instant::now();
    terminate(&fixture);
    let id = fixture.instance.clone();
    assert_eq!(events.recv().await, Ok(Event::InstanceShuttingDown { id: id.clone() }));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(events.recv().await, Ok(Event::InstanceTerminated { id }));
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    ticking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_moved_moves_states_and_breaks_no_signature() {
    let fixture = Fixture::new();
    fixture.region.with(|state, _| state.ec2.timing = Timing::lifelike());
    let mut events = fixture.region.events();
    let ticking = tokio::spawn(fixture.region.clone().run());
    terminate(&fixture);
    let id = fixture.instance.clone();
    assert_eq!(events.recv().await, Ok(Event::InstanceShuttingDown { id: id.clone() }));
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
    let begun = Instant::now();
    fixture.region.clock().advance(Duration::from_secs(600));
    assert_eq!(events.recv().await, Ok(Event::InstanceTerminated { id }));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let client = aws_sdk_sts::Client::new(&fixture.sdk(&fixture.operator));
    assert!(client.get_caller_identity().send().await.is_ok());
    ticking.abort();
}
