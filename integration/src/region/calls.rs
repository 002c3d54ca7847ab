//! The log of all calls, and counters by caller and action.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

/// One call, one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Record {
    /// The region's time, ISO 8601.
    pub at: String,
    /// Which connection it came on; none in process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// Instance ID or other session, user name; the access key or address of a stranger.
    pub caller: String,
    /// `s3`
    pub service: String,
    /// `GetObject`; for the metadata service the method and path.
    pub action: String,
    /// Bucket and key, instance, route table: what it was about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// 0 when nothing was answered.
    pub status: u16,
    /// The error code, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From the whole request to the whole answer, latency included.
    pub ms: f64,
    pub bytes_in: usize,
    pub bytes_out: usize,
    /// Which fault struck it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The calls since the start or the last reset.
#[derive(Debug, Default)]
pub struct CallLog(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    counts: BTreeMap<(String, String), u64>,
    file: Option<BufWriter<File>>,
}

impl CallLog {
    /// Also appends each record to a file from now on.
    pub fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        self.lock().file = Some(BufWriter::new(file));
        Ok(())
    }

    pub fn add(&self, record: Record) {
        let mut inner = self.lock();
        let counter = (record.caller.clone(), format!("{}:{}", record.service, record.action));
        *inner.counts.entry(counter).or_default() += 1;
        if let Some(file) = &mut inner.file {
            // A log that cannot be written must not change what callers see.
            let line = serde_json::to_string(&record).unwrap_or_default();
            if writeln!(file, "{line}").and_then(|()| file.flush()).is_err() {
                inner.file = None;
            }
        }
        inner.records.push(record);
    }

    /// How often each caller made each call: (caller, `service:Action`) → count.
    pub fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.lock().counts.clone()
    }

    /// How often that caller (or any, for an empty name) made calls whose `service:Action` starts so.
    pub fn count(&self, caller: &str, action: &str) -> u64 {
        let fits = |(by, name): &(String, String)| {
            (caller.is_empty() || by == caller) && name.starts_with(action)
        };
        self.lock().counts.iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }

    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// The records from that place on, for someone who follows.
    pub fn since(&self, place: usize) -> Vec<Record> {
        self.lock().records.get(place..).unwrap_or_default().to_vec()
    }

    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.records.clear();
        inner.counts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the call log's lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(caller: &str, service: &str, action: &str) -> Record {
        Record {
            caller: caller.into(),
            service: service.into(),
            action: action.into(),
            status: 200,
            ..Record::default()
        }
    }

    #[test]
    fn calls_are_counted_by_caller_and_action_until_reset() {
        let log = CallLog::default();
        log.add(record("i-0a", "s3", "GetObject"));
        log.add(record("i-0a", "s3", "GetObject"));
        log.add(record("i-0b", "ec2", "DescribeInstances"));
        assert_eq!(log.count("i-0a", "s3:"), 2);
        assert_eq!(log.count("", "ec2:DescribeInstances"), 1);
        assert_eq!(log.since(2).len(), 1);
        log.reset();
        assert_eq!((log.counts().len(), log.records().len()), (0, 0));
    }

    #[test]
    fn the_file_has_one_json_object_a_line() {
        let path = std::env::temp_dir().join(format!("region-calls-{}.jsonl", std::process::id()));
        let log = CallLog::default();
        log.write_to(&path).expect("a file");
        log.add(record("i-0a", "s3", "GetObject"));
        log.add(Record {
            code: Some("NoSuchKey".into()),
            status: 404,
            ..record("i-0a", "s3", "GetObject")
        });
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::remove_file(&path).expect("it goes");
        let codes: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(codes.len(), 2);
        assert_eq!(
            (&codes[0]["action"], &codes[1]["code"]),
            (&"GetObject".into(), &"NoSuchKey".into())
        );
    }
}
