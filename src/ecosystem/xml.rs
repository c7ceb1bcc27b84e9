//! A tolerant reader of XML: elements with their attributes and text, as far as project files need them.

/// An element, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// Names of the elements around it, from the outside.
    pub path: Vec<String>,
    /// The text directly in it, trimmed.
    pub text: String,
}

impl Element {
    /// An attribute by its name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// All elements. None if tags do not nest, or a declaration could define entities.
pub(super) fn read(text: &str) -> Option<Vec<Element>> {
    let mut out: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        if let Some(&top) = open.last() {
            out[top].text.push_str(&unescape(before.trim())?);
        }
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = &comment[comment.find("-->")? + 3..];
        } else if let Some(data) = tag.strip_prefix("<![CDATA[") {
            let end = data.find("]]>")?;
            if let Some(&top) = open.last() {
                out[top].text.push_str(&data[..end]);
            }
            rest = &data[end + 3..];
        } else if tag.starts_with("<!") {
            return None;
        } else if let Some(declaration) = tag.strip_prefix("<?") {
            rest = &declaration[declaration.find("?>")? + 2..];
        } else if let Some(close) = tag.strip_prefix("</") {
            let end = close.find('>')?;
            let top = open.pop()?;
            if out[top].name != close[..end].trim() {
                return None;
            }
            rest = &close[end + 1..];
        } else {
            let (mut element, empty, after) = start_tag(&tag[1..])?;
            element.path = open.iter().map(|i| out[*i].name.clone()).collect();
            out.push(element);
            if !empty {
                open.push(out.len() - 1);
            }
            rest = after;
        }
    }
    open.is_empty().then_some(out)
}

fn start_tag(text: &str) -> Option<(Element, bool, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let mut element = Element { name: text[..end].to_string(), ..Element::default() };
    let mut rest = text[end..].trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("/>") {
            return Some((element, true, after));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Some((element, false, after));
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let end = after[1..].find(quote)? + 1;
        element.attributes.push((name.trim().to_string(), unescape(&after[1..end])?));
        rest = after[end + 1..].trim_start();
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';')? + at;
        match &rest[at + 1..end] {
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "amp" => out.push('&'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            number => {
                let code = number.strip_prefix('#')?;
                let code = match code.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => code.parse().ok()?,
                };
                out.push(char::from_u32(code)?);
            }
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}
