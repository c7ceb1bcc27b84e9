//! Rights of a file beyond its mode: suid, sgid and capabilities. `chown` clears them, COPY keeps them.

use std::collections::BTreeSet;

use super::Facts;
use crate::graph::Base;

impl Facts<'_> {
    /// The instruction that, by its text, gives a file suid, sgid or a capability in stage `index` or in one that it takes files from.
    #[must_use]
    pub fn gives_rights(&self, index: usize) -> Option<usize> {
        let mut todo = vec![index];
        let mut seen = BTreeSet::new();
        while let Some(index) = todo.pop() {
            if !seen.insert(index) {
                continue;
            }
            let stage = &self.graph.stages()[index];
            if let Base::Stage(parent) = stage.base {
                todo.push(parent);
            }
            for at in stage.body.clone() {
                let full = self.file.instructions[at].full;
                if text_gives_rights(&self.file.text()[full.start as usize..full.end as usize]) {
                    return Some(at);
                }
                todo.extend(self.graph.sources(at));
            }
        }
        None
    }
}

fn text_gives_rights(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let ends = |c: char| c.is_whitespace() || ";&|()<>{}\"'`\\,[]".contains(c);
    let words: Vec<&str> = text.split(ends).filter(|w| !w.is_empty()).collect();
    words.iter().enumerate().any(|(i, word)| {
        let name = word.rsplit('/').next().unwrap_or(word);
        let next = words[i + 1..].iter().find(|w| !w.starts_with('-'));
        let mode = match name {
            "setcap" => return true,
            "chmod" | "-m" | "--mode" => next.copied(),
            _ => ["--chmod=", "--mode=", "-m"].iter().find_map(|p| word.strip_prefix(p)),
        };
        mode.is_some_and(is_special)
    })
}

/// Whether a mode sets suid or sgid.
fn is_special(mode: &str) -> bool {
    if mode.bytes().all(|b| b.is_ascii_digit()) {
        let digits = mode.trim_start_matches('0');
        return digits.len() > 3 && !digits.starts_with('1');
    }
    mode.split_once(['+', '=']).is_some_and(|(_, rights)| rights.contains('s'))
}

#[cfg(test)]
mod tests {
    use super::text_gives_rights;

    #[test]
    fn rights_in_a_text() {
        let check =
            |text: &str, expect: bool| assert_eq!(text_gives_rights(text.as_bytes()), expect, "{text}");
        check("RUN chmod 4755 /out/ping", true);
        check("RUN make && chmod -R u+s,g-w /out", true);
        check("RUN chmod g=rxs /out", true);
        check("RUN install -m 2755 a /out/a", true);
        check("RUN install -m4711 a /out/a", true);
        check("RUN [\"/bin/chmod\", \"06755\", \"/out\"]", true);
        check("COPY --chmod=4755 a /out/a", true);
        check("RUN /sbin/setcap cap_net_bind_service=+ep /out/a", true);
        check("RUN chmod +x /out/a && chmod 0755 /out/b", false);
        check("RUN chmod 1777 /tmp && chmod u=rwx,g=rx /out", false);
        check("RUN useradd -m server && python -m venv /venv", false);
    }
}
