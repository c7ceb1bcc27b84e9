//! `.dfopt.yaml`: what a project sets once. The nearest one upward counts; it is not merged with others but by `extends`.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    options::{Assumption, Builder, Platform},
    pass::Level,
    passes::PASSES,
    repo::{self, absolute},
};

/// The file's name.
pub const NAME: &str = ".dfopt.yaml";

/// The longest config that is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;
/// How many files `extends` may lead through.
const MAX_EXTENDS: usize = 16;

/// Its keys, for suggestions.
const KEYS: [&str; 14] = [
    "level",
    "select",
    "ignore",
    "exclude",
    "per-file-ignores",
    "passes",
    "catalogues",
    "builder",
    "target",
    "platform",
    "build-args",
    "assume",
    "extends",
    "verify",
];

/// What a config says. Paths are absolute, globs as in a `.gitignore` that stands in `base`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The file that it comes from, if any.
    pub file: Option<PathBuf>,
    /// Its folder, or the working folder.
    pub base: PathBuf,
    pub level: Option<Level>,
    /// Passes that run; None: all.
    pub select: Option<Vec<String>>,
    pub ignore: Vec<String>,
    pub exclude: Vec<String>,
    pub per_file_ignores: Vec<(String, Vec<String>)>,
    /// Settings of passes, by name.
    pub passes: Map<String, Value>,
    pub catalogues: Vec<PathBuf>,
    pub builder: Option<Builder>,
    pub targets: Vec<String>,
    pub platforms: Vec<Platform>,
    pub build_args: Vec<(String, String)>,
    pub assume: Vec<Assumption>,
    /// Paths of images that `dfopt verify` does not compare.
    pub verify_ignore: Vec<String>,
}

/// What is wrong with a config: `file:line: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// As it is shown; `--config` for a `KEY=VALUE`.
    pub file: String,
    /// 1-based.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The file's own shape. Every key may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    level: Option<String>,
    select: Option<Vec<String>>,
    ignore: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    per_file_ignores: Option<BTreeMap<String, Vec<String>>>,
    passes: Option<Map<String, Value>>,
    catalogues: Option<Vec<String>>,
    builder: Option<String>,
    target: Option<OneOrMore>,
    platform: Option<OneOrMore>,
    build_args: Option<BTreeMap<String, String>>,
    assume: Option<Vec<String>>,
    extends: Option<OneOrMore>,
    verify: Option<RawVerify>,
}

/// What `dfopt verify` is told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerify {
    #[serde(default)]
    ignore: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMore::One(x) => vec![x],
            OneOrMore::More(xs) => xs,
        }
    }
}

