//! What holds for a file: the command line over its config over the defaults.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::args::{self, LevelName};
use crate::{
    config::{Config, pass_name},
    knowledge::Knowledge,
    options::{Builder, Options},
    pass::{Level, Pass},
    passes::PASSES,
    pipeline::ordered,
    repo,
};

/// What one config, or none, comes to with the command line.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) level: Level,
    /// In the pipeline's order.
    passes: Vec<&'static dyn Pass>,
    overlaid: Option<Knowledge>,
    pub(super) builder: Option<Builder>,
    /// Empty: not given.
    pub(super) targets: Vec<String>,
    pub(super) options: Options,
    per_file_ignores: Vec<(Gitignore, Vec<String>)>,
}

impl Settings {
    pub(super) fn knowledge(&self) -> &Knowledge {
        match &self.overlaid {
            Some(knowledge) => knowledge,
            None => Knowledge::builtin(),
        }
    }

    /// The passes that run on the file at `path`, which is absolute.
    pub(super) fn passes_for(&self, path: &Path) -> Vec<&'static dyn Pass> {
        let off: Vec<&String> = self
            .per_file_ignores
            .iter()
            .filter(|(glob, _)| {
                path.starts_with(glob.path()) && glob.matched_path_or_any_parents(path, false).is_ignore()
            })
            .flat_map(|(_, passes)| passes)
            .collect();
        self.passes.iter().copied().filter(|p| !off.iter().any(|o| *o == p.meta().id)).collect()
    }
}

/// The settings of a run: the command line, and each config that is met.
pub(super) struct Session<'a> {
    args: &'a args::Plan,
    /// Those of the command line, and the working folder: outside git, they are what a repository is.
    pub(super) folders: Vec<PathBuf>,
    /// The config of each folder that was asked for.
    configs: Mutex<BTreeMap<PathBuf, Option<PathBuf>>>,
    settings: Mutex<BTreeMap<Option<PathBuf>, Arc<Settings>>>,
}

impl<'a> Session<'a> {
    /// `paths` are the files and folders that were asked for.
    pub(super) fn new(args: &'a args::Plan, paths: &[PathBuf]) -> Self {
        let folders = paths.iter().filter(|p| p.is_dir()).cloned().chain([PathBuf::from(".")]).collect();
        Self { args, folders, configs: Mutex::default(), settings: Mutex::default() }
    }

    pub(super) fn args(&self) -> &args::Plan {
        self.args
    }

    /// The level that the report names: that of the command line, else of the working folder's config.
    pub(super) fn level(&self) -> Level {
        self.for_folder(Path::new(".")).map_or(Level::Safe, |s| s.level)
    }

