//! Our parser against two others, as second opinions on every file that they accept.
//!
//! BuildKit's own answers are in the syntax corpus (`syntax.rs`); here the files are many and real. What the others are known to
//! read otherwise than BuildKit is taken out by name, with the reason.

use super::support::{corpus, files, root};
use dfopt::syntax::{Dockerfile, Instruction, Keyword, parse};
use parse_dockerfile::{Command, Instruction as Other, JsonOrStringArray, Source};

/// Every Dockerfile of the golden cases, the examples and the corpus.
fn texts() -> Vec<(String, Vec<u8>)> {
    let is_dockerfile = |p: &str| {
        p.rsplit('/').next().is_some_and(|n| n.contains("Dockerfile") || n.ends_with(".dockerfile"))
    };
    let mut out = corpus();
    for dir in ["tests/golden", "examples"] {
        let own =
            files(&root(dir)).into_iter().filter(|(p, _)| is_dockerfile(p) && !p.ends_with(".dockerignore"));
        out.extend(own.map(|(path, (bytes, _))| (format!("{dir}/{path}"), bytes)));
    }
    out
}

/// What one instruction says, as far as the other parser tells it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    keyword: String,
    line: u32,
    /// Exec form arguments, sources and destination, or the words; none where the other parser gives no words.
    words: Option<Vec<String>>,
    flags: Option<Vec<String>>,
}

/// Compares file by file; at least `least` of the corpus, or a third of what there is, must be comparable. `quotes_go`: the other
/// parser takes the quotes off words.
fn compare(
    name: &str,
    least: usize,
    quotes_go: bool,
    read: impl Fn(&str) -> Option<Vec<Said>>,
    known: impl Fn(&Dockerfile, &str) -> bool,
) {
    let (mut compared, mut refused, mut left_out) = (0, 0, 0);
    let mut wrong = Vec::new();
    let texts = texts();
    for (path, bytes) in &texts {
        let file = parse(bytes);
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        if file.error().is_some() {
            continue;
        }
        if known(&file, text) {
            left_out += 1;
            continue;
        }
        let Some(other) = read(text) else {
            refused += 1;
            continue;
        };
        compared += 1;
        let ours: Vec<Said> = file.instructions.iter().map(said).collect();
        if ours.len() != other.len() {
            wrong.push(format!("{path}: {} instructions, the other has {}", ours.len(), other.len()));
            continue;
        }
        for (a, b) in ours.iter().zip(&other) {
            // the quotes of a word are still there in BuildKit's list, and go when it is expanded
            let bare = |words: &Option<Vec<String>>| {
                words.as_ref().map(|w| w.iter().map(|w| w.replace(['"', '\''], "")).collect::<Vec<_>>())
            };
            let same = |x: &Option<Vec<String>>, y: &Option<Vec<String>>| {
                y.is_none() || x == y || (quotes_go && bare(x) == *y)
            };
            if a.keyword != b.keyword
                || a.line != b.line
                || !same(&a.words, &b.words)
                || !same(&a.flags, &b.flags)
            {
                wrong.push(format!("{path}:\n  ours  {a:?}\n  other {b:?}"));
                break;
            }
        }
    }
    eprintln!("{name}: {compared} files compared, {refused} refused by it, {left_out} left out");
    assert!(compared >= least.min(texts.len() / 3), "only {compared} of {} files were compared", texts.len());
    assert!(wrong.is_empty(), "{} files are read otherwise by {name}\n{}", wrong.len(), wrong.join("\n"));
}

fn said(ins: &Instruction) -> Said {
    let words = |with: bool| with.then(|| ins.args().iter().map(|a| a.value.clone()).collect());
    let flags: Vec<String> = ins.flags().iter().map(dfopt::syntax::Flag::text).collect();
    // the shell form is one text
    let listed = ins.is_exec() || !matches!(ins.keyword, Keyword::Run | Keyword::Cmd | Keyword::Entrypoint);
    Said {
        keyword: ins.keyword.name().to_owned(),
        line: ins.lines.0,
        words: words(listed),
        flags: Some(flags),
    }
}

fn line_of(text: &str, at: usize) -> u32 {
    u32::try_from(1 + text[..at].matches('\n').count()).unwrap()
}

#[test]
fn reads_as_parse_dockerfile_does() {
    compare("parse-dockerfile", 2000, false, with_parse_dockerfile, |_, _| false);
}

fn with_parse_dockerfile(text: &str) -> Option<Vec<Said>> {
    let file = parse_dockerfile::parse(text).ok()?;
    Some(file.instructions.iter().map(|i| from_parse_dockerfile(text, i)).collect())
}

