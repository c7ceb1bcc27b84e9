//! The engine that builds and runs: Docker, by its command line, with BuildKit (or its classic builder). Whatever is made here is
//! named after this run and is gone when the [`Engine`] is dropped.
//!
//! Podman and buildah are not offered: no test shows yet that they build alike.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{
    child::{self, Running, interrupted},
    differ::Image,
    tree::Tree,
};

/// Why something could not be done.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Ctrl-C.
    Interrupted,
    /// The engine is missing, cannot be reached, or did not do what it should: what, and what to do.
    Engine(String),
    /// A build failed: what the builder said last.
    Build { tail: Vec<String> },
}

impl Failure {
    fn of(what: &str, e: &io::Error) -> Failure {
        if interrupted() { Failure::Interrupted } else { Failure::Engine(format!("{what}: {e}")) }
    }
}

/// What all builds of a run have in common.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    pub target: Option<String>,
    pub build_args: Vec<(String, String)>,
    pub platform: Option<String>,
    /// Of RUN; also of the containers that are run.
    pub network: Option<String>,
    /// Further options of `docker build`, as given.
    pub extra: Vec<String>,
    /// Build with the builder that Docker had before BuildKit.
    pub classic: bool,
}

/// One text to build.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    pub dockerfile: &'a [u8],
    /// The ignore file in force; None: there is none.
    pub ignore: Option<&'a [u8]>,
    pub context: &'a Path,
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Built {
    /// A tag of this run.
    pub tag: String,
    /// How long the build took, in seconds.
    pub seconds: f64,
    /// The steps that the builder told of.
    pub steps: Vec<StepRun>,
}

/// A step of a build.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRun {
    /// `[build 2/5] RUN make`.
    pub name: String,
    pub cached: bool,
}

/// What the engine tells of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    /// Of all layers, in bytes.
    pub bytes: u64,
    pub layers: usize,
}

/// A Docker engine, and what this run has made in it.
pub struct Engine {
    options: BuildOptions,
    /// `dfopt-verify-…`: the start of each name that is given.
    session: String,
    made: AtomicUsize,
    images: Mutex<Vec<String>>,
    containers: Mutex<Vec<String>>,
    folder: tempfile::TempDir,
    version: String,
}

/// How many lines of a failed build are told.
const TAIL: usize = 20;

