//! A stage that starts from another one of the file: what it has of that one, and has to say itself on a new base.

use crate::{
    facts::covers,
    graph::{Base, Stage},
    pass::{Input, Reason, Refusal},
    syntax::Keyword,
};

/// The stages that `stage` starts from, the nearest first.
fn parents<'a>(input: &Input<'a>, stage: &Stage) -> Vec<&'a Stage> {
    let mut out = Vec::new();
    let mut base = &stage.base;
    while let Base::Stage(parent) = *base {
        let parent = &input.graph.stages()[parent];
        base = &parent.base;
        out.push(parent);
    }
    out
}

/// The stage whose FROM names the image, if the stages in between set variables and the working directory alone.
pub(super) fn root<'a>(input: &Input<'a>, stage: &'a Stage) -> Result<&'a Stage, Refusal> {
    let shared = |message: String| {
        Err(Refusal::new(Reason::StageShared, message, "start the stage that ships from the image itself"))
    };
    let parents = parents(input, stage);
    for parent in &parents {
        let name = parent.name.clone().unwrap_or_else(|| parent.index.to_string());
        for at in parent.body.clone() {
            let ins = &input.file.instructions[at];
            let keyword = ins.keyword;
            let place = crate::graph::place(input.file, ins.span);
            match keyword {
                // the folder is made anew, and those around it; another one would be lost
                Keyword::Workdir if is_around(input, at, stage.index) => {}
                Keyword::Env if !crate::facts::contains(ins.source(), b"$") => {}
                Keyword::Env => {
                    return shared(format!(
                        "it starts from the stage {name}, whose ENV on {place} uses a variable"
                    ));
                }
                Keyword::Run | Keyword::Copy | Keyword::Add => {
                    return shared(format!(
                        "it starts from the stage {name}, and would lose what {} on {place} makes there",
                        keyword.name()
                    ));
                }
                _ => {
                    return shared(format!(
                        "it starts from the stage {name}, and would lose {} on {place}",
                        keyword.name()
                    ));
                }
            }
        }
        if parent.platform.is_some() {
            return shared(format!("it starts from the stage {name}, which is for a platform of its own"));
        }
    }
    if let [parent, ..] = parents.as_slice()
        && input.graph.children(parent.index).len() == 1
        && input.graph.takers(parent.index).is_empty()
    {
        let name = parent.name.clone().unwrap_or_else(|| parent.index.to_string());
        return shared(format!("it starts from the stage {name}, which would be left without a use"));
    }
    Ok(parents.last().copied().unwrap_or(stage))
}

/// Whether the working directory that instruction `at` sets is that which stage `index` begins in, or around it.
fn is_around(input: &Input, at: usize, index: usize) -> bool {
    let here = input.facts.after(at).and_then(|s| s.cwd.as_deref());
    let begins = input.facts.before(input.graph.stages()[index].from).and_then(|s| s.cwd.as_deref());
    here.zip(begins).is_some_and(|(here, begins)| covers(here, begins))
}

/// Whether one of those stages sets the working directory.
pub(super) fn sets_folder(input: &Input, stage: usize) -> bool {
    let mut body = parents(input, &input.graph.stages()[stage]).into_iter().flat_map(|s| s.body.clone());
    body.any(|i| input.file.instructions[i].keyword == Keyword::Workdir)
}

/// The ENVs of those stages, as they are written, the first one first.
pub(super) fn variables(input: &Input, stage: usize) -> String {
    let stages = parents(input, &input.graph.stages()[stage]);
    let body = stages.iter().rev().flat_map(|s| s.body.clone()).map(|i| &input.file.instructions[i]);
    let text = |ins: &crate::syntax::Instruction| String::from_utf8_lossy(ins.source()).trim().to_owned();
    let lines = body.filter(|i| i.keyword == Keyword::Env).map(|i| text(i) + input.file.line_end());
    lines.collect()
}