impl Config {
    /// The config in the file `path`, with what it extends.
    ///
    /// # Errors
    /// When one of the files cannot be read, is no YAML, or has a key or value that is not known.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        load(path, 0)
    }

    /// The nearest `.dfopt.yaml` of `dir` or a folder above it.
    #[must_use]
    pub fn nearest(dir: &Path) -> Option<PathBuf> {
        absolute(dir).ancestors().map(|d| d.join(NAME)).find(|f| f.is_file())
    }

    /// Sets one key from `KEY=VALUE` of the command line: `level=review`, `passes.add-user.uid=10001`. The value is YAML.
    ///
    /// # Errors
    /// When the key or the value is not known.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let (key, value) = assignment.split_once('=').unwrap_or((assignment, ""));
        let mut yaml = String::new();
        let mut indent = String::new();
        for part in key.split('.') {
            yaml += &format!("{indent}{}:", serde_json::to_string(part).unwrap_or_default());
            indent = format!("\n{} ", indent.trim_start_matches('\n'));
        }
        yaml += &format!(" {value}\n");
        let file = format!("--config {assignment}");
        let raw = parse(&yaml, &file).map_err(|e| ConfigError { line: None, ..e })?;
        self.lay_over(raw, &yaml, &file).map_err(|e| ConfigError { line: None, ..e })
    }

    /// Puts what `raw` says over what is there: a key replaces the one of its name, settings of a pass likewise.
    fn lay_over(&mut self, raw: Raw, text: &str, file: &str) -> Result<(), ConfigError> {
        let fail = |word: &str, message: String| {
            Err(ConfigError { file: file.to_owned(), line: line_of(text, word), message })
        };
        if let Some(level) = raw.level {
            self.level = match level.as_str() {
                "safe" => Some(Level::Safe),
                "review" => Some(Level::Review),
                other => return fail(other, format!("`{other}` is no level; use safe or review")),
            };
        }
        let per_file = raw.per_file_ignores.unwrap_or_default();
        let named = raw.select.iter().flatten().chain(raw.ignore.iter().flatten());
        let named =
            named.chain(per_file.values().flatten()).chain(raw.passes.iter().flatten().map(|(k, _)| k));
        for name in named {
            if let Err(message) = pass_name(name) {
                return fail(name, message);
            }
        }
        for (pass, settings) in raw.passes.iter().flatten() {
            if let Err((word, message)) = setting(pass, settings) {
                return fail(&word, message);
            }
        }
        self.select = raw.select.or(self.select.take());
        self.ignore = raw.ignore.unwrap_or(std::mem::take(&mut self.ignore));
        self.exclude = raw.exclude.unwrap_or(std::mem::take(&mut self.exclude));
        if !per_file.is_empty() {
            self.per_file_ignores = per_file.into_iter().collect();
        }
        for (pass, settings) in raw.passes.unwrap_or_default() {
            match (self.passes.get_mut(&pass), settings) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, settings) => _ = self.passes.insert(pass, settings),
            }
        }
        if let Some(catalogues) = raw.catalogues {
            self.catalogues = catalogues.iter().map(|c| self.base.join(c)).collect();
        }
        if let Some(builder) = raw.builder {
            match parse_builder(&builder) {
                Ok(b) => self.builder = Some(b),
                Err(message) => return fail(&builder, message),
            }
        }
        if let Some(target) = raw.target {
            self.targets = target.into_vec();
        }
        if let Some(platform) = raw.platform {
            self.platforms.clear();
            for word in platform.into_vec() {
                match parse_platform(&word) {
                    Ok(p) => self.platforms.push(p),
                    Err(message) => return fail(&word, message),
                }
            }
        }
        if let Some(args) = raw.build_args {
            self.build_args = args.into_iter().collect();
        }
        for word in raw.assume.unwrap_or_default() {
            match parse_assumption(&word) {
                Ok(a) => self.assume.push(a),
                Err(message) => return fail(&word, message),
            }
        }
        if let Some(verify) = raw.verify {
            self.verify_ignore = verify.ignore;
        }
        Ok(())
    }
}

/// Whether a pass has these settings; else the word that is wrong, and why.
fn setting(pass: &str, settings: &Value) -> Result<(), (String, String)> {
    let known = PASSES.iter().find(|p| p.meta().id == pass).map(|p| p.settings()).unwrap_or_default();
    let names: Vec<&str> = known.iter().map(|s| s.name).collect();
    let has = match names.is_empty() {
        true => "has no settings".to_owned(),
        false => format!("has {}", names.join(", ")),
    };
    let Some(settings) = settings.as_object() else {
        return Err((pass.to_owned(), format!("`{pass}` {has}; write them as {{KEY: VALUE}}")));
    };
    for (key, value) in settings {
        let Some(setting) = known.iter().find(|s| s.name == key) else {
            let hint = suggest(key, names.iter().copied());
            return Err((key.clone(), format!("unknown setting `{key}` of {pass}, which {has}{hint}")));
        };
        if let Err(allowed) = setting.takes.check(value) {
            return Err((key.clone(), format!("`{key}` of {pass} is {allowed}, not {value}")));
        }
    }
    Ok(())
}

