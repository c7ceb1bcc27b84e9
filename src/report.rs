//! What a run says: one entry a file, in the order of their paths, and how it is shown. Pure: a report is data, each module
//! below turns it into bytes.

use crate::{
    cost::Rebuild,
    edit::{Change, Edit, Span},
    pass::Level,
    pipeline::{Plan, Refused, RolledBack, Skipped, Step},
    syntax::SyntaxError,
};

pub mod diff;
pub mod graph;
pub mod json;
pub mod text;

/// A whole run.
#[derive(Debug)]
pub struct Report {
    pub level: Level,
    pub files: Vec<File>,
    /// What could not be looked at and is no file with an entry: one sentence each, with its path.
    pub errors: Vec<String>,
    /// Whether the changes were written.
    pub written: bool,
}

/// What became of one file.
#[derive(Debug)]
pub struct File {
    /// As it is shown: as given, or from the working folder.
    pub path: String,
    /// From the root of the repository, for `git apply`.
    pub patch_path: String,
    pub kind: Kind,
    /// The build contexts, the first one for the report's head.
    pub contexts: Vec<ContextNote>,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
    /// Whether the file is not there before.
    pub is_new: bool,
    pub status: Status,
    pub changes: Vec<Step>,
    /// What the review level would do more.
    pub held: Vec<Step>,
    pub refusals: Vec<Refused>,
    pub rebuild: Option<Rebuild>,
    pub faults: Vec<RolledBack>,
    pub error: Option<FileError>,
}

/// What kind of file an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Dockerfile,
    Dockerignore,
}

/// A build context, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ContextNote {
    pub dir: String,
    /// A short stable name of why, see [`crate::context::Origin::id`].
    pub from: &'static str,
    /// Why, in words.
    #[serde(skip)]
    pub why: String,
    /// The path of an ignore file that lies beside a Dockerfile outside of the context, as a plan names it.
    #[serde(skip)]
    pub outside: Option<String>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Changed,
    Unchanged,
    /// No pass may look at it: the refusal of all passes says why.
    Skipped,
    Error,
}

/// Why a file was not read, understood or written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileError {
    /// A short stable name.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    /// 1-based.
    pub line: Option<u32>,
    /// What to do, where the message is not dfopt's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl FileError {
    /// An error of the whole file.
    #[must_use]
    pub fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, line: None, help: None }
    }
}

impl From<&SyntaxError> for FileError {
    fn from(e: &SyntaxError) -> Self {
        Self { line: Some(e.line), ..Self::new(e.code, e.message.clone()) }
    }
}

/// What counts for the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// dfopt itself failed on a file.
    pub internal: bool,
    /// A file was unreadable, not parsed, not written, or had a step rolled back.
    pub incomplete: bool,
    /// A file differs from what would be written.
    pub changed: bool,
}

/// The refusal of a file that no pass may look at names this instead of a pass.
pub const EVERY_PASS: &str = "*";
/// The code of an error that is dfopt's own.
pub const INTERNAL: &str = "internal-error";

impl File {
    /// The entry of a Dockerfile that was planned.
    #[must_use]
    pub fn planned(path: String, patch_path: String, contexts: Vec<ContextNote>, plan: Plan) -> File {
        let mut file = File::new(path, patch_path, Kind::Dockerfile, plan.before, plan.after);
        file.contexts = contexts;
        (file.changes, file.held, file.refusals) = (plan.steps, plan.held, plan.refused);
        (file.faults, file.rebuild) = (plan.faults, plan.rebuild);
        match plan.skipped {
            Some(Skipped::Invalid(e)) => {
                file.status = Status::Error;
                file.error = Some(FileError::from(&e));
            }
            Some(Skipped::Gate(g)) => {
                file.status = Status::Skipped;
                file.refusals.push(Refused {
                    pass: EVERY_PASS,
                    lines: (g.line, g.line),
                    reason: g.reason,
                    message: g.message,
                    unlock: g.unlock,
                    moot: false,
                });
            }
            // A file that changes together with its `.dockerignore`, or by that alone, has its steps.
            None => {}
        }
        file
    }

