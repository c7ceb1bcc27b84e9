//! What BuildKit refuses in a file that it can read: errors of the line parsers, then those of `instructions/parse.go`.

use super::{Dockerfile, Instruction, Keyword, SyntaxError};

/// The first error: the parser's of any instruction comes before the second step's of an earlier one, for BuildKit reads
/// the whole file before it looks at what the instructions mean.
pub(super) fn first_error(file: &Dockerfile) -> Option<SyntaxError> {
    let parser = file.instructions.iter().find_map(|ins| {
        let (code, message) = ins.detail().error.clone()?;
        Some(SyntaxError { code, message, line: ins.lines.0, second_level: false })
    });
    parser.or_else(|| second_level(file))
}

fn second_level(file: &Dockerfile) -> Option<SyntaxError> {
    let mut in_stage = false;
    for ins in &file.instructions {
        let error = instruction_error(ins).or_else(|| {
            let outside = !in_stage && !matches!(ins.keyword, Keyword::From | Keyword::Arg);
            outside.then(|| ("no-stage", "no build stage in current context".to_owned()))
        });
        if let Some((code, message)) = error {
            let message = if code == "no-stage" {
                message
            } else {
                format!("dockerfile parse error on line {}: {message}", ins.lines.0)
            };
            return Some(SyntaxError { code, message, line: ins.lines.0, second_level: true });
        }
        in_stage |= ins.keyword == Keyword::From;
    }
    None
}

fn instruction_error(ins: &Instruction) -> Option<(&'static str, String)> {
    use Keyword as K;
    let detail = ins.detail();
    let name = detail.keyword_text.to_uppercase();
    let args = ins.args();
    if ins.keyword == K::Unknown {
        return Some(("unknown-instruction", format!("unknown instruction: {}", detail.keyword_text)));
    }
    let known = flags_of(ins.keyword);
    if let Some(flag) = ins.flags().iter().find(|f| !known.contains(&f.name.as_str())) {
        return Some(("unknown-flag", format!("unknown flag: --{}", flag.name)));
    }
    let wrong = |what: &str| Some(("arguments", format!("{name} requires {what}")));
    match ins.keyword {
        K::From if !matches!(args.len(), 1 | 3) => wrong("either one or three arguments"),
        K::From if args.len() == 3 && !args[1].value.eq_ignore_ascii_case("as") => {
            Some(("arguments", format!("second argument of FROM must be AS, not {}", args[1].value)))
        }
        K::Copy | K::Add if args.len() < 2 => {
            wrong("at least two arguments, but only one was provided. Destination could not be determined")
        }
        K::User | K::Workdir | K::Stopsignal | K::Maintainer if args.len() != 1 => {
            wrong("exactly one argument")
        }
        K::Env | K::Label | K::Arg | K::Expose | K::Volume | K::Onbuild | K::Shell | K::Healthcheck
            if args.is_empty() && ins.inner().is_none() =>
        {
            wrong("at least one argument")
        }
        K::Shell if !ins.is_exec() => {
            Some(("arguments", "SHELL requires the arguments to be in JSON form".into()))
        }
        K::Healthcheck => healthcheck_error(ins),
        K::Onbuild => onbuild_error(ins.inner()?),
        _ => None,
    }
}

fn healthcheck_error(ins: &Instruction) -> Option<(&'static str, String)> {
    let kind = ins.first().to_uppercase();
    match kind.as_str() {
        "NONE" if ins.args().len() > 1 => Some(("arguments", "HEALTHCHECK NONE takes no arguments".into())),
        "NONE" | "CMD" if kind == "NONE" || ins.args().len() > 1 => None,
        "CMD" => Some(("arguments", "Missing command after HEALTHCHECK CMD".into())),
        _ => Some(("arguments", format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    }
}

fn onbuild_error(inner: &Instruction) -> Option<(&'static str, String)> {
    match inner.keyword {
        Keyword::Onbuild => Some(("onbuild", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into())),
        Keyword::From | Keyword::Maintainer => {
            Some(("onbuild", format!("{} isn't allowed as an ONBUILD trigger", inner.keyword.name())))
        }
        _ => instruction_error(inner),
    }
}

/// The flags of `instructions/parse.go`; those of RUN come from its mount, network, security and device files.
fn flags_of(keyword: Keyword) -> &'static [&'static str] {
    match keyword {
        Keyword::From => &["platform"],
        Keyword::Run => &["mount", "network", "security", "device"],
        Keyword::Copy => &["from", "chown", "chmod", "link", "parents", "exclude"],
        Keyword::Add => &["chown", "chmod", "link", "checksum", "keep-git-dir", "exclude", "unpack"],
        Keyword::Healthcheck => &["interval", "timeout", "start-period", "start-interval", "retries"],
        _ => &[],
    }
}