fn load(path: &Path, depth: usize) -> Result<Config, ConfigError> {
    let shown = shown(path);
    let fail = |message: String| ConfigError { file: shown.clone(), line: None, message };
    let bytes = repo::read(path, MAX_SIZE).map_err(|e| {
        let text = e.to_string();
        fail(text.split_once(": ").map_or(text.clone(), |(_, why)| why.to_owned()))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| fail("the config is not UTF-8".into()))?;
    let raw = parse(&text, &shown)?;
    let path = absolute(path);
    let base = path.parent().unwrap_or(&path).to_path_buf();
    let mut config = Config::default();
    for other in raw.extends.clone().map(OneOrMore::into_vec).unwrap_or_default() {
        if depth >= MAX_EXTENDS {
            return Err(ConfigError {
                line: line_of(&text, "extends"),
                ..fail(format!(
                    "`extends` goes on for more than {MAX_EXTENDS} files, or in a circle; remove it"
                ))
            });
        }
        let below = load(&base.join(&other), depth + 1).map_err(|e| match e.line {
            None => ConfigError {
                file: shown.clone(),
                line: line_of(&text, "extends"),
                message: format!("extends {}: {}", e.file, e.message),
            },
            Some(_) => e,
        })?;
        config = over(config, below);
    }
    (config.file, config.base) = (Some(path), base);
    config.lay_over(raw, &text, &shown)?;
    Ok(config)
}

/// `upper` over `lower`, of two files that a third extends.
fn over(lower: Config, upper: Config) -> Config {
    let or = |upper: Vec<String>, lower: Vec<String>| if upper.is_empty() { lower } else { upper };
    let mut passes = lower.passes;
    passes.extend(upper.passes);
    Config {
        file: upper.file,
        base: upper.base,
        level: upper.level.or(lower.level),
        select: upper.select.or(lower.select),
        ignore: or(upper.ignore, lower.ignore),
        exclude: or(upper.exclude, lower.exclude),
        per_file_ignores: [lower.per_file_ignores, upper.per_file_ignores].concat(),
        passes,
        catalogues: [lower.catalogues, upper.catalogues].concat(),
        builder: upper.builder.or(lower.builder),
        targets: or(upper.targets, lower.targets),
        platforms: if upper.platforms.is_empty() { lower.platforms } else { upper.platforms },
        build_args: [lower.build_args, upper.build_args].concat(),
        assume: [lower.assume, upper.assume].concat(),
        verify_ignore: [lower.verify_ignore, upper.verify_ignore].concat(),
    }
}

fn parse(text: &str, file: &str) -> Result<Raw, ConfigError> {
    let is_empty = text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
    if is_empty {
        return Ok(Raw::default());
    }
    serde_yaml::from_str(text).map_err(|e| {
        let message = e.to_string();
        // serde's own words: "unknown field `levle`, expected one of …"
        let unknown = message.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`'));
        let line = e.location().map(|l| l.line());
        match unknown {
            Some((key, _)) => ConfigError {
                file: file.to_owned(),
                line: line_of(text, key).or(line),
                message: format!("unknown key `{key}`{}", suggest(key, KEYS)),
            },
            None => {
                let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
                let message = match message.strip_suffix(", expected a sequence") {
                    Some(found) => format!("{found}; write a list, in [ ]"),
                    None => message,
                };
                ConfigError { file: file.to_owned(), line, message }
            }
        }
    })
}

/// The 1-based line on which `word` first stands as a key or a value.
fn line_of(text: &str, word: &str) -> Option<usize> {
    let is_word = |line: &str| {
        let line = line.split(" #").next().unwrap_or(line);
        line.split([' ', ',', '[', ']', '{', '}', ':', '"', '\'']).any(|w| w == word)
            || (word.contains([' ', ':']) && line.contains(word))
    };
    text.lines().position(|l| !l.trim_start().starts_with('#') && is_word(l)).map(|i| i + 1)
}

/// `path` from the working folder, where it lies below it; else as it is.
#[must_use]
pub fn shown(path: &Path) -> String {
    let below =
        std::env::current_dir().ok().and_then(|cwd| path.strip_prefix(cwd).ok().map(Path::to_path_buf));
    let path = below.as_deref().unwrap_or(path);
    let text = path.to_string_lossy();
    if text.is_empty() { ".".into() } else { text.strip_prefix("./").unwrap_or(&text).to_owned() }
}

/// Whether there is a pass of that name.
///
/// # Errors
/// The message, with the name that may be meant.
pub fn pass_name(name: &str) -> Result<(), String> {
    let mut ids = PASSES.iter().map(|p| p.meta().id);
    if ids.any(|id| id == name) {
        return Ok(());
    }
    let hint = suggest(name, PASSES.iter().map(|p| p.meta().id));
    Err(format!("`{name}` is no pass{hint}; see `dfopt passes`"))
}

/// Reads a builder: `buildkit`, `buildkit=1.7`, `classic`, `podman`, `kaniko`.
///
/// # Errors
/// What is allowed.
pub fn parse_builder(text: &str) -> Result<Builder, String> {
    let wrong = || format!("`{text}` is no builder; use buildkit[=FRONTEND], classic, podman or kaniko");
    match text.split_once('=') {
        Some(("buildkit", version)) => {
            Ok(Builder::BuildKit { frontend: parse_version(version).ok_or_else(wrong)? })
        }
        None => match text {
            "buildkit" => Ok(crate::options::Options::default().builder),
            "classic" => Ok(Builder::Classic),
            "podman" => Ok(Builder::Podman),
            "kaniko" => Ok(Builder::Kaniko),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// Reads a platform: `linux/amd64`, `linux/arm/v7`.
///
/// # Errors
/// What is allowed.
pub fn parse_platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text)
        .ok_or_else(|| format!("`{text}` is no platform; write OS/ARCH[/VARIANT], such as linux/arm64"))
}

/// `1.7`, `1.7.1`, `1.7-labs`: major and minor.
#[must_use]
pub fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Reads the name of an assumption.
///
/// # Errors
/// What is allowed.
pub fn parse_assumption(text: &str) -> Result<Assumption, String> {
    Assumption::ALL.into_iter().find(|a| a.id() == text).ok_or_else(|| {
        let all: Vec<_> = Assumption::ALL.iter().map(|a| a.id()).collect();
        format!("`{text}` is no assumption; there are {}", all.join(", "))
    })
}

/// `; did you mean …?`, where a name is near enough.
#[must_use]
pub fn suggest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let near = names.into_iter().map(|n| (distance(word, n), n)).min();
    match near {
        Some((d, name)) if d <= 1 + name.len().min(word.len()) / 4 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour (Damerau and Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for k in 1..=b.len() {
            let replace = rows[i - 1][k - 1] + usize::from(a[i - 1] != b[k - 1]);
            let mut best = replace.min(rows[i - 1][k] + 1).min(row[k - 1] + 1);
            if i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] {
                best = best.min(rows[i - 2][k - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(text: &str, expect: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(NAME);
        fs::write(&file, text).unwrap();
        let error = Config::load(&file)
            .map_or_else(|e| format!("{}: {}", e.line.unwrap_or(0), e.message), |_| "ok".into());
        assert_eq!(error, expect, "{text}");
    }

    #[test]
    fn says_where_a_config_is_wrong() {
        check("", "ok");
        check("# nothing\n", "ok");
        check("level: review\nignore: [merge-runs]\n", "ok");
        check("# a\nlevle: safe\n", "2: unknown key `levle`; did you mean `level`?");
        check("level: unsafe\n", "1: `unsafe` is no level; use safe or review");
        check(
            "ignore:\n- merge-run\n",
            "2: `merge-run` is no pass; did you mean `merge-runs`?; see `dfopt passes`",
        );
        check("ignore: merge-runs\n", "1: ignore: invalid type: string \"merge-runs\"; write a list, in [ ]");
        check(
            "passes:\n  add-user: {nam: app}\n",
            "2: unknown setting `nam` of add-user, which has uid, name; did you mean `name`?",
        );
        check("passes:\n  add-user:\n    uid: 0\n", "3: `uid` of add-user is a number above 0, not 0");
        check(
            "passes: {merge-runs: {x: 1}}\n",
            "1: unknown setting `x` of merge-runs, which has no settings",
        );
        check("passes: {add-user: 3}\n", "1: `add-user` has uid, name; write them as {KEY: VALUE}");
        check("platform: arm64\n", "1: `arm64` is no platform; write OS/ARCH[/VARIANT], such as linux/arm64");
        check("exclude: [a]\ncatalogues: []\nper-file-ignores: {a: [merge-runs]}\n", "ok");
        check(
            "builder: docker\n",
            "1: `docker` is no builder; use buildkit[=FRONTEND], classic, podman or kaniko",
        );
        check(
            "level: safe\nextends: .dfopt.yaml\n",
            "2: `extends` goes on for more than 16 files, or in a circle; remove it",
        );
    }

    #[test]
    fn sets_a_key() {
        let mut config = Config::default();
        config.set("level=review").unwrap();
        config.set("ignore=[merge-runs]").unwrap();
        config.set("passes.add-user.uid=3").unwrap();
        config.set("passes.add-user.name=web").unwrap();
        config.set("platform=[linux/arm64, linux/amd64]").unwrap();
        assert_eq!((config.level, config.ignore.len()), (Some(Level::Review), 1));
        assert_eq!((&config.passes["add-user"]["uid"], config.platforms.len()), (&3.into(), 2));
        assert_eq!(config.passes["add-user"]["name"], "web");
        assert_eq!(config.set("levl=1").unwrap_err().message, "unknown key `levl`; did you mean `level`?");
    }

    #[test]
    fn what_extends_goes_over_what_is_extended() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("base.yaml"), "level: review\nexclude: [x]\n").unwrap();
        fs::write(dir.path().join("a").join(NAME), "extends: ../base.yaml\nexclude: [y]\n").unwrap();
        let config = Config::load(&Config::nearest(&dir.path().join("a")).unwrap()).unwrap();
        assert_eq!((config.level, config.exclude), (Some(Level::Review), vec!["y".to_string()]));
    }
}