fn from_parse_dockerfile(text: &str, ins: &Other) -> Said {
    let flag = |f: &parse_dockerfile::Flag| match &f.value {
        Some(v) => format!("--{}={}", f.name.value, v.value),
        None => format!("--{}", f.name.value),
    };
    let exec = |c: &Command| match c {
        Command::Exec(list) => Some(list.value.iter().map(|s| s.value.to_string()).collect::<Vec<_>>()),
        _ => None,
    };
    // a heredoc is no word of BuildKit's list
    let copy = |src: &[Source], dest: &str| {
        let path = |s: &Source| if let Source::Path(p) = s { Some(p.value.to_string()) } else { None };
        let mut words: Option<Vec<String>> = src.iter().map(path).collect();
        words.iter_mut().for_each(|w| w.push(dest.to_owned()));
        words
    };
    let (keyword, span, words, flags): (&str, _, Option<Vec<String>>, Option<Vec<String>>) = match ins {
        Other::Add(i) => {
            ("ADD", &i.add, copy(&i.src, &i.dest.value), Some(i.options.iter().map(flag).collect()))
        }
        Other::Copy(i) => {
            ("COPY", &i.copy, copy(&i.src, &i.dest.value), Some(i.options.iter().map(flag).collect()))
        }
        Other::Arg(i) => ("ARG", &i.arg, None, None),
        Other::Cmd(i) => ("CMD", &i.cmd, exec(&i.arguments), None),
        Other::Entrypoint(i) => ("ENTRYPOINT", &i.entrypoint, exec(&i.arguments), None),
        Other::Env(i) => ("ENV", &i.env, None, None),
        Other::Expose(i) => ("EXPOSE", &i.expose, None, None),
        Other::From(i) => {
            let mut words = vec![i.image.value.to_string()];
            if let Some((word, name)) = &i.as_ {
                words.push(text[word.span.clone()].to_owned());
                words.push(name.value.to_string());
            }
            ("FROM", &i.from, Some(words), Some(i.options.iter().map(flag).collect()))
        }
        Other::Healthcheck(i) => {
            ("HEALTHCHECK", &i.healthcheck, None, Some(i.options.iter().map(flag).collect()))
        }
        Other::Label(i) => ("LABEL", &i.label, None, None),
        Other::Maintainer(i) => ("MAINTAINER", &i.maintainer, None, None),
        Other::Onbuild(i) => ("ONBUILD", &i.onbuild, None, None),
        Other::Run(i) => ("RUN", &i.run, exec(&i.arguments), Some(i.options.iter().map(flag).collect())),
        Other::Shell(i) => {
            ("SHELL", &i.shell, Some(i.arguments.iter().map(|s| s.value.to_string()).collect()), None)
        }
        Other::Stopsignal(i) => ("STOPSIGNAL", &i.stopsignal, None, None),
        Other::User(i) => ("USER", &i.user, Some(vec![i.arguments.value.to_string()]), None),
        Other::Volume(i) => {
            let words = match &i.arguments {
                JsonOrStringArray::Json(list) => {
                    Some(list.value.iter().map(|s| s.value.to_string()).collect())
                }
                JsonOrStringArray::String(_) => None,
            };
            ("VOLUME", &i.volume, words, None)
        }
        Other::Workdir(i) => ("WORKDIR", &i.workdir, Some(vec![i.arguments.value.to_string()]), None),
        // the other crate may gain instructions: then this says so
        _ => panic!("an instruction that is not known here: {ins:?}"),
    };
    Said { keyword: keyword.to_owned(), line: line_of(text, span.span.start), words, flags }
}

#[test]
fn reads_as_dockerfile_parser_does() {
    compare("dockerfile-parser", 800, true, with_dockerfile_parser, |file, _| {
        // it reads the bodies of heredocs as instructions
        let heredocs = file.instructions.iter().any(|i| !i.heredocs.is_empty());
        // and takes a flag without a value (--link) for a source
        heredocs || file.instructions.iter().flat_map(|i| i.flags()).any(|f| f.value.is_none())
    });
}

fn with_dockerfile_parser(text: &str) -> Option<Vec<Said>> {
    use dockerfile_parser::Instruction as I;
    let file = dockerfile_parser::Dockerfile::parse(text).ok()?;
    let of = |ins: &I| {
        let exec = |e: &dockerfile_parser::ShellOrExecExpr| {
            e.as_exec().map(|list| list.elements.iter().map(|s| s.content.clone()).collect::<Vec<_>>())
        };
        let (keyword, span, words, flags) = match ins {
            I::From(i) => {
                let flags =
                    i.flags.iter().map(|f| format!("--{}={}", f.name.content, f.value.content)).collect();
                ("FROM".to_owned(), i.span, None, Some(flags))
            }
            I::Arg(i) => ("ARG".to_owned(), i.span, None, None),
            I::Label(i) => ("LABEL".to_owned(), i.span, None, None),
            I::Run(i) => ("RUN".to_owned(), i.span, exec(&i.expr), None),
            I::Entrypoint(i) => ("ENTRYPOINT".to_owned(), i.span, exec(&i.expr), None),
            I::Cmd(i) => ("CMD".to_owned(), i.span, exec(&i.expr), None),
            I::Copy(i) => {
                let words = i.sources.iter().chain([&i.destination]).map(|s| s.content.clone()).collect();
                let flags =
                    i.flags.iter().map(|f| format!("--{}={}", f.name.content, f.value.content)).collect();
                ("COPY".to_owned(), i.span, Some(words), Some(flags))
            }
            I::Env(i) => ("ENV".to_owned(), i.span, None, None),
            I::Misc(i) => (i.instruction.content.to_uppercase(), i.span, None, None),
        };
        Said { keyword, line: line_of(text, span.start), words, flags }
    };
    Some(file.instructions.iter().map(of).collect())
}
