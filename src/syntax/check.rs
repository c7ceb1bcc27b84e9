//! What BuildKit refuses in a file that it can read: errors of the line parsers, then those of `instructions/parse.go` and
//! `bflag.go` (moby/buildkit 73ed6825c). Not checked: the values of RUN's `--mount`, `--network`, `--security` and
//! `--device`. BuildKit also names the nearest known word after an unknown one; these messages leave that out.

use super::{
    Dockerfile, Instruction, Keyword, SyntaxError,
    words::{heredoc, quote},
};

type Found = Option<(&'static str, String)>;

/// The first error of the line parsers: BuildKit reads the whole file before it looks at what the instructions mean.
pub(super) fn parser_error(file: &Dockerfile) -> Option<SyntaxError> {
    file.instructions.iter().find_map(|ins| {
        let (code, message) = ins.detail().error.clone()?;
        Some(SyntaxError { code, message, line: ins.lines.0, second_level: false })
    })
}

/// The first error of the second step.
pub(super) fn second_level(file: &Dockerfile) -> Option<SyntaxError> {
    let mut in_stage = false;
    for ins in &file.instructions {
        let line = ins.lines.0;
        if let Some((code, message)) = instruction_error(ins) {
            let message = format!("dockerfile parse error on line {line}: {message}");
            return Some(SyntaxError { code, message, line, second_level: true });
        }
        if !in_stage && !matches!(ins.keyword, Keyword::From | Keyword::Arg) {
            let message = "no build stage in current context".to_owned();
            return Some(SyntaxError { code: "no-stage", message, line, second_level: true });
        }
        in_stage |= ins.keyword == Keyword::From;
    }
    None
}

/// In the order in which parse.go looks: for most instructions the arguments come before the flags.
fn instruction_error(ins: &Instruction) -> Found {
    use Keyword as K;
    match ins.keyword {
        K::Unknown => {
            Some(("unknown-instruction", format!("unknown instruction: {}", ins.detail().keyword_text)))
        }
        // their flags are not looked at
        K::Arg | K::Stopsignal => arguments_error(ins),
        K::Env | K::Label | K::Shell => flags_error(ins).or_else(|| arguments_error(ins)),
        K::Add | K::Copy => {
            arguments_error(ins).or_else(|| flags_error(ins)).or_else(|| destination_error(ins))
        }
        K::Healthcheck => arguments_error(ins).or_else(|| healthcheck_error(ins)),
        K::Onbuild => {
            arguments_error(ins).or_else(|| flags_error(ins)).or_else(|| onbuild_error(ins.inner()?))
        }
        K::Volume => arguments_error(ins).or_else(|| flags_error(ins)).or_else(|| volume_error(ins)),
        _ => arguments_error(ins).or_else(|| flags_error(ins)),
    }
}

/// How many arguments there are, and which of them are no names.
fn arguments_error(ins: &Instruction) -> Found {
    use Keyword as K;
    let args = ins.args();
    let name = ins.keyword.name();
    let error = |message: String| Some(("arguments", message));
    match ins.keyword {
        K::From => match args {
            [_] => None,
            [_, r#as, stage] if r#as.value.eq_ignore_ascii_case("as") => stage_error(&stage.value),
            _ => error("FROM requires either one or three arguments".into()),
        },
        K::Copy | K::Add if args.len() < 2 => error(format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        )),
        K::User | K::Workdir | K::Stopsignal | K::Maintainer if args.len() != 1 => {
            error(format!("{name} requires exactly one argument"))
        }
        K::Onbuild if ins.inner().is_some() => None,
        K::Env | K::Label | K::Arg | K::Expose | K::Volume | K::Onbuild | K::Shell | K::Healthcheck
            if args.is_empty() =>
        {
            error(format!("{name} requires at least one argument"))
        }
        K::Shell if !ins.is_exec() => error("SHELL requires the arguments to be in JSON form".into()),
        K::Env | K::Label if ins.pairs().any(|(key, _)| key.value.is_empty()) => {
            error(format!("{name} names can not be blank"))
        }
        K::Arg if args.iter().any(|a| a.value.starts_with('=')) => error("ARG names can not be blank".into()),
        _ => None,
    }
}

fn stage_error(name: &str) -> Found {
    let lower = name.to_lowercase();
    let rest = lower.strip_prefix(|c: char| c.is_ascii_lowercase());
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let valid = rest.is_some_and(|r| r.bytes().all(letter));
    let what = "name can't start with a number or contain symbols";
    (!valid).then(|| ("arguments", format!("invalid name for build stage: {}, {what}", quote(name))))
}

fn volume_error(ins: &Instruction) -> Found {
    let empty = ins.args().iter().any(|a| a.value.trim().is_empty());
    empty.then(|| ("arguments", "VOLUME specified can not be an empty string".into()))
}

fn destination_error(ins: &Instruction) -> Found {
    let last = ins.args().last()?;
    let found = heredoc(&last.value).ok()??;
    let what = format!("{} cannot accept a heredoc as a destination", ins.keyword.name());
    (!found.name.is_empty()).then_some(("heredoc", what))
}

fn onbuild_error(inner: &Instruction) -> Found {
    match inner.keyword {
        Keyword::Onbuild => Some(("onbuild", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into())),
        Keyword::From | Keyword::Maintainer => {
            Some(("onbuild", format!("{} isn't allowed as an ONBUILD trigger", inner.keyword.name())))
        }
        // the rest is looked at where the trigger runs
        _ => None,
    }
}

fn healthcheck_error(ins: &Instruction) -> Found {
    let kind = ins.first().to_uppercase();
    let more = ins.args().len() > 1;
    if kind == "NONE" {
        return more.then(|| ("arguments", "HEALTHCHECK NONE takes no arguments".into()));
    }
    if let Some(error) = flags_error(ins) {
        return Some(error);
    }
    match kind.as_str() {
        "CMD" if more => {}
        "CMD" => return Some(("arguments", "Missing command after HEALTHCHECK CMD".into())),
        _ => return Some(("arguments", format!("Unknown type {} in HEALTHCHECK (try CMD)", quote(&kind)))),
    }
    let value = |name: &str| ins.flag(name).and_then(|f| f.value.as_deref()).filter(|v| !v.is_empty());
    for name in ["interval", "timeout", "start-period", "start-interval"] {
        match value(name).map(nanoseconds) {
            Some(Err(message)) => return Some(("flag-value", message)),
            Some(Ok(n)) if n != 0.0 && n < 1e6 => {
                return Some(("flag-value", format!("Interval \"{name}\" cannot be less than 1ms")));
            }
            _ => {}
        }
    }
    let retries = value("retries")?;
    match retries.parse::<i32>() {
        Ok(n) if n < 0 => Some(("flag-value", format!("--retries cannot be negative ({n})"))),
        Ok(_) => None,
        Err(e) => {
            use std::num::IntErrorKind as E;
            let range = matches!(e.kind(), E::PosOverflow | E::NegOverflow);
            let what = if range { "value out of range" } else { "invalid syntax" };
            Some(("flag-value", format!("strconv.ParseInt: parsing {}: {what}", quote(retries))))
        }
    }
}

/// Go's `time.ParseDuration`.
fn nanoseconds(text: &str) -> Result<f64, String> {
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    let invalid = || format!("time: invalid duration {}", quote(text));
    let mut sum = 0.0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(len);
        // a second point belongs to the unit
        let number_len = number.match_indices('.').nth(1).map_or(len, |(i, _)| i);
        let number: f64 = rest[..number_len].parse().map_err(|_| invalid())?;
        let tail = if number_len == len { tail } else { &rest[number_len..] };
        let len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(len);
        sum += number
            * match unit {
                "ns" => 1.0,
                "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                "" => return Err(format!("time: missing unit in duration {}", quote(text))),
                _ => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
            };
        rest = tail;
    }
    if sum > i64::MAX as f64 { Err(invalid()) } else { Ok(sign * sum) }
}

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`.
    Bool,
    /// A value, once.
    One,
    /// A value, as often as one likes.
    Many,
}

fn flags_error(ins: &Instruction) -> Found {
    let known = flags_of(ins.keyword);
    for (i, flag) in ins.flags().iter().enumerate() {
        let name = &flag.name;
        let Some((_, takes)) = known.iter().find(|(k, _)| k == name) else {
            return Some(("unknown-flag", format!("unknown flag: --{name}")));
        };
        if *takes != Takes::Many && ins.flags()[..i].iter().any(|f| f.name == *name) {
            return Some(("duplicate-flag", format!("duplicate flag specified: --{name}")));
        }
        let missing = match takes {
            Takes::Bool => flag.value.as_deref() == Some(""),
            Takes::One | Takes::Many => flag.value.is_none(),
        };
        if missing {
            return Some(("flag-value", format!("missing a value on flag: --{name}")));
        }
        if *takes == Takes::Bool
            && let Some(value) = &flag.value
            && !matches!(value.to_lowercase().as_str(), "true" | "false")
        {
            let message = format!("expecting boolean value for flag --{name}, not: {value}");
            return Some(("flag-value", message));
        }
    }
    None
}

/// The flags of `instructions/parse.go`; those of RUN come from its mount, network, security and device files.
pub(super) fn flags_of(keyword: Keyword) -> &'static [(&'static str, Takes)] {
    use Takes::{Bool, Many, One};
    match keyword {
        Keyword::From => &[("platform", One)],
        Keyword::Run => &[("mount", Many), ("network", One), ("security", One), ("device", Many)],
        Keyword::Copy => &[
            ("from", One),
            ("chown", One),
            ("chmod", One),
            ("link", Bool),
            ("parents", Bool),
            ("exclude", Many),
        ],
        Keyword::Add => &[
            ("chown", One),
            ("chmod", One),
            ("link", Bool),
            ("checksum", One),
            ("keep-git-dir", Bool),
            ("exclude", Many),
            ("unpack", Bool),
        ],
        Keyword::Healthcheck => &[
            ("interval", One),
            ("timeout", One),
            ("start-period", One),
            ("start-interval", One),
            ("retries", One),
        ],
        _ => &[],
    }
}
