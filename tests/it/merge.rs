//! What is too long for a golden case.

use dfopt::{
    knowledge::Knowledge,
    options::Options,
    pass::{Level, Reason},
    passes::PASSES,
    pipeline::{Request, Unit, plan},
};

#[test]
fn a_merged_text_stays_within_what_a_shell_takes() {
    // a line of a Dockerfile has 65,535 bytes at most
    let line = format!("{}\\\n", "x ".repeat(5000));
    for (lines, fits) in [(6, true), (7, false)] {
        let run = format!("RUN echo {}> /opt/a\n", line.repeat(lines));
        let text = format!("FROM debian:12\n{run}{run}");
        let unit = Unit { text: text.into_bytes(), contexts: Vec::new(), options: Options::default() };
        let passes: Vec<_> = PASSES.iter().filter(|p| p.meta().id == "merge-runs").copied().collect();
        let request = Request { level: Level::Safe, passes: &passes, knowledge: Knowledge::builtin() };
        let plan = plan(&unit, &request);
        let refused: Vec<Reason> = plan.refused.iter().map(|r| r.reason).collect();
        assert_eq!(plan.is_changed(), fits, "{lines}");
        assert_eq!(refused, if fits { Vec::new() } else { vec![Reason::OrderObservable] }, "{lines}");
    }
}