    /// The settings for the files of `dir`.
    ///
    /// # Errors
    /// What is wrong with the config or the command line.
    pub(super) fn for_folder(&self, dir: &Path) -> Result<Arc<Settings>, String> {
        let files: Vec<&String> = self.args.config.iter().filter(|c| is_file(c)).collect();
        let path = match files.last() {
            Some(file) => Some(PathBuf::from(file)),
            None if self.args.isolated => None,
            None => self.nearest(&repo::absolute(dir)),
        };
        let found = self.settings.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        if let Some(settings) = found {
            return Ok(settings);
        }
        let settings = Arc::new(self.resolve(path.as_deref())?);
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).insert(path, settings.clone());
        Ok(settings)
    }

    /// As [`Config::nearest`], but each folder is looked at once.
    fn nearest(&self, dir: &Path) -> Option<PathBuf> {
        if let Some(found) = self.configs.lock().unwrap_or_else(PoisonError::into_inner).get(dir) {
            return found.clone();
        }
        let own = dir.join(crate::config::NAME);
        let found = if own.is_file() { Some(own) } else { dir.parent().and_then(|d| self.nearest(d)) };
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_path_buf(), found.clone());
        found
    }

    fn resolve(&self, path: Option<&Path>) -> Result<Settings, String> {
        let args = self.args;
        let cwd = env::current_dir().map_err(|e| format!("the working folder cannot be read: {e}"))?;
        let mut config = match path {
            Some(path) => Config::load(path).map_err(|e| e.to_string())?,
            None => Config { base: cwd.clone(), ..Config::default() },
        };
        for assignment in args.config.iter().filter(|c| !is_file(c)) {
            if !assignment.contains('=') {
                return Err(format!("--config {assignment}: no such file, and no KEY=VALUE"));
            }
            config.set(assignment).map_err(|e| e.to_string())?;
        }
        for name in args.select.iter().chain(&args.ignore) {
            pass_name(name)?;
        }
        let select = if args.select.is_empty() { config.select.as_ref() } else { Some(&args.select) };
        let runs = |id: &str| {
            let is = |list: &[String]| list.iter().any(|n| n == id);
            // What is selected on the command line runs though the config ignores it.
            let ignored = is(&args.ignore) || (args.select.is_empty() && is(&config.ignore));
            select.is_none_or(|list| is(list)) && !ignored
        };
        let passes = ordered(PASSES).into_iter().filter(|p| runs(p.meta().id)).collect();
        let level = match args.level {
            Some(LevelName::Safe) => Level::Safe,
            Some(LevelName::Review) => Level::Review,
            None => config.level.unwrap_or(Level::Safe),
        };
        let options = Options {
            platforms: if args.platform.is_empty() {
                config.platforms.clone()
            } else {
                args.platform.clone()
            },
            build_args: build_args(&args.build_arg, &config)?,
            assume: [config.assume.as_slice(), &args.assume].concat(),
            settings: serde_json::Value::Object(config.passes.clone()),
            ..Options::default()
        };
        Ok(Settings {
            level,
            passes,
            overlaid: overlaid(&config)?,
            builder: args.builder.or(config.builder),
            targets: if args.target.is_empty() { config.targets.clone() } else { args.target.clone() },
            options,
            per_file_ignores: per_file_ignores(&args.per_file_ignores, &config, &cwd)?,
            config,
        })
    }
}

fn is_file(config: &str) -> bool {
    Path::new(config).exists() || (!config.contains('=') && config.contains(['/', '.']))
}

fn overlaid(config: &Config) -> Result<Option<Knowledge>, String> {
    let mut out: Option<Knowledge> = None;
    for path in &config.catalogues {
        let bytes = repo::read(path, repo::MAX_FILE_SIZE).map_err(|e| format!("catalogues: {e}"))?;
        let shown = crate::config::shown(path);
        let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: the catalogue is not UTF-8"))?;
        out = Some(out.as_ref().unwrap_or(Knowledge::builtin()).with_overlay(&text, &shown)?);
    }
    Ok(out)
}

/// Those of the command line come last, and so count.
fn build_args(given: &[String], config: &Config) -> Result<Vec<(String, String)>, String> {
    let mut out = config.build_args.clone();
    for arg in given {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            // as docker build does: a name alone takes the environment's value, and is nothing where that has none
            None => match env::var(arg) {
                Ok(value) => (arg.as_str(), value),
                Err(_) => continue,
            },
        };
        if name.is_empty() {
            return Err(format!("--build-arg {arg}: has no name; write K=V"));
        }
        out.retain(|(n, _)| n != name);
        out.push((name.to_owned(), value));
    }
    Ok(out)
}

fn per_file_ignores(
    given: &[String],
    config: &Config,
    cwd: &Path,
) -> Result<Vec<(Gitignore, Vec<String>)>, String> {
    let matcher = |base: &Path, glob: &str, option: &str| {
        let mut builder = GitignoreBuilder::new(base);
        builder.add_line(None, glob).map_err(|e| format!("{option} {glob}: {e}"))?;
        builder.build().map_err(|e| format!("{option} {glob}: {e}"))
    };
    let mut out = Vec::new();
    for (glob, passes) in &config.per_file_ignores {
        out.push((matcher(&config.base, glob, "per-file-ignores")?, passes.clone()));
    }
    for entry in given {
        let (glob, pass) =
            entry.rsplit_once(':').ok_or_else(|| format!("--per-file-ignores {entry}: write GLOB:PASS"))?;
        let passes: Vec<String> = pass.split(',').map(str::to_owned).collect();
        for pass in &passes {
            pass_name(pass).map_err(|e| format!("--per-file-ignores {entry}: {e}"))?;
        }
        out.push((matcher(cwd, glob, "--per-file-ignores")?, passes));
    }
    Ok(out)
}
