//! An image at work: started, asked, and looked at.

use std::{
    io::{self, Read},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Wants,
    child::{self, interrupted},
    differ::Image,
    engine::{Engine, Failure, Size},
    tree::Tree,
};
use crate::knowledge::Knowledge;

/// What is asked of a running image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET of this path at this port.
    Http { port: u16, path: String },
    /// A command of the machine that dfopt runs on, by `sh -c`; it finds the container's name in `DFOPT_CONTAINER`, and in `DFOPT_HOST` and
    /// `DFOPT_PORT` where the lowest exposed port is reached.
    Command(String),
}

impl Probe {
    /// Reads `http://:8080/healthz`, or a command.
    ///
    /// # Errors
    /// When it starts like a URL and is none that can be asked.
    pub fn read(text: &str) -> Result<Probe, String> {
        if text.starts_with("https://") {
            return Err(format!(
                "--probe {text}: an image is asked without TLS; write http://:PORT/PATH, or a command"
            ));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return match text.trim() {
                "" => Err("--probe: is empty; write http://:PORT/PATH, or a command".into()),
                command => Ok(Probe::Command(command.to_owned())),
            };
        };
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        if !matches!(name, "" | "localhost" | "127.0.0.1") {
            return Err(format!("--probe {text}: asks another machine; write http://:PORT/PATH"));
        }
        let port = port.parse().map_err(|_| format!("--probe {text}: `{port}` is no port"))?;
        Ok(Probe::Http { port, path: if path.is_empty() { "/".into() } else { path.to_owned() } })
    }
}

/// What an image did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Answer {
    /// `200, 2 bytes`, `exit 0, 12 bytes`, `running`, `exited with 1`.
    pub summary: String,
    /// What it said: the body of its answer, what the command printed, or, of an image that ended by itself, both of its streams.
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// Whether the image started and, where it was asked, answered.
    pub ok: bool,
    /// The last lines of its log, where it did not.
    pub log: Vec<String>,
}

/// At most this much of an answer is told, in bytes.
const MAX_BODY: usize = 4096;

fn as_text<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]))
}

/// What a person wants to know of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Portrait {
    #[serde(flatten)]
    pub size: Size,
    /// What the system calls itself.
    pub system: Option<String>,
    /// As the process has it: name and number where they are known.
    pub user: String,
    pub is_root: bool,
    /// Shells, by path.
    pub shells: Vec<String>,
    /// Programs that install packages, by path.
    pub package_managers: Vec<String>,
    /// How many packages its database tells of; none where there is no database that is understood.
    pub packages: Option<usize>,
}

/// How long an image without anything to ask is watched.
const WATCH: Duration = Duration::from_secs(5);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(150);
const LOG: usize = 10;

/// Starts an image, waits until it answers, and stops it.
///
/// # Errors
/// When the engine fails, or the user ends it. An image that does not answer is an [`Answer`].
pub fn ask(engine: &Engine, tag: &str, image: &Image, wants: &Wants) -> Result<Answer, Failure> {
    let Wants { probe, timeout, .. } = wants;
    let (probe, timeout) = (probe.as_ref(), *timeout);
    let exposed = exposed(image);
    let port = match probe {
        Some(Probe::Http { port, .. }) => Some(*port),
        _ => exposed.first().copied(),
    };
    let network = engine.options().network.clone();
    let publish = port.filter(|_| matches!(network.as_deref(), None | Some("default" | "bridge")));
    let published = publish.map(|p| format!("127.0.0.1::{p}"));
    let mut options = Vec::new();
    if let Some(network) = &network {
        options.extend(["--network", network]);
    }
    if let Some(published) = &published {
        options.extend(["--publish", published]);
    }
    let container = engine.create(&options, tag, &wants.args)?;
    let started = engine.ask(&["start", &container]);
    let answer = match started {
        Err(Failure::Engine(said)) => {
            Ok(Answer { summary: "does not start".into(), body: Vec::new(), ok: false, log: vec![said] })
        }
        Err(e) => Err(e),
        Ok(_) => wait(engine, &container, port, publish.is_some(), probe, timeout),
    };
    engine.remove(&container);
    answer
}

