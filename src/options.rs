//! What a run is told from outside the Dockerfile: the builder, targets, arguments, and how the image is run.

use std::fmt;

/// What is known of the build from outside the Dockerfile.
#[derive(Clone, Debug)]
pub struct Options {
    pub builder: Builder,
    /// `--target` and the targets that compose, bake or skaffold name; empty: the last stage.
    pub targets: Vec<String>,
    /// `--build-arg`, and what the same entries give.
    pub build_args: Vec<(String, String)>,
    /// Assumptions that the user vouches for.
    pub assume: Vec<Assumption>,
    /// What the repository says of how the image is run.
    pub deployment: Deployment,
    /// Settings of passes: `passes: {add-user: {uid: 10001}}`.
    pub settings: serde_json::Value,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            builder: Builder::BuildKit { frontend: (1, 4) },
            targets: Vec::new(),
            build_args: Vec::new(),
            assume: Vec::new(),
            deployment: Deployment::default(),
            settings: serde_json::Value::Null,
        }
    }
}

/// How the repository's compose and Kubernetes files run what is built.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Each says where it stands (`compose.yaml:12`) and what it sets.
    pub services: Vec<Service>,
    /// Dockerfiles of the repository that start FROM this image, or that name a stage of this file.
    pub used_as_base_by: Vec<String>,
    /// Other Dockerfiles that are built in the same context, by path.
    pub shares_context_with: Vec<String>,
}

/// One service of a compose file, or container of a Kubernetes manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Where it stands: `compose.yaml:12`.
    pub by: String,
    /// The stage that the entry builds.
    pub target: Option<String>,
    pub user: Option<String>,
    pub run_as_non_root: bool,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// As written: `./src:/app`, `data:/var/lib/x`, `/tmp`.
    pub volumes: Vec<String>,
    /// As written: `8080:80`, `80`.
    pub ports: Vec<String>,
    /// A health check or probe that runs a command in the container.
    pub probe: Option<Vec<String>>,
    pub privileged: bool,
}

/// What builds the file; features that it lacks are refused (semantics 0.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit with at least this Dockerfile frontend, `(major, minor)`.
    BuildKit {
        frontend: (u32, u32),
    },
    Classic,
    Podman,
    Kaniko,
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Builder::BuildKit { frontend: (a, b) } => write!(f, "BuildKit, frontend {a}.{b}"),
            Builder::Classic => f.write_str("the classic builder"),
            Builder::Podman => f.write_str("podman"),
            Builder::Kaniko => f.write_str("kaniko"),
        }
    }
}

/// The closed list of what a review rewrite may assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assumption {
    BaseIsPlain,
    DestinationIsEmpty,
    BaseRunsAsRoot,
    InstallIsRepeatable,
    ContextIsTheBuilt,
}

impl Assumption {
    pub const ALL: [Assumption; 5] = [
        Assumption::BaseIsPlain,
        Assumption::DestinationIsEmpty,
        Assumption::BaseRunsAsRoot,
        Assumption::InstallIsRepeatable,
        Assumption::ContextIsTheBuilt,
    ];

    /// Its name for `--assume`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Assumption::BaseIsPlain => "base-is-plain",
            Assumption::DestinationIsEmpty => "destination-is-empty",
            Assumption::BaseRunsAsRoot => "base-runs-as-root",
            Assumption::InstallIsRepeatable => "install-is-repeatable",
            Assumption::ContextIsTheBuilt => "context-is-the-built",
        }
    }

    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Assumption::BaseIsPlain => "the base image sets no SHELL and no ONBUILD",
            Assumption::DestinationIsEmpty => "the base image has no file at that destination",
            Assumption::BaseRunsAsRoot => "the base image's default user is root",
            Assumption::InstallIsRepeatable => "an unlocked install gives the same result each time",
            Assumption::ContextIsTheBuilt => "the guessed build context is the one that is built",
        }
    }
}
