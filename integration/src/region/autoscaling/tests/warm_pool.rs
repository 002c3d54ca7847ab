//! Warm pools.

use super::*;

impl Fixture {
    /// A group of which so many are in service, with a pool.
    fn with_pool(pool: WarmPool, desired: u32, hooks: Vec<NewHook>) -> Self {
        let mut lab = Self::with_hooks(hooks);
        lab.state.autoscaling.put_warm_pool("workers", pool).expect("a group");
        lab.desire(desired);
        lab
    }

    /// Two are to be prepared, at most one of them in the pool.
    fn small(rest: PoolState, hooks: Vec<NewHook>) -> Self {
        let pool = WarmPool { rest, max_prepared: Some(1), ..WarmPool::default() };
        Self::with_pool(pool, 0, hooks)
    }
}

/// Auto Scaling User Guide, "Use lifecycle hooks with a warm pool", and "Retrieve the target
/// lifecycle state through instance metadata".
#[test]
fn an_instance_waits_for_the_launch_hook_once_for_the_pool_and_once_for_service() {
    let mut lab = Fixture::small(PoolState::Stopped, vec![hook(IN, Transition::Launching, 300)]);
    lab.state.autoscaling.timing.proceed = Duration::from_secs(1);
    let id = lab.only();
    let step = |lab: &Fixture| (lab.states()[0], lab.machine(&id), lab.target(&id));
    let at = |state, machine, target: &str| (state, Some(machine), Some(target.to_owned()));
    assert_eq!(step(&lab), at("Warmed:Pending", "pending", "Warmed:Stopped"));
    lab.after(2);
    assert_eq!(step(&lab), at("Warmed:Pending:Wait", "running", "Warmed:Stopped"));
    lab.complete(&id, IN, ActionResult::Continue).expect("waited for");
    assert_eq!(step(&lab), at("Warmed:Pending:Proceed", "running", "Warmed:Stopped"));
    lab.after(1);
    assert_eq!(step(&lab), at("Warmed:Pending:Proceed", "stopping", "Warmed:Stopped"));
    lab.after(2);
    assert_eq!(step(&lab), at("Warmed:Stopped", "stopped", "Warmed:Stopped"));
    assert_eq!(lab.last_activity().status, Status::Successful);

    lab.desire(1);
    assert_eq!(step(&lab), at("Pending", "pending", "InService"));
    lab.after(2);
    assert_eq!(step(&lab), at("Pending:Wait", "running", "InService"));
    lab.complete(&id, IN, ActionResult::Continue).expect("waited for");
    lab.after(1);
    assert_eq!(step(&lab), at("InService", "running", "InService"));
    assert_eq!(lab.only(), id, "all that is to be prepared is in service");
}

#[test]
fn a_pool_may_keep_its_instances_running() {
    let mut lab = Fixture::small(PoolState::Running, vec![]);
    lab.after(2);
    let id = lab.only();
    assert_eq!((lab.states(), lab.machine(&id)), (vec!["Warmed:Running"], Some("running")));
    lab.desire(1);
    lab.after(0);
    assert_eq!((lab.states(), lab.only()), (vec!["InService"], id));
}

/// User Guide, "Use lifecycle hooks with a warm pool": the launch hooks on the way in and on the way
/// out, those of termination on the way back.
#[test]
fn a_running_instance_waits_for_the_hooks_on_each_of_its_ways() {
    let hooks = vec![hook(IN, Transition::Launching, 300), hook(OUT, Transition::Terminating, 300)];
    let pool = WarmPool {
        rest: PoolState::Running,
        max_prepared: Some(1),
        reuse_on_scale_in: true,
        ..WarmPool::default()
    };
    let mut lab = Fixture::with_pool(pool, 0, hooks);
    lab.after(2);
    let id = lab.only();
    let step = |lab: &Fixture| (lab.states()[0], lab.machine(&id), lab.target(&id));
    let at = |state, target: &str| (state, Some("running"), Some(target.to_owned()));
    assert_eq!(step(&lab), at("Warmed:Pending:Wait", "Warmed:Running"));
    lab.complete(&id, IN, ActionResult::Continue).expect("waited for");
    lab.after(0);
    assert_eq!(step(&lab), at("Warmed:Running", "Warmed:Running"));
    for _ in 0..2 {
        lab.desire(1);
        lab.after(0);
        assert_eq!(step(&lab), at("Pending:Wait", "InService"));
        lab.complete(&id, IN, ActionResult::Continue).expect("waited for");
        lab.after(0);
        assert_eq!(step(&lab), at("InService", "InService"));
        lab.desire(0);
        lab.after(0);
        assert_eq!(step(&lab), at("Warmed:Pending:Wait", "Warmed:Running"));
        lab.complete(&id, OUT, ActionResult::Continue).expect("waited for");
        lab.after(0);
        assert_eq!(step(&lab), at("Warmed:Running", "Warmed:Running"));
    }
}

