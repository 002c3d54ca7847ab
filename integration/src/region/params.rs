//! The parameters of the query protocol: `Action=…&Filter.1.Name=…&Filter.1.Value.1=…`.

use std::collections::BTreeMap;

use super::call::ServiceError;

/// Parameters by name; lists and structures are spelled in the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a query string or a form body.
    pub fn parse(encoded: &str) -> Self {
        let pairs = encoded.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// Adds those of another source (a query string beside a form body).
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The parameter, or the error that EC2 and the others give without it.
    pub fn required(&self, name: &str) -> Result<&str, ServiceError> {
        self.get(name).ok_or_else(|| ServiceError::missing_parameter(name))
    }

    /// `true` and `false` as the SDKs write them; absent is `None`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ServiceError> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(invalid(name, other, "true or false")),
        }
    }

    /// A whole number; absent is `None`.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, ServiceError> {
        self.get(name)
            .map(|value| value.parse().map_err(|_| invalid(name, value, "a number")))
            .transpose()
    }

    /// The scalars of `NAME.1`, `NAME.2`, … or `NAME.member.1`, …, by number.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let mut found: BTreeMap<u32, &str> = BTreeMap::new();
        for (rest, value) in self.under(name) {
            if let Ok(number) = rest.parse() {
                found.insert(number, value);
            }
        }
        found.into_values().collect()
    }

    /// The structures of `NAME.1.…`, `NAME.2.…` or `NAME.member.1.…`, by number, each with its
    /// own names only.
    pub fn structures(&self, name: &str) -> Vec<Params> {
        let mut found: BTreeMap<u32, Params> = BTreeMap::new();
        for (rest, value) in self.under(name) {
            let Some((number, field)) = rest.split_once('.') else { continue };
            if let Ok(number) = number.parse() {
                found.entry(number).or_default().0.insert(field.to_owned(), value.to_owned());
            }
        }
        found.into_values().collect()
    }

    /// The structure `NAME.…`, with its own names only; empty when there is none.
    pub fn structure(&self, name: &str) -> Params {
        let prefix = format!("{name}.");
        let fields = self.0.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))
        });
        Params(fields.collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn under<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = format!("{name}.");
        self.0.iter().filter_map(move |(key, value)| {
            let rest = key.strip_prefix(&prefix)?;
            Some((rest.strip_prefix("member.").unwrap_or(rest), value.as_str()))
        })
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Params {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Percent-decoding with `+` for a space, as in `application/x-www-form-urlencoded`.
pub fn decode(text: &str) -> String {
    percent_decode(&text.replace('+', " "))
}

/// Percent-decoding alone; what is not an escape stays.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn invalid(name: &str, value: &str, wanted: &str) -> ServiceError {
    ServiceError::client(
        "InvalidParameterValue",
        format!("Value ({value}) for parameter {name} is invalid. It must be {wanted}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_read_in_the_order_of_their_numbers() {
        let params = Params::parse(
            "Action=DescribeInstances&InstanceId.10=i-j&InstanceId.2=i-b&Filter.1.Name=tag%3Aa+b&Filter.1.Value.1=x&Filter.1.Value.2=y",
        );
        assert_eq!(params.list("InstanceId"), ["i-b", "i-j"]);
        let filters = params.structures("Filter");
        assert_eq!(filters.len(), 1);
        assert_eq!(filters[0].get("Name"), Some("tag:a b"));
        assert_eq!(filters[0].list("Value"), ["x", "y"]);
    }

    #[test]
    fn auto_scalings_member_lists_are_the_same_lists() {
        let params = Params::parse(
            "AutoScalingGroupNames.member.1=a&Tags.member.1.Key=k&Tags.member.1.Value=v",
        );
        assert_eq!(params.list("AutoScalingGroupNames"), ["a"]);
        assert_eq!(params.structures("Tags"), [Params::from([("Key", "k"), ("Value", "v")])]);
    }

    #[test]
    fn a_stray_percent_sign_stays() {
        assert_eq!(decode("100%+a%2Fb%zz"), "100% a/b%zz");
    }
}
