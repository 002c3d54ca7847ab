//! `Filter.N.Name` and `Filter.N.Value.M` of the Describe actions.
//!
//! EC2 User Guide, "Filter your Amazon EC2 resources": all filters must hold, any value of one is
//! enough; `*` is zero or more characters, `?` zero or one, a backslash takes the meaning away;
//! values are case-sensitive; at most 200 values in one call.

use super::tags::Tags;
use crate::region::call::ServiceError;
use crate::region::params::Params;

const VALUES_MAX: usize = 200;

/// The filters of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filters {
    /// Reads them; a name that is neither in `known` nor a tag's is refused, as EC2 does.
    pub fn of(params: &Params, known: &[&str]) -> Result<Self, ServiceError> {
        let filters: Vec<Filter> = params
            .structures("Filter")
            .iter()
            .map(|filter| {
                let values = filter.list("Value").into_iter().map(str::to_owned).collect();
                Ok(Filter { name: filter.required("Name")?.to_owned(), values })
            })
            .collect::<Result<_, ServiceError>>()?;
        for Filter { name, .. } in &filters {
            let tag = name.starts_with("tag:") || name == "tag-key";
            if !tag && !known.contains(&name.as_str()) {
                return Err(ServiceError::client(
                    "InvalidParameterValue",
                    format!("The filter '{name}' is invalid"),
                ));
            }
        }
        if filters.iter().map(|filter| filter.values.len()).sum::<usize>() > VALUES_MAX {
            return Err(ServiceError::client(
                "FilterLimitExceeded",
                format!(
                    "The maximum number of filter values specified on a single call is {VALUES_MAX}"
                ),
            ));
        }
        Ok(Self(filters))
    }

    /// Whether a resource with these tags, and these values under a filter's name, is wanted.
    pub fn want(&self, tags: &Tags, values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|filter| {
            let found = match (filter.name.as_str(), filter.name.strip_prefix("tag:")) {
                ("tag-key", _) => tags.keys().cloned().collect(),
                (_, Some(key)) => tags.get(key).cloned().into_iter().collect(),
                (name, None) => values(name),
            };
            filter.values.iter().any(|pattern| found.iter().any(|value| like(pattern, value)))
        })
    }
}

/// Whether `text` is of the form of `pattern`.
fn like(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| like(rest, &text[at..]))
        }
        Some('?') => {
            let rest = pattern_rest.as_str();
            like(rest, text) || without_first(text).is_some_and(|(_, text)| like(rest, text))
        }
        Some('\\') if !pattern_rest.as_str().is_empty() => {
            let literal = pattern_rest.next();
            without_first(text).is_some_and(|(first, text)| {
                Some(first) == literal && like(pattern_rest.as_str(), text)
            })
        }
        Some(literal) => without_first(text)
            .is_some_and(|(first, text)| first == literal && like(pattern_rest.as_str(), text)),
    }
}

fn without_first(text: &str) -> Option<(char, &str)> {
    let mut rest = text.chars();
    rest.next().map(|first| (first, rest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_the_page_on_filtering() {
        for (pattern, text, wanted) in [
            ("ip-10-*", "ip-10-0-1-5.eu-west-1.compute.internal", true),
            ("*", "", true),
            ("*a*b", "xaxxab", true),
            ("*a*b", "xaxxa", false),
            ("m5.?large", "m5.xlarge", true),
            ("m5.?large", "m5.large", true),
            ("m5.?large", "m5.2xlarge", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("Prod", "prod", false),
        ] {
            assert_eq!(like(pattern, text), wanted, "{pattern} against {text}");
        }
    }

    #[test]
    fn all_filters_must_hold_and_any_value_of_one_is_enough() {
        let params = Params::from([
            ("Filter.1.Name", "tag:cluster"),
            ("Filter.1.Value.1", "lab"),
            ("Filter.2.Name", "zone"),
            ("Filter.2.Value.1", "a"),
            ("Filter.2.Value.2", "b"),
        ]);
        let filters = Filters::of(&params, &["zone"]).expect("known filters");
        let lab = Tags::from([("cluster".to_owned(), "lab".to_owned())]);
        assert!(filters.want(&lab, |_| vec!["b".to_owned()]));
        assert!(!filters.want(&lab, |_| vec!["c".to_owned()]));
        assert!(!filters.want(&Tags::new(), |_| vec!["b".to_owned()]));
    }

    #[test]
    fn an_unknown_filter_is_refused_by_name() {
        let params = Params::from([("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")]);
        let refused = Filters::of(&params, &["zone"]).expect_err("no such filter");
        assert_eq!(
            refused,
            ServiceError::client("InvalidParameterValue", "The filter 'colour' is invalid")
        );
    }
}