fn wait(
    engine: &Engine,
    container: &str,
    port: Option<u16>,
    is_published: bool,
    probe: Option<&Probe>,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let start = Instant::now();
    let host_port = match port {
        Some(port) if is_published => published_port(engine, container, port)?,
        port => port,
    };
    loop {
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        let state = state(engine, container)?;
        let answer = match probe {
            Some(_) if state.health == Some(false) => Err("unhealthy".to_owned()),
            Some(Probe::Http { path, .. }) => get(host_port.unwrap_or(80), path),
            Some(Probe::Command(command)) => run(command, container, host_port),
            None => match state.exited {
                Some(code) => ended(container, code),
                None => watched(&state, host_port, start.elapsed()),
            },
        };
        let (summary, body) = match answer {
            Ok(answer) => answer,
            Err(why) => {
                if let Some(code) = state.exited {
                    return failed(container, format!("exited with {code} before it answered"));
                }
                if start.elapsed() > timeout {
                    return failed(container, format!("no answer in {} s: {why}", timeout.as_secs()));
                }
                thread::sleep(PAUSE);
                continue;
            }
        };
        return Ok(Answer { summary, body, ok: true, log: Vec::new() });
    }
}

fn failed(container: &str, summary: String) -> Result<Answer, Failure> {
    let out = child::output(Command::new("docker").args(["logs", "--tail", &LOG.to_string(), container]));
    if interrupted() {
        return Err(Failure::Interrupted);
    }
    let log = out.map_or_else(
        |_| Vec::new(),
        |o| {
            let text = String::from_utf8_lossy(&o.stdout).into_owned() + &o.stderr;
            text.lines().map(str::to_owned).collect()
        },
    );
    Ok(Answer { summary, body: Vec::new(), ok: false, log })
}

/// An image that is asked nothing and runs is judged by its port, where it exposes one; else by its health check; else by running on.
fn watched(state: &State, port: Option<u16>, elapsed: Duration) -> Result<(String, Vec<u8>), String> {
    let said = |text: &str| Ok((text.to_owned(), Vec::new()));
    match (state.health, port) {
        (Some(true), _) => said("healthy"),
        (Some(false), _) => said("unhealthy"),
        (None, Some(port)) if is_open(port) => said("its port is open"),
        (None, None) if !state.has_health && elapsed > WATCH => said("running"),
        (None, Some(_)) => Err("no port is open".into()),
        (None, None) => Err("its health is not known".into()),
    }
}

/// An image that has done its work: how it ended, and what it printed.
fn ended(container: &str, code: i64) -> Result<(String, Vec<u8>), String> {
    let out = child::output(Command::new("docker").args(["logs", container])).map_err(|e| e.to_string())?;
    let mut said = out.stdout;
    said.extend(out.stderr.as_bytes());
    Ok((format!("exited with {code}, {} bytes", said.len()), said))
}

