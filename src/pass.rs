//! What a pass is, and what it may say: a rewrite with its evidence, or a refusal with its reason.

use std::fmt;

pub use crate::options::{Assumption, Builder, Options};
use crate::{
    context::Context,
    edit::{Edits, Span},
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    syntax::Dockerfile,
};

/// A rewrite of Dockerfiles. One file of `passes/` each.
pub trait Pass: Sync {
    /// Name, place in the pipeline and safety.
    fn meta(&self) -> Meta;
    /// The pass's own manual: the `//!` text of its file (`include_str!(file!())` does not reach it, so each pass hands over its source).
    fn source(&self) -> &'static str;
    /// Every place of the file that the pass is about: a rewrite or a refusal for each. Pure.
    fn run(&self, input: &Input<'_>) -> Vec<Finding>;
    /// What `passes:` of a config may set, found in [`Options::settings`] under the pass's name.
    fn settings(&self) -> &'static [Setting] {
        &[]
    }
}

/// A setting of a pass: its key, and what it may be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    pub takes: Takes,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// A user's or group's number, not root's.
    Id,
    /// A user's or group's name.
    Name,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Takes {
    /// Whether `value` is one; else what is.
    ///
    /// # Errors
    /// What is allowed, for a sentence.
    pub fn check(self, value: &serde_json::Value) -> Result<(), String> {
        let is_name = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        };
        let fits = match self {
            Takes::Id => value.as_u64().is_some_and(|n| n > 0 && n < u64::from(u32::MAX)),
            Takes::Name => value.as_str().is_some_and(is_name),
            Takes::Word(words) => value.as_str().is_some_and(|s| words.contains(&s)),
        };
        match self {
            _ if fits => Ok(()),
            Takes::Id => Err("a number above 0".into()),
            Takes::Name => Err("a name of small letters, digits, - and _".into()),
            Takes::Word(words) => Err(words.join(" or ")),
        }
    }
}

/// What a pass says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Its name, in kebab case: `merge-runs`.
    pub id: &'static str,
    /// One sentence, for the README's table.
    pub summary: &'static str,
    pub phase: Phase,
    /// Passes of the same phase that come first.
    pub after: &'static [&'static str],
    /// The best level that any of its findings can have.
    pub ceiling: Level,
    /// Rules of hadolint and of BuildKit's checks: a pragma that switches one off holds for the pass too.
    pub rules: &'static [&'static str],
}

/// The pipeline's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Base,
    Stages,
    Layers,
    Runtime,
    Context,
}

/// How much is proved of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The image changes on purpose, or the proof rests on an assumption: classes S2 and S3 of the semantics.
    Review,
    /// The same final files, config, stages and build behaviour, proved: classes S0 and S1.
    Safe,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Review => "review",
            Level::Safe => "safe",
        })
    }
}

/// What a pass looks at.
pub struct Input<'a> {
    pub file: &'a Dockerfile,
    pub graph: &'a Graph,
    pub facts: &'a Facts<'a>,
    /// The build context, if it is known.
    pub context: Option<&'a Context>,
    pub knowledge: &'a Knowledge,
    pub options: &'a Options,
}

/// A fact that a rewrite rests on: what, and where it was looked up.
pub type Fact = String;

/// What a rewrite changes on purpose. Validation lets pass these and nothing else; [`Level::Safe`] admits the first five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The owner of these paths is set by another instruction than before; at the end of the stage it is the same.
    OwnerMoved { path: String },
    /// The mode likewise.
    ModeMoved { path: String },
    /// A command runs earlier than it did: its text.
    CommandMoved { command: String },
    /// A command that was not there: its text. At safe only one that downloads and writes nothing that ships differently.
    CommandAdded { command: String },
    /// A line of `.dockerignore`.
    ContextNarrowed { line: String },
    /// The user that the image runs as.
    User { stage: usize },
    /// The stage's base image.
    Base { stage: usize },
    /// Entrypoint or command.
    Entrypoint { stage: usize },
    /// Environment variables that are lost or gained.
    Env { stage: usize, names: Vec<String> },
    /// A command that is gone: its text.
    Removed { command: String },
    /// The working directory.
    Workdir { stage: usize },
    /// The owner of these paths changes.
    Owner { path: String },
}

impl Effect {
    /// Whether a safe rewrite may have it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(
            self,
            Effect::OwnerMoved { .. }
                | Effect::ModeMoved { .. }
                | Effect::CommandMoved { .. }
                | Effect::CommandAdded { .. }
                | Effect::ContextNarrowed { .. }
        )
    }
}

/// One place of the file, and what the pass says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The instructions it is about.
    pub at: Span,
    /// What is done, or why not; no capital, no full stop.
    pub message: String,
    pub outcome: Outcome,
}

