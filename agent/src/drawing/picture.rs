//! What is drawn, whatever it is a picture of: a headline, and rows on an axis of time.

/// A picture before somebody draws it. Times are milliseconds of one axis that begins at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `Boot` or `Drain`.
    pub(super) of: &'static str,
    /// Which node.
    pub(super) title: String,
    /// What kind of a node.
    pub(super) subject: String,
    pub(super) headline: String,
    /// It is a picture of a success.
    pub(super) well: bool,
    pub(super) rows: Vec<Row>,
    /// When our own time began, and how long it was.
    pub(super) own: Option<(f64, f64)>,
    /// When the node was Ready.
    pub(super) ready_ms: Option<f64>,
    /// Why it is none of a success.
    pub(super) why: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) requests: Option<String>,
}

/// One thing that took time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) start_ms: f64,
    pub(super) end_ms: f64,
    /// Somebody else was waited for; else it was our own work.
    pub(super) waited: bool,
    pub(super) failed: bool,
    /// What the bar does not say.
    pub(super) notes: Vec<String>,
    /// What was done or found, for who asks.
    pub(super) detail: String,
}

impl Picture {
    /// Where the axis ends.
    pub(super) fn end_ms(&self) -> f64 {
        let ends = self.rows.iter().map(|row| row.end_ms).chain(self.ready_ms);
        ends.fold(1.0, f64::max)
    }
}