impl Engine {
    /// Finds the engine.
    ///
    /// # Errors
    /// When there is no client, no server, or no BuildKit where it is asked for.
    pub fn find(options: BuildOptions) -> Result<Engine, Failure> {
        let mut ask = Command::new("docker");
        ask.args(["version", "--format", "{{.Server.Version}}"]);
        let found = child::output(&mut ask).map_err(|e| match e.kind() {
            _ if interrupted() => Failure::Interrupted,
            io::ErrorKind::NotFound => Failure::Engine(
                "docker is not on the PATH; install Docker, or verify on a machine that has it".into(),
            ),
            _ => Failure::Engine(format!("docker cannot be started: {e}")),
        })?;
        if !found.ok {
            let said = found.stderr.lines().next().unwrap_or("no answer").to_owned();
            return Err(Failure::Engine(format!(
                "no Docker engine answers ({said}); start it, or point DOCKER_HOST or the docker context to one"
            )));
        }
        if !options.classic {
            let buildx = child::output(Command::new("docker").args(["buildx", "version"]));
            if !buildx.is_ok_and(|b| b.ok) {
                return Err(Failure::Engine(
                    "docker has no buildx plugin, and so no BuildKit; install docker-buildx, or give --builder classic"
                        .into(),
                ));
            }
        }
        let folder = tempfile::Builder::new().prefix("dfopt-verify-").tempdir();
        let folder = folder.map_err(|e| Failure::of("a temporary folder cannot be made", &e))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Engine {
            options,
            session: format!("dfopt-verify-{}-{:x}", process::id(), now.as_nanos()),
            made: AtomicUsize::new(0),
            images: Mutex::default(),
            containers: Mutex::default(),
            folder,
            version: String::from_utf8_lossy(&found.stdout).trim().to_owned(),
        })
    }

    /// Its version, for the report.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What its builds have in common.
    #[must_use]
    pub fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// A folder that is gone with the engine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A name that no other run uses.
    fn name(&self) -> String {
        format!("{}-{}", self.session, self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Builds an image; `see` gets each line of the builder's progress.
    ///
    /// # Errors
    /// When the build fails, the engine does, or the user ends it.
    pub fn build(
        &self,
        recipe: Recipe<'_>,
        use_cache: bool,
        see: &mut dyn FnMut(&str),
    ) -> Result<Built, Failure> {
        let tag = self.name();
        let dockerfile = self.lay(&tag, recipe)?;
        let mut command = self.build_command(&self.options, &tag, &dockerfile, recipe.context, use_cache);
        self.run_build(&mut command, tag, see)
    }

    /// Builds a text that is not the user's, with nothing of what his builds are given but the platform.
    ///
    /// # Errors
    /// As [`Engine::build`].
    pub fn build_alone(&self, recipe: Recipe<'_>) -> Result<Built, Failure> {
        let tag = self.name();
        let dockerfile = self.lay(&tag, recipe)?;
        let options = BuildOptions {
            platform: self.options.platform.clone(),
            classic: self.options.classic,
            ..BuildOptions::default()
        };
        let mut command = self.build_command(&options, &tag, &dockerfile, recipe.context, true);
        self.run_build(&mut command, tag, &mut |_| {})
    }

    fn run_build(
        &self,
        command: &mut Command,
        tag: String,
        see: &mut dyn FnMut(&str),
    ) -> Result<Built, Failure> {
        // Before it is made: a build that is broken off may have made it.
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push(tag.clone());
        let start = Instant::now();
        let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        let running = running.map_err(|e| Failure::of("docker build", &e))?;
        let mut log = Log::default();
        let status = running.wait(&mut |line| {
            log.read(line);
            see(line);
        });
        let status = status.map_err(|e| Failure::of("docker build", &e))?;
        match () {
            () if interrupted() => Err(Failure::Interrupted),
            () if !status.success() => Err(Failure::Build { tail: log.tail }),
            () => Ok(Built { tag, seconds: start.elapsed().as_secs_f64(), steps: log.into_steps() }),
        }
    }

    /// Writes the Dockerfile outside of its context, the ignore file beside it, where BuildKit looks first (moby/buildkit
    /// 73ed6825c `frontend/dockerui/config.go`): nothing of the user's is touched.
    fn lay(&self, name: &str, recipe: Recipe<'_>) -> Result<PathBuf, Failure> {
        let fail = |e: &io::Error| Failure::of("a temporary Dockerfile cannot be written", e);
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).map_err(|e| fail(&e))?;
        let path = folder.join("Dockerfile");
        std::fs::write(&path, recipe.dockerfile).map_err(|e| fail(&e))?;
        // The ignore file of the context must not come instead.
        std::fs::write(folder.join("Dockerfile.dockerignore"), recipe.ignore.unwrap_or_default())
            .map_err(|e| fail(&e))?;
        Ok(path)
    }

    #[allow(clippy::unused_self, reason = "it is how this engine builds")]
    fn build_command(
        &self,
        o: &BuildOptions,
        tag: &str,
        dockerfile: &Path,
        context: &Path,
        use_cache: bool,
    ) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_BUILDKIT", if o.classic { "0" } else { "1" });
        // Attestations would be a second manifest, with the time of the build in it.
        command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
        command.arg("build").arg("--tag").arg(tag).arg("--file").arg(dockerfile);
        if o.classic {
            // else a build that is broken off leaves the container of its step
            command.arg("--force-rm");
        } else {
            command.args(["--progress", "plain", "--load"]);
        }
        if !use_cache {
            command.arg("--no-cache");
        }
        for (name, value) in [("--target", &o.target), ("--platform", &o.platform), ("--network", &o.network)]
        {
            if let Some(value) = value {
                command.arg(name).arg(value);
            }
        }
        for (name, value) in &o.build_args {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command.args(&o.extra).arg(context);
        command
    }

    /// The config and the file system of an image. The archive is read as it comes.
    ///
    /// # Errors
    /// When the engine fails, or the user ends it.
    pub fn image(&self, tag: &str) -> Result<Image, Failure> {
        let config = config(&self.inspect(tag)?);
        // The command is not run, but an image without one cannot be made a container of.
        let container = self.create(&["--network", "none"], tag, &["-".to_owned()])?;
        let mut command = Command::new("docker");
        command.args(["export", &container]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut command).map_err(|e| Failure::of("docker export", &e))?;
        let archive = running.stdout();
        let tree =
            archive.map_or_else(|| Ok(Tree::default()), |a| Tree::read(BufReader::with_capacity(1 << 18, a)));
        let mut said = String::new();
        let status =
            running.wait(&mut |line| said.push_str(line)).map_err(|e| Failure::of("docker export", &e))?;
        self.remove(&container);
        // An archive that is not understood is left unread, and then the export fails too.
        let tree = tree.map_err(|e| Failure::of("the engine's archive cannot be read", &e))?;
        if !status.success() {
            return Err(self.failed("docker export", &said));
        }
        Ok(Image { tree, config })
    }

    /// How large an image is.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn size(&self, tag: &str) -> Result<Size, Failure> {
        let found = self.inspect(tag)?;
        let layers = found.pointer("/RootFS/Layers").and_then(Value::as_array).map_or(0, Vec::len);
        Ok(Size { bytes: found.get("Size").and_then(Value::as_u64).unwrap_or_default(), layers })
    }

    fn inspect(&self, tag: &str) -> Result<Value, Failure> {
        let out = self.ask(&["image", "inspect", tag])?;
        let found: Value = serde_json::from_slice(&out)
            .map_err(|e| Failure::Engine(format!("docker image inspect: no JSON: {e}")))?;
        Ok(found.get(0).cloned().unwrap_or_default())
    }

    /// Makes a container, which is gone with the engine at the latest; its name.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn create(&self, options: &[&str], tag: &str, command: &[String]) -> Result<String, Failure> {
        let name = self.name();
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let mut words = vec!["create", "--name", &name, "--pull", "never"];
        if let Some(platform) = &self.options.platform {
            words.extend(["--platform", platform]);
        }
        words.extend(options);
        words.push(tag);
        words.extend(command.iter().map(String::as_str));
        self.ask(&words)?;
        Ok(name)
    }

    /// Removes a container and its volumes.
    pub fn remove(&self, container: &str) {
        child::clean(Command::new("docker").args(["rm", "--force", "--volumes", container]));
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).retain(|c| c != container);
    }

    /// Runs `docker` with these words; what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn ask(&self, words: &[&str]) -> Result<Vec<u8>, Failure> {
        let what = format!("docker {}", words.first().copied().unwrap_or_default());
        let out = child::output(Command::new("docker").args(words)).map_err(|e| Failure::of(&what, &e))?;
        if out.ok { Ok(out.stdout) } else { Err(self.failed(&what, &out.stderr)) }
    }

    #[allow(clippy::unused_self, reason = "a failure is the engine's")]
    fn failed(&self, what: &str, said: &str) -> Failure {
        if interrupted() {
            return Failure::Interrupted;
        }
        Failure::Engine(format!("{what}: {}", said.lines().last().unwrap_or("it failed and says nothing")))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let containers = std::mem::take(&mut *self.containers.lock().unwrap_or_else(PoisonError::into_inner));
        let images = std::mem::take(&mut *self.images.lock().unwrap_or_else(PoisonError::into_inner));
        if !containers.is_empty() {
            child::clean(Command::new("docker").args(["rm", "--force", "--volumes"]).args(&containers));
        }
        if !images.is_empty() {
            child::clean(Command::new("docker").args(["image", "rm", "--force"]).args(&images));
        }
    }
}

