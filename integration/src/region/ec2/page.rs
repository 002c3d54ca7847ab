//! `MaxResults` and `NextToken`: EC2 API Reference, "Pagination".
//!
//! A token is the key of the last item that was given, so that a listing goes on in order whatever
//! came or went meanwhile.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::region::call::ServiceError;
use crate::region::params::Params;

/// Which part of a listing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    after: Option<String>,
}

/// What a page takes out of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<T> {
    pub items: Vec<T>,
    /// Where more is to be had.
    pub next_token: Option<String>,
}

impl Page {
    /// Reads the two parameters. Without `MaxResults` everything is one page.
    pub fn of(params: &Params, allowed: RangeInclusive<usize>) -> Result<Self, ServiceError> {
        Self::named(params, "MaxResults", allowed, usize::MAX)
    }

    /// The same for a service that calls the limit otherwise and has one by default.
    pub fn named(
        params: &Params,
        limit: &str,
        allowed: RangeInclusive<usize>,
        default: usize,
    ) -> Result<Self, ServiceError> {
        let limit = match params.number::<usize>(limit)? {
            None => default,
            Some(limit) if limit < *allowed.start() => {
                return Err(out_of_range(limit, "greater", *allowed.start()));
            }
            Some(limit) if limit > *allowed.end() => {
                return Err(out_of_range(limit, "less", *allowed.end()));
            }
            Some(limit) => limit,
        };
        let after = params.get("NextToken").map(key_of).transpose()?;
        Ok(Self { limit, after })
    }

    /// This page of what is listed, which must be in the order of its keys.
    pub fn cut<T>(&self, listed: impl IntoIterator<Item = (String, T)>) -> Cut<T> {
        let mut rest = listed
            .into_iter()
            .skip_while(|(key, _)| self.after.as_ref().is_some_and(|after| key <= after))
            .peekable();
        let mut items = Vec::new();
        let mut last = None;
        while items.len() < self.limit {
            let Some((key, item)) = rest.next() else { break };
            items.push(item);
            last = Some(key);
        }
        let next_token = last.filter(|_| rest.peek().is_some()).map(|key| BASE64.encode(key));
        Cut { items, next_token }
    }
}

fn key_of(token: &str) -> Result<String, ServiceError> {
    let refused =
        || ServiceError::client("InvalidNextToken", format!("The token '{token}' is invalid"));
    let key = BASE64.decode(token).map_err(|_| refused())?;
    String::from_utf8(key).map_err(|_| refused())
}

fn out_of_range(found: usize, comparison: &str, bound: usize) -> ServiceError {
    ServiceError::client(
        "InvalidParameterValue",
        format!(
            "Value ( {found} ) for parameter maxResults is invalid. Expecting a value {comparison} than {bound}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(keys: &[&str]) -> Vec<(String, String)> {
        keys.iter().map(|key| (key.to_string(), key.to_uppercase())).collect()
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended_although_items_came_and_went() {
        let first = Page::of(&Params::from([("MaxResults", "2")]), 1..=1000).expect("a page");
        let cut = first.cut(listed(&["a", "b", "c", "d"]));
        assert_eq!(cut.items, ["A", "B"]);

        let token = cut.next_token.expect("there is more");
        let second =
            Page::of(&Params::from([("NextToken", token.as_str())]), 1..=1000).expect("a page");
        assert_eq!(
            second.cut(listed(&["a", "bb", "d"])),
            Cut { items: vec!["BB".to_owned(), "D".to_owned()], next_token: None }
        );
    }

    #[test]
    fn a_page_that_takes_all_has_no_token() {
        let page = Page::of(&Params::from([("MaxResults", "2")]), 1..=1000).expect("a page");
        assert_eq!(page.cut(listed(&["a", "b"])).next_token, None);
    }

    #[test]
    fn a_limit_out_of_range_and_a_made_up_token_are_refused() {
        let few = Page::of(&Params::from([("MaxResults", "4")]), 5..=1000).expect_err("too few");
        assert_eq!(
            few.message,
            "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."
        );
        let token =
            Page::of(&Params::from([("NextToken", "!")]), 5..=1000).expect_err("no token of ours");
        assert_eq!(token.code, "InvalidNextToken");
    }
}
