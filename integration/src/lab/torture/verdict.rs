//! How a drain went, by what AWS and the API server know of it: nothing that the program says counts.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::aws::{HOOK, is_continue};
use super::book::Life;
use crate::region::autoscaling::Finished;

/// What is known of a drain that is over.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Nobody may say before then that the node is done, unless it is.
    pub deadline: OffsetDateTime,
    pub finished: Vec<Finished>,
    pub cordons: Vec<(OffsetDateTime, bool)>,
    pub lives: BTreeMap<String, Life>,
}

/// What is made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How often the node was made to take no pods.
    pub drains: usize,
    /// CONTINUEs that took effect, for whichever hook.
    pub continues: usize,
    /// One took effect while pods were there that had time to leave.
    pub early: bool,
    /// More than one took effect.
    pub twice: bool,
    /// Nobody completed the node's own hook.
    pub lost: bool,
    /// What was wrong, for a person.
    pub complaints: Vec<String>,
}

impl Seen {
    pub fn judged(&self) -> Verdict {
        let done: Vec<&Finished> = self.finished.iter().filter(|it| is_continue(it)).collect();
        let own = done.iter().find(|it| it.hook == HOOK);
        let here = own.map(|own| self.here_at(own.at)).unwrap_or_default();
        let verdict = Verdict {
            drains: self.cordons.iter().filter(|(_, cordoned)| *cordoned).count(),
            continues: done.len(),
            early: own.is_some_and(|own| own.at < self.deadline) && !here.is_empty(),
            twice: done.len() > 1,
            lost: own.is_none(),
            complaints: Vec::new(),
        };
        Verdict { complaints: self.complaints(&verdict, &here), ..verdict }
    }

    /// The pods that have to leave and were there for certain.
    fn here_at(&self, at: OffsetDateTime) -> Vec<&str> {
        let there = |life: &Life| !life.gone || life.there_until.is_none_or(|until| until > at);
        let here = |life: &Life| life.leaves && there(life);
        let lives = self.lives.iter().filter(|(_, life)| here(life));
        lives.map(|(name, _)| name.as_str()).collect()
    }

    fn complaints(&self, verdict: &Verdict, here: &[&str]) -> Vec<String> {
        let mut complaints = Vec::new();
        if verdict.drains != 1 {
            complaints.push(format!("{} drains, wanted 1", verdict.drains));
        }
        if verdict.early {
            complaints.push(format!("CONTINUE took effect while {} were there", here.join(", ")));
        }
        if verdict.twice {
            let hooks: Vec<&str> = self.finished.iter().map(|it| it.hook.as_str()).collect();
            complaints.push(format!("more than one CONTINUE took effect: {}", hooks.join(", ")));
        }
        if verdict.lost {
            let how = self.finished.iter().find(|it| it.hook == HOOK);
            complaints.push(match how {
                Some(it) => format!("the hook was not completed: {:?}", it.by),
                None => "the hook was not completed, and is not over".to_owned(),
            });
        }
        if self.cordons.last().is_some_and(|(_, cordoned)| !cordoned) {
            complaints.push("the Node takes pods again".to_owned());
        }
        let stays = |life: &Life| !life.leaves && (life.asked.is_some() || life.gone);
        for (name, _) in self.lives.iter().filter(|(_, life)| stays(life)) {
            complaints.push(format!("pod {name} was asked to leave, and should have stayed"));
        }
        complaints
    }
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;
    use crate::region::autoscaling::{ActionResult, By};

    fn at(seconds: u64) -> OffsetDateTime {
        datetime!(2026-11-23 12:00 UTC) + Duration::from_secs(seconds)
    }

    fn over(hook: &str, by: By, seconds: u64) -> Finished {
        Finished {
            instance: "i-1".to_owned(),
            hook: hook.to_owned(),
            result: ActionResult::Continue,
            by,
            at: at(seconds),
        }
    }

    /// Two pods: one leaves, and was there until second 5; the other stays.
    fn seen(finished: Vec<Finished>) -> Seen {
        let life = |leaves, until: Option<OffsetDateTime>| Life {
            leaves,
            asked: until,
            there_until: until,
            gone: until.is_some(),
        };
        Seen {
            deadline: at(20),
            finished,
            cordons: vec![(at(1), true)],
            lives: BTreeMap::from([
                ("web".to_owned(), life(true, Some(at(5)))),
                ("every-node".to_owned(), life(false, None)),
            ]),
        }
    }

    fn complaints(seen: &Seen) -> Vec<String> {
        seen.judged().complaints
    }

    #[test]
    fn a_drain_that_is_completed_once_when_its_pods_are_gone_is_good() {
        let verdict = seen(vec![over(HOOK, By::Call, 6)]).judged();
        assert_eq!(verdict, Verdict { drains: 1, continues: 1, ..Verdict::default() });
    }

    #[test]
    fn a_continue_while_a_pod_is_there_is_early_unless_the_deadline_came() {
        let early = seen(vec![over(HOOK, By::Call, 4)]);
        assert_eq!(complaints(&early), ["CONTINUE took effect while web were there"]);
        assert!(early.judged().early);
        let mut late = seen(vec![over(HOOK, By::Call, 20)]);
        // Its finalizer is there, and so is it.
        let stuck = Life { leaves: true, asked: None, there_until: Some(at(3)), gone: false };
        late.lives.insert("stuck".to_owned(), stuck);
        assert!(late.judged().is_good());
    }

    #[test]
    fn somebody_elses_hook_is_not_ours_to_complete() {
        let both = seen(vec![over(HOOK, By::Call, 6), over("backup", By::Call, 7)]).judged();
        assert!(both.twice && !both.lost, "{both:?}");
        let wrong = seen(vec![over("backup", By::Call, 6)]).judged();
        assert!(wrong.lost && wrong.continues == 1, "{wrong:?}");
    }

    #[test]
    fn a_hook_that_timed_out_is_lost() {
        let timed_out = seen(vec![over(HOOK, By::Timeout, 30)]);
        assert_eq!(complaints(&timed_out), ["the hook was not completed: Timeout"]);
        let never = seen(Vec::new()).judged();
        assert!(never.lost && never.continues == 0, "{never:?}");
    }

    #[test]
    fn a_cordon_that_was_given_back_is_another_drain() {
        let mut again = seen(vec![over(HOOK, By::Call, 6)]);
        again.cordons.extend([(at(2), false), (at(3), true)]);
        assert_eq!(complaints(&again), ["2 drains, wanted 1"]);
        again.cordons.push((at(7), false));
        assert_eq!(complaints(&again)[1], "the Node takes pods again");
    }

    #[test]
    fn a_pod_that_should_have_stayed_is_missed() {
        let mut asked = seen(vec![over(HOOK, By::Call, 6)]);
        let life = Life { leaves: false, asked: Some(at(2)), there_until: None, gone: false };
        asked.lives.insert("every-node".to_owned(), life);
        assert_eq!(
            complaints(&asked),
            ["pod every-node was asked to leave, and should have stayed"]
        );
    }
}