/// The config of an image by field, and what else of its description a rewrite could change. What the classic builder notes of
/// the build itself is left out (moby/moby b985e2313 `daemon/builder/dockerfile/dispatchers.go`): the parent, its container.
fn config(inspected: &Value) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    if let Some(fields) = inspected.get("Config").and_then(Value::as_object) {
        let told = |name: &str| !matches!(name, "Image" | "Hostname");
        out.extend(fields.iter().filter(|(n, _)| told(n)).map(|(n, v)| (n.clone(), v.clone())));
    }
    for name in ["Author", "Architecture", "Variant", "Os", "OsVersion"] {
        if let Some(value) = inspected.get(name) {
            out.push((name.to_owned(), value.clone()));
        }
    }
    out
}

/// What BuildKit's plain progress tells of a build: `#7 [b 2/3] RUN make`, then `#7 CACHED` or `#7 DONE 1.3s` (moby/buildkit 73ed6825c
/// `util/progress/progressui/printer.go`); or the classic builder's `Step 2/5 : RUN make` and ` ---> Using cache`.
#[derive(Default)]
struct Log {
    /// The builder's number of a step, its name, and whether it came from the cache.
    steps: Vec<(String, String, bool)>,
    tail: Vec<String>,
}

impl Log {
    fn read(&mut self, line: &str) {
        if !line.is_empty() {
            if self.tail.len() == TAIL {
                self.tail.remove(0);
            }
            self.tail.push(line.to_owned());
        }
        if let Some((number, name)) = line.strip_prefix("Step ").and_then(|l| l.split_once(" : ")) {
            self.steps.push((number.to_owned(), name.to_owned(), false));
        } else if line.trim() == "---> Using cache" {
            if let Some(last) = self.steps.last_mut() {
                last.2 = true;
            }
        } else if let Some((number, rest)) = line.strip_prefix('#').and_then(|l| l.split_once(' ')) {
            let known = self.steps.iter_mut().find(|(n, ..)| n == number);
            match known {
                Some(step) if rest == "CACHED" => step.2 = true,
                None if is_step(rest) => self.steps.push((number.to_owned(), rest.to_owned(), false)),
                _ => {}
            }
        }
    }

