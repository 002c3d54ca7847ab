//! What is wrong with something that an operator wrote: all of it at once, each with its line and,
//! where the reader can act, a hint.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, counted from 1; absent where the document as a whole is wrong.
    pub line: Option<usize>,
    /// The key as a reader would look for it, `network.pods`; empty for the document as a whole.
    pub key: String,
    /// Found against wanted.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Everything that is wrong with one document, in the order of its lines; never empty when it is
/// returned as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    document: String,
    all: Vec<Problem>,
}

impl Problems {
    /// None yet, of a document that is called so in the messages: `UserData`, `cluster.toml`.
    pub fn of(document: &str) -> Self {
        Self { document: document.to_owned(), all: Vec::new() }
    }

    /// A single one about the document as a whole.
    pub fn one(document: &str, message: impl Into<String>) -> Self {
        let mut problems = Self::of(document);
        problems.add(Problem::new("", message));
        problems
    }

    /// The same with what to do about it.
    pub fn one_with_hint(
        document: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let mut problems = Self::of(document);
        problems.add(Problem::new("", message).hint(hint));
        problems
    }

    /// One more.
    pub fn add(&mut self, problem: Problem) {
        self.all.push(problem);
        self.all.sort_by_key(|problem| problem.line);
    }

    /// What the document is called.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The value if nothing is wrong, everything that is wrong otherwise. A value that is missing
    /// although nothing was found to be wrong is a mistake of ours, and is said as such.
    pub fn unless_any<T>(mut self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.all.is_empty() => Ok(value),
            None if self.all.is_empty() => {
                self.add(Problem::new("", "could not be used, and windlass does not know why"));
                Err(self)
            }
            _ => Err(self),
        }
    }

    /// Every problem, in the order of lines.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.all.iter()
    }
}

impl Problem {
    /// A problem with `key`, no line and no hint yet.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, key: key.into(), message: message.into(), hint: None }
    }

    /// The same at a line.
    pub fn line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// The same with something to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.all.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match problem.line {
                Some(line) => write!(f, "{}, line {line}: {problem}", self.document)?,
                None => write!(f, "{}: {problem}", self.document)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_read_in_the_order_of_lines_with_their_hints() {
        let mut problems = Problems::of("cluster.toml");
        problems.add(Problem::new("network.pods", "is missing").line(9));
        problems
            .add(Problem::new("cluster.nam", "is unknown").line(2).hint("did you mean `name`?"));
        assert_eq!(
            problems.to_string(),
            "cluster.toml, line 2: `cluster.nam` is unknown\n  hint: did you mean `name`?\n\
             cluster.toml, line 9: `network.pods` is missing"
        );
    }
}
