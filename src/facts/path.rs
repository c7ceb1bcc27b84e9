//! Absolute paths of an image, as text.

/// `path` without `.`, `..`, doubled and trailing slashes (Go's `path.Clean` of an absolute path).
#[must_use]
pub fn clean(path: &str) -> String {
    let is_plain = |rest: &str| rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    // most paths are clean, and a copy is made faster
    if path.strip_prefix('/').is_some_and(is_plain) {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `path` as seen from the folder `dir`.
#[must_use]
pub fn join(dir: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{dir}/{path}")) }
}

/// The folder that holds `path`; `/` for itself.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(i) => &path[..i],
    }
}

/// Whether `path` is `dir` or lies below it.
#[must_use]
pub fn covers(dir: &str, path: &str) -> bool {
    dir == "/" || path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// How a COPY shifts a path of the context to one of the image: the two without the parts that they end in alike. Two COPYs
/// with the same shift lay their files out as they lie in the context.
#[must_use]
pub fn shift(path: &str, lands: &str) -> (String, String) {
    let [mut from, mut to] =
        [path, lands].map(|p| p.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>());
    while from.last().is_some_and(|part| to.last() == Some(part)) {
        from.pop();
        to.pop();
    }
    (from.join("/"), format!("/{}", to.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans() {
        for (path, expect) in [("/a//b/./c/", "/a/b/c"), ("/a/../..", "/"), ("/", "/"), ("a/b", "/a/b")] {
            assert_eq!(clean(path), expect, "{path}");
        }
        assert_eq!(join("/app", "../x"), "/x");
        assert_eq!(join("/app", "/x"), "/x");
    }

    #[test]
    fn shifts() {
        for (path, lands, expect) in [
            ("pom.xml", "/app/pom.xml", ("", "/app")),
            ("src", "/app/src", ("", "/app")),
            ("web/src", "/app", ("web/src", "/app")),
            ("web/a.js", "/a.js", ("web", "/")),
        ] {
            assert_eq!(shift(path, lands), (expect.0.into(), expect.1.into()), "{path} {lands}");
        }
    }

    #[test]
    fn covers_below_but_not_beside() {
        for (dir, path, expect) in
            [("/a", "/a", true), ("/a", "/a/b", true), ("/a", "/ab", false), ("/", "/x", true)]
        {
            assert_eq!(covers(dir, path), expect, "{dir} {path}");
        }
    }
}
