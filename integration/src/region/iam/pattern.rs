//! Wildcards and policy variables: IAM User Guide, "IAM JSON policy elements: Variables and tags".

use super::Context;

/// One token of a pattern after its variables have their values. A variable's value is never a
/// wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    One(char),
    AnyOne,
    Any,
}

/// Whether the text is what the pattern says; a variable without a value matches nothing.
pub fn matches(pattern: &str, text: &str, context: &Context) -> bool {
    tokens(pattern, context).is_some_and(|tokens| glob(&tokens, text))
}

/// The same, each of an ARN's first five parts by itself, so that a `*` stays within its part.
pub fn matches_arn(pattern: &str, arn: &str, context: &Context) -> bool {
    if pattern == "*" {
        return true;
    }
    let Some(found) = parts(arn) else { return matches(pattern, arn, context) };
    let Some(wanted) = parts(pattern) else { return false };
    wanted.iter().zip(found).all(|(wanted, found)| matches(wanted, found, context))
}

/// Actions match whatever the case.
pub fn matches_action(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase(), &Context::new())
}

/// The literal that a text with variables stands for.
pub fn resolve(text: &str, context: &Context) -> Option<String> {
    let tokens = tokens(text, context)?;
    Some(
        tokens
            .iter()
            .map(|token| match token {
                Token::One(c) => *c,
                Token::AnyOne => '?',
                Token::Any => '*',
            })
            .collect(),
    )
}

fn parts(arn: &str) -> Option<[&str; 6]> {
    let mut parts = arn.splitn(6, ':');
    let parts =
        [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    Some(parts)
}

fn tokens(pattern: &str, context: &Context) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}'))
        {
            tokens.extend(value(name, context)?.chars().map(Token::One));
            rest = after;
            continue;
        }
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::AnyOne,
            c => Token::One(c),
        });
        rest = &rest[c.len_utf8()..];
    }
    Some(tokens)
}

/// `${*}`, `${?}` and `${$}` stand for themselves; `${key, 'default'}` has a default.
fn value(name: &str, context: &Context) -> Option<String> {
    if matches!(name, "*" | "?" | "$") {
        return Some(name.to_owned());
    }
    let (key, default) = match name.split_once(',') {
        Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
        None => (name.trim(), None),
    };
    match lookup(key, context) {
        Some([one]) => Some(one.clone()),
        // A key with many values cannot stand in a variable.
        Some(_) => None,
        None => default.map(str::to_owned),
    }
}

/// Condition keys are compared whatever the case.
pub fn lookup<'a>(key: &str, context: &'a Context) -> Option<&'a [String]> {
    context
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, values)| values.as_slice())
}

fn glob(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Token::AnyOne) => (p, t) = (p + 1, t + 1),
            Some(Token::One(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variables_value_is_never_a_wildcard() {
        let context = Context::from([("aws:userid".to_owned(), vec!["*".to_owned()])]);
        let pattern = "arn:aws:s3:::b/inbox/${aws:userid}";
        assert!(matches_arn(pattern, "arn:aws:s3:::b/inbox/*", &context));
        assert!(!matches_arn(pattern, "arn:aws:s3:::b/inbox/x", &context));
        assert!(!matches_arn(pattern, "arn:aws:s3:::b/inbox/", &Context::new()));
    }

    #[test]
    fn a_wildcard_stays_within_its_part_of_an_arn() {
        let none = Context::new();
        let route_table = "arn:aws:ec2:eu-west-1:123456789012:route-table/rtb-1";
        assert!(matches_arn("arn:aws:ec2:*:*:route-table/*", route_table, &none));
        assert!(matches_arn("arn:aws:ec2:*:123456789012:*", route_table, &none));
        assert!(!matches_arn("arn:aws:ec2:*:route-table/*", route_table, &none));
        assert!(matches_arn("*", route_table, &none));
    }

    #[test]
    fn globs_backtrack() {
        let none = Context::new();
        assert!(matches("a*b*c", "aXbYbZc", &none));
        assert!(!matches("a*b?c", "abc", &none));
        assert!(matches("*", "", &none));
        assert!(matches_action("S3:get*", "s3:GetObject"));
    }
}