    fn into_steps(self) -> Vec<StepRun> {
        let counts = |name: &str| {
            let words =
                if name.starts_with('[') { name.split_once("] ").map_or(name, |(_, n)| n) } else { name };
            let keyword = words.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            matches!(keyword.as_str(), "RUN" | "COPY" | "ADD" | "WORKDIR")
        };
        let steps = self.steps.into_iter().filter(|(_, name, _)| counts(name));
        steps.map(|(_, name, cached)| StepRun { name, cached }).collect()
    }
}

/// `[2/5] RUN make`, `[build 2/5] RUN make`, `[linux/arm64 build 2/5] RUN make`; not `[internal] load build context`.
fn is_step(text: &str) -> bool {
    let Some((inside, _)) = text.strip_prefix('[').and_then(|t| t.split_once("] ")) else { return false };
    let place = inside.rsplit(' ').next().unwrap_or_default();
    place
        .split_once('/')
        .is_some_and(|(n, m)| [n, m].iter().all(|x| !x.is_empty() && x.bytes().all(|b| b.is_ascii_digit())))
}

/// The lines of a reader, for as long as it can be read.
pub(super) fn lines(reader: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(reader).lines().map_while(Result::ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, expect: &[(&str, bool)]) {
        let mut read = Log::default();
        log.lines().for_each(|l| read.read(l));
        let found: Vec<_> = read.into_steps().into_iter().map(|s| (s.name, s.cached)).collect();
        let expect: Vec<_> = expect.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn reads_which_steps_ran() {
        check(
            "#1 [internal] load build context\n#1 DONE 0.1s\n#2 [1/3] FROM docker.io/library/a\n#2 CACHED\n\
             #3 [build 2/3] COPY . .\n#4 [3/3] RUN make [x] y\n#3 CACHED\n\n#4 [3/3] RUN make [x] y\n#4 0.3 #3 CACHED\n#4 DONE 1s\n",
            &[("[build 2/3] COPY . .", true), ("[3/3] RUN make [x] y", false)],
        );
        check(
            "Step 1/3 : FROM a\n ---> 1\nStep 2/3 : COPY . .\n ---> Using cache\nStep 3/3 : RUN make\n ---> Running in 5\n",
            &[("COPY . .", true), ("RUN make", false)],
        );
    }
}