/// Whether somebody listens. The engine's proxy takes connections for a container that does not, and closes them at once.
fn is_open(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    if stream.set_read_timeout(Some(Duration::from_millis(200))).is_err() {
        return false;
    }
    match stream.read(&mut [0]) {
        Ok(n) => n > 0,
        Err(e) => matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

struct State {
    exited: Option<i64>,
    has_health: bool,
    /// None: not known yet.
    health: Option<bool>,
}

fn state(engine: &Engine, container: &str) -> Result<State, Failure> {
    let out = engine.ask(&["container", "inspect", container])?;
    let found: Value = serde_json::from_slice(&out)
        .map_err(|e| Failure::Engine(format!("docker container inspect: {e}")))?;
    let get = |at: &str| found.pointer(&format!("/0/State/{at}")).cloned().unwrap_or_default();
    let health = get("Health/Status").as_str().map(str::to_owned);
    let running = get("Running").as_bool().unwrap_or_default();
    Ok(State {
        exited: (!running).then(|| get("ExitCode").as_i64().unwrap_or_default()),
        has_health: health.as_deref().is_some_and(|h| h != "none"),
        health: match health.as_deref() {
            Some("healthy") => Some(true),
            Some("unhealthy") => Some(false),
            _ => None,
        },
    })
}

fn published_port(engine: &Engine, container: &str, port: u16) -> Result<Option<u16>, Failure> {
    let out = engine.ask(&["port", container, &format!("{port}/tcp")]);
    match out {
        Ok(out) => Ok(super::engine::lines(&*out).find_map(|l| l.rsplit(':').next()?.trim().parse().ok())),
        // It may have exited already.
        Err(Failure::Engine(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn get(port: u16, path: &str) -> Result<(String, Vec<u8>), String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER))
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut response =
        agent.get(format!("http://127.0.0.1:{port}{path}")).call().map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_vec().map_err(|e| e.to_string())?;
    Ok((format!("{status}, {} bytes", body.len()), body))
}

fn run(command: &str, container: &str, port: Option<u16>) -> Result<(String, Vec<u8>), String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("DFOPT_CONTAINER", container);
    if let Some(port) = port {
        shell.env("DFOPT_HOST", "127.0.0.1").env("DFOPT_PORT", port.to_string());
    }
    let out = child::output_within(&mut shell, ANSWER).map_err(|e| format!("sh cannot be started: {e}"))?;
    if out.ok {
        return Ok((format!("exit 0, {} bytes", out.stdout.len()), out.stdout));
    }
    let said = out.stderr.lines().last().unwrap_or_default();
    Err(out
        .code
        .map_or_else(|| "the command does not end".into(), |c| format!("the command exits with {c}: {said}")))
}

/// The TCP ports that the image exposes, the lowest first.
fn exposed(image: &Image) -> Vec<u16> {
    let ports = image.config.iter().find(|(n, _)| n == "ExposedPorts").and_then(|(_, v)| v.as_object());
    let mut out: Vec<u16> =
        ports.into_iter().flatten().filter_map(|(p, _)| p.strip_suffix("/tcp")?.parse().ok()).collect();
    out.sort_unstable();
    out
}

/// Looks at an image.
#[must_use]
pub fn portrait(image: &Image, size: Size, knowledge: &Knowledge) -> Portrait {
    let tree = &image.tree;
    let found = |names: &mut dyn Iterator<Item = String>| -> Vec<String> {
        names
            .filter_map(|name| {
                let places = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
                places.into_iter().find(|p| tree.find(p).is_some()).map(|p| format!("/{p}"))
            })
            .collect()
    };
    let (user, is_root) = user(image);
    Portrait {
        size,
        system: system(tree),
        user,
        is_root,
        shells: found(&mut SHELLS.iter().map(|s| (*s).to_owned())),
        package_managers: found(&mut knowledge.package_managers().keys().cloned()),
        packages: packages(tree),
    }
}

/// Where programs of a system lie (Filesystem Hierarchy Standard 3.0).
const FOLDERS: [&str; 6] = ["bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin", "busybox"];
/// What a shell-form command, or a person, would start (Debian 13 /etc/shells, busybox).
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "busybox"];

fn system(tree: &Tree) -> Option<String> {
    let text = tree.text("etc/os-release").or_else(|| tree.text("usr/lib/os-release"))?;
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    value("PRETTY_NAME").or_else(|| value("ID"))
}

/// The user of the process: `node (1000)`, `0 (root)`; and whether that is root.
fn user(image: &Image) -> (String, bool) {
    let given =
        image.config.iter().find(|(n, _)| n == "User").and_then(|(_, v)| v.as_str()).unwrap_or_default();
    let name = given.split(':').next().unwrap_or_default();
    let passwd = image.tree.text("etc/passwd").unwrap_or_default();
    let mut entries = passwd.lines().filter_map(|l| {
        let mut fields = l.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.to_owned()))
    });
    let name = if name.is_empty() { "0" } else { name };
    let entry = entries.find(|(n, id)| n == name || id == name);
    match entry {
        Some((name, id)) => {
            let is_root = id == "0";
            (format!("{name} ({id})"), is_root)
        }
        None => (name.to_owned(), matches!(name, "0" | "root")),
    }
}

/// dpkg: a paragraph a package (deb-control(5)), in one file, or in distroless in a file each; apk: a `P:` line each (apk-package(5)).
fn packages(tree: &Tree) -> Option<usize> {
    let count = |text: &str, prefix: &str| text.lines().filter(|l| l.starts_with(prefix)).count();
    let dpkg = tree.text("var/lib/dpkg/status").map(|t| count(&t, "Package: "));
    let split: usize = tree.texts_below("var/lib/dpkg/status.d/").map(|t| count(&t, "Package: ")).sum();
    let apk = tree.text("lib/apk/db/installed").map(|t| count(&t, "P:"));
    dpkg.or(apk).or((split > 0).then_some(split))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_probes() {
        let http = |port, path: &str| Ok(Probe::Http { port, path: path.into() });
        assert_eq!(Probe::read("http://:8080/healthz"), http(8080, "/healthz"));
        assert_eq!(Probe::read("http://localhost"), http(80, "/"));
        assert_eq!(Probe::read("curl -f localhost"), Ok(Probe::Command("curl -f localhost".into())));
        for wrong in ["https://:1/", "http://example.org/", "http://:x/", ""] {
            assert!(Probe::read(wrong).is_err(), "{wrong}");
        }
    }
}