    /// The entry of an ignore file that changes or is new.
    #[must_use]
    pub fn ignore(path: String, patch_path: String, before: Option<Vec<u8>>, after: Vec<u8>) -> File {
        let is_new = before.is_none();
        let mut file = File::new(path, patch_path, Kind::Dockerignore, before.unwrap_or_default(), after);
        file.is_new = is_new;
        if is_new {
            file.status = Status::Changed;
        }
        file
    }

    /// The entry of a file that was not planned.
    #[must_use]
    pub fn failed(path: String, before: Vec<u8>, error: FileError) -> File {
        let mut file = File::new(path.clone(), path, Kind::Dockerfile, before.clone(), before);
        file.fail(error);
        file
    }

    /// Makes an error of the entry: what is not written counts as not changed.
    pub fn fail(&mut self, error: FileError) {
        self.status = Status::Error;
        self.error = Some(error);
    }

    fn new(path: String, patch_path: String, kind: Kind, before: Vec<u8>, after: Vec<u8>) -> File {
        let status = if before == after { Status::Unchanged } else { Status::Changed };
        File {
            path,
            patch_path,
            kind,
            contexts: Vec::new(),
            before,
            after,
            is_new: false,
            status,
            changes: Vec::new(),
            held: Vec::new(),
            refusals: Vec::new(),
            rebuild: None,
            faults: Vec::new(),
            error: None,
        }
    }

    /// Whether the file is to be written, or was.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.status == Status::Changed
    }

    /// All changes as one list of disjoint edits to the text before.
    #[must_use]
    pub fn edits(&self) -> Vec<Edit> {
        if self.is_changed() { diff::edits(&self.before, &self.after) } else { Vec::new() }
    }
}

impl Report {
    /// What counts for the exit code.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let internal = |f: &File| f.error.as_ref().is_some_and(|e| e.code == INTERNAL);
        Outcome {
            internal: self.files.iter().any(internal),
            incomplete: !self.errors.is_empty()
                || self.files.iter().any(|f| f.status == Status::Error || !f.faults.is_empty()),
            changed: self.files.iter().any(File::is_changed),
        }
    }

    /// How many steps there are in files that change, in all.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.files.iter().filter(|f| f.status != Status::Error).map(|f| f.changes.len()).sum()
    }
}

/// The edits of a step, each with the path of its file as shown. `dockerfile` is the Dockerfile's own.
#[must_use]
pub fn step_edits<'a>(
    step: &'a Step,
    dockerfile: &str,
    context: Option<&ContextNote>,
) -> Vec<(String, Span, &'a [u8])> {
    let own = step.edits.dockerfile.iter().map(|e| (dockerfile.to_owned(), e.span, e.text.as_slice()));
    let mut out: Vec<_> = own.collect();
    for (path, change) in &step.edits.files {
        let path = match context {
            Some(c) if c.dir != "." && c.outside.as_ref() != Some(path) => format!("{}/{path}", c.dir),
            _ => path.clone(),
        };
        match change {
            Change::Create(bytes) => out.push((path, Span::empty(0), bytes)),
            Change::Edit(edits) => {
                out.extend(edits.iter().map(|e| (path.clone(), e.span, e.text.as_slice())))
            }
        }
    }
    out
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(n: usize, what: &str) -> String {
    let ending = match what {
        _ if n == 1 => "",
        w if w.ends_with("sh") => "es",
        _ => "s",
    };
    format!("{n} {what}{ending}")
}

/// `line 3`, `lines 3-4`.
#[must_use]
pub fn lines((first, last): (u32, u32)) -> String {
    if first == last { format!("line {first}") } else { format!("lines {first}-{last}") }
}