/// API Reference, "PutWarmPool": MaxGroupPreparedCapacity and MinSize.
#[test]
fn the_pool_has_what_lacks_to_the_maximum_or_to_what_is_to_be_prepared() {
    for (max_prepared, min_size, pooled) in
        [(None, 0, 4), (Some(3), 0, 1), (Some(2), 0, 0), (Some(2), 2, 2)]
    {
        let pool = WarmPool { max_prepared, min_size, ..WarmPool::default() };
        let mut lab = Fixture::with_pool(pool, 2, vec![]);
        lab.after(2);
        lab.after(2);
        let warmed = lab.states().iter().filter(|state| **state == "Warmed:Stopped").count();
        assert_eq!((warmed, lab.states().len()), (pooled, pooled + 2), "{pool:?}");
    }
    let mut lab = Fixture::new();
    let pool = WarmPool { max_prepared: Some(1), min_size: 2, ..WarmPool::default() };
    let refused = lab.state.autoscaling.put_warm_pool("workers", pool);
    assert_eq!(refused.expect_err("less than the least").code, "ValidationError");
}

/// User Guide, "Warm pool instance reuse policy": back by the hooks of termination.
#[test]
fn an_instance_comes_back_on_scale_in_and_drains_first() {
    let pool = WarmPool { max_prepared: Some(1), reuse_on_scale_in: true, ..WarmPool::default() };
    let mut lab = Fixture::with_pool(pool, 1, vec![hook(OUT, Transition::Terminating, 300)]);
    lab.after(2);
    let id = lab.only();
    assert_eq!(lab.states(), ["InService"]);
    lab.desire(0);
    assert_eq!(lab.states(), ["Warmed:Pending:Wait"]);
    assert_eq!(lab.target(&id).as_deref(), Some("Warmed:Stopped"));
    lab.complete(&id, OUT, ActionResult::Continue).expect("waited for");
    lab.after(0);
    lab.after(2);
    assert_eq!((lab.states(), lab.machine(&id)), (vec!["Warmed:Stopped"], Some("stopped")));
    lab.desire(1);
    lab.after(2);
    assert_eq!((lab.states(), lab.only()), (vec!["InService"], id.clone()));

    lab.desire(0);
    lab.complete(&id, OUT, ActionResult::Abandon).expect("waited for");
    assert_eq!(lab.target(&id).as_deref(), Some("Warmed:Terminated"));
}

#[test]
fn without_reuse_an_instance_leaves_for_good() {
    let mut lab = Fixture::small(PoolState::Stopped, vec![]);
    lab.after(2);
    lab.after(2);
    let first = lab.only();
    lab.desire(1);
    lab.after(2);
    lab.desire(0);
    assert_eq!(lab.states(), ["Terminating", "Warmed:Pending"]);
    lab.after(4);
    assert_ne!(lab.only(), first);
}

/// API Reference, "DeleteWarmPool", ForceDelete.
#[test]
fn a_pool_is_deleted_with_its_instances() {
    for (force, state) in [(false, "Warmed:Terminating:Wait"), (true, "Warmed:Terminating")] {
        let hooks = vec![hook(OUT, Transition::Terminating, 300)];
        let mut lab = Fixture::small(PoolState::Stopped, hooks);
        lab.after(2);
        lab.after(2);
        let id = lab.only();
        delete_warm_pool(&mut lab.state, "workers", force, lab.now).expect("there is one");
        assert_eq!(lab.states(), [state]);
        assert_eq!(lab.target(&id).as_deref(), Some("Warmed:Terminated"));
        if !force {
            lab.complete(&id, OUT, ActionResult::Continue).expect("waited for");
        }
        lab.after(2);
        lab.after(0);
        assert_eq!((lab.states(), lab.group_mut().warm_pool), (vec![], None));
    }
}

#[test]
fn an_instance_that_is_lost_in_the_pool_is_replaced_there() {
    let mut lab = Fixture::small(PoolState::Stopped, vec![]);
    lab.after(2);
    lab.after(2);
    let first = lab.only();
    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(0);
    assert_eq!(lab.states(), ["Warmed:Terminating", "Warmed:Pending"]);
}

/// User Guide, "How an instance refresh works": the pool's instances are replaced too.
#[test]
fn a_refresh_replaces_the_pool_as_well() {
    let pool = WarmPool { max_prepared: Some(3), ..WarmPool::default() };
    let mut lab = Fixture::with_pool(pool, 1, vec![]);
    lab.after(2);
    lab.after(10);
    let before = lab.members();
    assert_eq!(before.len(), 3);
    start_refresh(&mut lab.state, "workers", Preferences::default(), None, lab.now)
        .expect("none is under way");
    for _ in 0..30 {
        lab.after(1);
    }
    let group = lab.group_mut();
    assert_eq!(group.refreshes[0].status, RefreshStatus::Successful);
    assert!(before.iter().all(|id| !lab.members().contains(id)));
    assert_eq!(lab.members().len(), 3);
}
