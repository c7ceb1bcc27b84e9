//! What a run is told from outside the Dockerfile: the builder, targets, arguments, and how the image is run.

use std::fmt;

/// What is known of the build from outside the Dockerfile.
#[derive(Clone, Debug)]
pub struct Options {
    pub builder: Builder,
    /// `--target` and the targets that compose, bake or skaffold name; empty: the last stage.
    pub targets: Vec<String>,
    /// `--platform`, or the platforms that every one of these entries names; empty: not known.
    pub platforms: Vec<Platform>,
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
            platforms: Vec::new(),
            build_args: Vec::new(),
            assume: Vec::new(),
            deployment: Deployment::default(),
            settings: serde_json::Value::Null,
        }
    }
}

impl Options {
    /// Whether the image is, or may be, one of Windows.
    #[must_use]
    pub fn targets_windows(&self) -> bool {
        self.platforms.iter().any(|p| p.os == "windows")
    }

    /// The arguments that the builder sets by itself, as far as all platforms agree on their value (reference: "Automatic
    /// platform ARGs in the global scope"). The classic builder sets none.
    #[must_use]
    pub fn automatic_args(&self) -> Vec<(String, Option<String>)> {
        let Some(first) = self.platforms.first() else { return Vec::new() };
        if self.builder == Builder::Classic {
            return Vec::new();
        }
        type Part = fn(&Platform) -> String;
        let args: [(&str, Part); 4] = [
            ("TARGETPLATFORM", Platform::to_string),
            ("TARGETOS", |p| p.os.clone()),
            ("TARGETARCH", |p| p.arch.clone()),
            ("TARGETVARIANT", |p| p.variant.clone()),
        ];
        let agreed = args.into_iter().filter(|(_, of)| self.platforms.iter().all(|p| of(p) == of(first)));
        agreed.map(|(name, of)| (name.to_owned(), Some(of(first)))).collect()
    }
}

/// What an image is built for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    pub os: String,
    pub arch: String,
    /// `v7` of `linux/arm/v7`; empty where there is none.
    pub variant: String,
}

impl Platform {
    /// Reads `os/arch[/variant]`, and names it as containerd does (containerd/platforms `database.go`: normalizeArch). None
    /// for anything else, such as `local` or a part alone, whose other half is that of the builder's machine.
    #[must_use]
    pub fn parse(text: &str) -> Option<Platform> {
        let text = text.to_lowercase();
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |p: &&str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let (os, arch, variant) = match parts.as_slice() {
            [os, arch] => (*os, *arch, ""),
            [os, arch, variant] => (*os, *arch, *variant),
            _ => return None,
        };
        if !parts.iter().all(valid) {
            return None;
        }
        let (arch, variant) = match (arch, variant) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", v) => ("amd64", v),
            ("i386", _) => ("386", ""),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", v) => ("arm64", v),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        Some(Platform { os: os.into(), arch: arch.into(), variant: variant.into() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Platform { os, arch, variant } = self;
        write!(f, "{os}/{arch}")?;
        if variant.is_empty() { Ok(()) } else { write!(f, "/{variant}") }
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
    /// Other commands that are run in the container: hooks of its start and its end.
    pub hooks: Vec<Vec<String>>,
    /// Whether a tool puts files into the running container, as its user.
    pub synced: bool,
    pub privileged: bool,
    /// Capabilities that are added.
    pub capabilities: Vec<String>,
    /// Devices of the host, as written: `/dev/ttyUSB0:/dev/ttyUSB0`.
    pub devices: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(platforms: &[&str], expect: &str) {
        let platforms = platforms.iter().filter_map(|p| Platform::parse(p)).collect();
        let options = Options { platforms, ..Options::default() };
        let args: Vec<String> = options
            .automatic_args()
            .into_iter()
            .map(|(k, v)| format!("{k}={}", v.unwrap_or_default()))
            .collect();
        assert_eq!(args.join(" "), expect);
    }

    #[test]
    fn sets_what_all_platforms_agree_on() {
        check(&[], "");
        check(&["local", "arm64", "linux/", "a/b/c/d", "linux/$A"], "");
        check(&["linux/x86_64"], "TARGETPLATFORM=linux/amd64 TARGETOS=linux TARGETARCH=amd64 TARGETVARIANT=");
        check(&["linux/amd64", "linux/arm64/v8"], "TARGETOS=linux TARGETVARIANT=");
        check(&["linux/arm"], "TARGETPLATFORM=linux/arm/v7 TARGETOS=linux TARGETARCH=arm TARGETVARIANT=v7");
    }
}
