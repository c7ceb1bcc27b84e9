//! An install of packages by their names, which needs no manifest: it goes before the sources as it is.

use super::{
    Broad,
    assembled::with_comment,
    between::{self, copy_apart, recognized},
    names_variable, write,
};
use crate::{
    ecosystem::Ecosystems,
    edit::Edits,
    facts::covers,
    graph::Stage,
    pass::{Assumption, Effect, Finding, Input, Level, Rewrite},
    syntax::{Keyword, PieceKind},
};

/// What is made of the RUNs behind COPY `at`, up to the last that installs by name and before any that may look at the sources.
pub(super) fn behind(input: &Input, stage: &Stage, at: usize) -> Option<Finding> {
    let file = input.file;
    let copy = &file.instructions[at];
    let state = input.facts.before(at)?;
    let target = state.absolute(&copy.args().last()?.value, file.escape).filter(|v| !v.by_argument)?.text;
    let plain = |name: &str| matches!(name, "chown" | "chmod" | "link");
    let facts = input.facts.stage(stage.index);
    let hidden = facts.windows || facts.image.as_ref().is_some_and(|i| i.onbuild);
    // what an install of the manifests makes of the place is told elsewhere
    let other = (stage.body.clone()).any(|i| recognized(input, i).is_some());
    if hidden || other || !copy.flags().iter().all(|f| plain(&f.name)) {
        return None;
    }
    let source = copy.first().trim_start_matches("./").trim_matches('/');
    let source = if source == "." { "" } else { source }.to_owned();
    let broad = Broad { at, source, target };
    let mut last = None;
    let mut commands = Vec::new();
    for i in at + 1..stage.body.end {
        let step = &file.instructions[i];
        let crosses = match step.keyword {
            Keyword::Run => {
                between::venvs(input, &broad, i).is_empty()
                    && matches!(between::run(input, &broad, input.context, i), Ok(None))
            }
            Keyword::Copy | Keyword::Add => copy_apart(input, &broad, i),
            Keyword::Env | Keyword::Arg => !names_variable(input, at, i),
            // a folder that only the COPY makes would be made by WORKDIR
            Keyword::Workdir => {
                let path = input.facts.after(i)?.cwd.clone()?;
                let before = input.facts.before(at)?.cwd.clone()?;
                let apart = !covers(&path, &broad.target) && !covers(&broad.target, &path);
                apart || covers(&path, &before)
            }
            _ => true,
        };
        if !crosses {
            break;
        }
        let named = input.facts.calls(i).iter().filter_map(|c| c.argv.clone());
        let named: Vec<_> = named.filter(|argv| Ecosystems::builtin().installs_by_name(argv)).collect();
        if step.keyword == Keyword::Run && !named.is_empty() {
            last = Some(i);
            commands.extend(named.into_iter().map(|argv| argv.join(" ")));
        }
    }
    let last = last?;
    let moved = write::moved_copy(input, &broad, last).ok()?;
    let span = with_comment(input, at);
    let install = &file.instructions[last];
    let newline = file.line_end();
    let comment = &file.text()[span.start as usize..copy.span.start as usize];
    let lines = format!("{}{moved}", String::from_utf8_lossy(comment));
    // a paragraph stays one
    let blank = file.pieces.iter().find(|p| p.kind == PieceKind::Blank && p.span.start == copy.full.end);
    let blank = blank.filter(|_| span.start < copy.full.start);
    let span = blank.map_or(span, |b| span.to(b.span));
    let lines = if blank.is_some() { format!("{newline}{lines}") } else { lines };
    let mut edits = Edits::default();
    edits.dockerfile.delete(span);
    let end = install.full.end;
    let ends = file.text()[..end as usize].ends_with(b"\n");
    edits
        .dockerfile
        .insert(end, if ends { format!("{lines}{newline}") } else { format!("{newline}{lines}") });
    let written = commands.join("`, `");
    let rewrite = Rewrite {
        level: Level::Review,
        evidence: vec![format!("`{written}` installs by name, and reads nothing that the COPY brings")],
        assumes: vec![Assumption::InstallIsRepeatable],
        effects: commands.into_iter().map(|command| Effect::CommandMoved { command }).collect(),
        edits,
    };
    let at = copy.span.to(install.span);
    Some(Finding::rewrite(at, format!("run `{written}` before the sources come"), rewrite))
}
