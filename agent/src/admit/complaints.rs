//! What is wrong for longer than a moment, said once when it begins and once when it is over.

use std::collections::BTreeSet;

/// What was said last.
#[derive(Debug, Default)]
pub struct Complaints(BTreeSet<String>);

/// What changed since the complaints before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    pub begun: BTreeSet<String>,
    pub over: BTreeSet<String>,
}

impl Complaints {
    /// These are all, now. Logs what changed, and returns it.
    pub fn are(&mut self, all: BTreeSet<String>) -> News {
        let begun = all.difference(&self.0).cloned().collect();
        let over = self.0.difference(&all).cloned().collect();
        self.0 = all;
        let news = News { begun, over };
        news.begun.iter().for_each(|what| tracing::warn!("{what}"));
        news.over.iter().for_each(|what| tracing::info!("no longer: {what}"));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_once_and_taken_back_once() {
        let all = |words: &[&str]| words.iter().map(|&it| it.to_owned()).collect::<BTreeSet<_>>();
        let mut complaints = Complaints::default();
        let news = |begun: &[&str], over: &[&str]| News { begun: all(begun), over: all(over) };
        assert_eq!(complaints.are(all(&["full", "foreign"])), news(&["full", "foreign"], &[]));
        assert_eq!(complaints.are(all(&["full", "foreign"])), news(&[], &[]));
        assert_eq!(complaints.are(all(&["foreign"])), news(&[], &["full"]));
        assert_eq!(complaints.are(all(&["full", "foreign"])), news(&["full"], &[]));
    }
}
