//! All states of a model, breadth first, so that what leads to a wrong one is as short as it can be.
//!
//! (The crate `stateright` does the same. It switches on features of serde that the whole build
//! would have to share, and a second build of the AWS SDK costs more than these lines.)

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::rc::Rc;

/// A world that goes on by actions.
pub(super) trait Model {
    type State: Clone + Debug + Eq + Hash;
    type Action: Clone + Debug;

    fn start(&self) -> Self::State;
    /// What may happen.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;
    /// What that leads to; `None` where nothing changes.
    fn next(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;
    /// What must never be.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;
    /// Whether nothing is left to do: where no action leads on, it must be so.
    fn is_end(&self, state: &Self::State) -> bool;
    /// Whether it ended as one would wish: some run must.
    fn is_good_end(&self, state: &Self::State) -> bool;
}

/// What there was.
pub(super) struct Explored {
    pub states: usize,
    pub ends: usize,
    pub good_ends: usize,
}

/// Explores every state.
///
/// # Panics
///
/// With the way there, where something is wrong, or a run stops without having ended.
pub(super) fn explore<M: Model>(model: &M) -> Explored {
    let start = Rc::new(model.start());
    // Each state, and by what it was first reached.
    let mut seen = HashMap::from([(Rc::clone(&start), None)]);
    let (mut now, mut explored) = (vec![start], Explored { states: 0, ends: 0, good_ends: 0 });
    while !now.is_empty() {
        let mut later = Vec::new();
        for state in now {
            if let Some(wrong) = model.wrong(&state) {
                panic!("{wrong}:\n{}", way(&seen, &state));
            }
            let mut leads_on = false;
            for action in model.actions(&state) {
                let Some(next) = model.next(&state, &action).map(Rc::new) else { continue };
                leads_on = true;
                if !seen.contains_key(&next) {
                    seen.insert(Rc::clone(&next), Some((Rc::clone(&state), action)));
                    later.push(next);
                }
            }
            if !leads_on {
                assert!(model.is_end(&state), "it stops before the end:\n{}", way(&seen, &state));
                explored.ends += 1;
                explored.good_ends += usize::from(model.is_good_end(&state));
            }
        }
        now = later;
    }
    Explored { states: seen.len(), ..explored }
}

type Seen<S, A> = HashMap<Rc<S>, Option<(Rc<S>, A)>>;

/// The actions that lead to a state, and the state.
fn way<S: Eq + Hash + Debug, A: Debug>(seen: &Seen<S, A>, state: &Rc<S>) -> String {
    let mut actions = Vec::new();
    let mut at = state;
    while let Some(Some((before, action))) = seen.get(at) {
        actions.push(format!("{action:?}"));
        at = before;
    }
    actions.reverse();
    format!("{}\n{state:#?}", actions.join("\n"))
}