/// A rewrite, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Rewrite(Rewrite),
    Refuse {
        reason: Reason,
        unlock: String,
        /// It would gain nothing either: shown on demand alone.
        moot: bool,
    },
}

/// A rewrite: what is sure about it, and the edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub level: Level,
    pub evidence: Vec<Fact>,
    pub assumes: Vec<Assumption>,
    pub effects: Vec<Effect>,
    pub edits: Edits,
}

impl Finding {
    /// A refusal.
    #[must_use]
    pub fn refuse(at: Span, refusal: Refusal) -> Finding {
        let Refusal { reason, message, unlock, moot } = refusal;
        Finding { at, message, outcome: Outcome::Refuse { reason, unlock, moot } }
    }

    /// A rewrite. Its level falls to review where it assumes anything.
    #[must_use]
    pub fn rewrite(at: Span, message: impl Into<String>, mut rewrite: Rewrite) -> Finding {
        rewrite.assumes.sort();
        rewrite.assumes.dedup();
        if !rewrite.assumes.is_empty() {
            rewrite.level = Level::Review;
        }
        Finding { at, message: message.into(), outcome: Outcome::Rewrite(rewrite) }
    }

    /// Makes a refusal of a rewrite; a refusal stays as it is.
    pub fn refuse_instead(&mut self, reason: Reason, message: impl Into<String>, unlock: &str) {
        if self.as_rewrite().is_some() {
            *self = Finding::refuse(self.at, Refusal::new(reason, message, unlock));
        }
    }

    /// The rewrite, if it is one.
    #[must_use]
    pub fn as_rewrite(&self) -> Option<&Rewrite> {
        match &self.outcome {
            Outcome::Rewrite(r) => Some(r),
            Outcome::Refuse { .. } => None,
        }
    }
}

/// Why a pass leaves a place alone, on its way to a [`Finding`]: so a precondition is a function that returns `Result<_, Refusal>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
    pub unlock: String,
    pub moot: bool,
}

impl Refusal {
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>, unlock: impl Into<String>) -> Self {
        Self { reason, message: message.into(), unlock: unlock.into(), moot: reason == Reason::NoGain }
    }

    /// The same of a place where the rewrite would gain nothing: a reader need not act, and sees it on demand alone.
    #[must_use]
    pub fn moot(self) -> Self {
        Self { moot: true, ..self }
    }
}

macro_rules! reasons {
    ($($name:ident $id:literal $text:literal,)*) => {
        /// Why a place is left alone: a closed list, so that a batch can count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $(#[doc = $text] $name,)* }

        impl Reason {
            /// Every reason, in the order of this list.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// Its name in reports.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Reason::$name => $id,)* }
            }

            /// What it means.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    OptedOut "opted-out" "a pragma or the config says to leave it",
    SyntaxUnknown "syntax-unknown" "the file, an instruction or a flag is not understood",
    ShellOpaque "shell-opaque" "the shell or the command cannot be read",
    VariableUnresolved "variable-unresolved" "a variable has no known value",
    ImageUnknown "image-unknown" "the base image is not in the catalogues",
    EcosystemUnknown "ecosystem-unknown" "the installer or one of its options is not in the catalogues",
    ContextMissing "context-missing" "the build context, or a file of it, is not known",
    LockfileMissing "lockfile-missing" "there is no lock file",
    ManifestUnsuited "manifest-unsuited" "a manifest makes the install read or run more than the manifests",
    InstallOverlaid "install-overlaid" "the context may carry what the install writes, and would overlay it",
    OrderObservable "order-observable" "something between would see the difference",
    StateLeaks "shell-state-leaks" "shell state of one command would reach the next",
    MountsDiffer "mounts-differ" "the commands run with different mounts, network or security",
    NeedsRoot "needs-root" "something needs root at run time",
    BackgroundProcess "background-process" "a process started by one command would live on in the next",
    Windows "windows" "the image is Windows, or its shell cmd or PowerShell",
    Templated "templated" "the file is a template",
    FrontendUnknown "frontend-unknown" "the builder may lack the feature",
    NoGain "no-gain" "the result would be no better",
    CacheFrontier "cache-frontier" "a slow, rarely changed step and a volatile one would share a cache key",
    OwnerUnknown "owner-unknown" "a user or group may not exist there, or its number is not known",
    ContentUnknown "content-unknown" "other content under the path is not known",
    StageShared "stage-shared" "another stage or file depends on the stage",
    EntrypointUnsuited "entrypoint-unsuited" "entrypoint, command or health check needs what would be gone",
    LinkageUnknown "linkage-unknown" "how the program is linked is not known",
    Conflict "conflict" "another change is in the way",
    NotProven "not-proven" "a precondition could not be proved",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
