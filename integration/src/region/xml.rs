//! A small tree of XML elements, enough for what the query protocol answers.

use std::fmt::Display;

use quick_xml::escape::escape;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// An element: text, or children in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What an action answers. It bears no name of its own: the service's envelope has one for it.
    pub fn answer() -> Self {
        Self::default()
    }

    /// `<name>value</name>`
    pub fn text(name: impl Into<String>, value: impl Display) -> Self {
        Self { name: name.into(), text: value.to_string(), children: Vec::new() }
    }

    /// This element with one more child.
    pub fn with(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// This element with a child `<name>value</name>`.
    pub fn field(self, name: &str, value: impl Display) -> Self {
        self.with(Self::text(name, value))
    }

    /// The same, where there is a value.
    pub fn optional(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// This element with a child of that name around these items; EC2 calls an item `item`, the
    /// query protocol `member`.
    pub fn list(self, name: &str, items: impl IntoIterator<Item = Element>) -> Self {
        self.with(Element {
            name: name.to_owned(),
            text: String::new(),
            children: items.into_iter().collect(),
        })
    }

    pub fn push(&mut self, child: Element) {
        self.children.push(child);
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn children(&self) -> &[Element] {
        &self.children
    }

    /// The text inside, without that of children.
    pub fn value(&self) -> &str {
        &self.text
    }

    /// The children without the element around them.
    pub fn into_children(self) -> Vec<Element> {
        self.children
    }

    /// The document with its declaration, the namespace on the root.
    pub fn document(&self, namespace: Option<&str>) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let attribute = namespace.map(|uri| format!(" xmlns=\"{uri}\"")).unwrap_or_default();
        self.write(&mut out, &attribute);
        out
    }

    fn write(&self, out: &mut String, attributes: &str) {
        // No `format!`: descriptions of thousands of instances are written so.
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
        if self.text.is_empty() && self.children.is_empty() {
            return put(&["<", &self.name, attributes, "/>"]);
        }
        put(&["<", &self.name, attributes, ">", &escape(&self.text)]);
        self.children.iter().for_each(|child| child.write(out, ""));
        ["</", &self.name, ">"].into_iter().for_each(|part| out.push_str(part));
    }
}

/// ISO 8601 with milliseconds, UTC: `2026-11-23T06:16:03.000Z`.
pub fn timestamp(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(TIMESTAMP).expect("a date of the common era")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_an_empty_element_closes_itself() {
        let tree = Element::new("a")
            .field("b", "1 < 2 & \"3\"")
            .list("set", [])
            .optional("none", None::<&str>);
        assert_eq!(
            tree.document(Some("http://x/")),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a xmlns=\"http://x/\"><b>1 &lt; 2 &amp; &quot;3&quot;</b><set/></a>"
        );
    }
}
