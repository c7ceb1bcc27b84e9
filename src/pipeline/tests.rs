use super::*;
use crate::pass::Phase;

/// Puts an empty line behind the first instruction, again and again.
struct Restless;

impl Pass for Restless {
    fn meta(&self) -> Meta {
        Meta {
            id: "restless",
            summary: "",
            phase: Phase::Layers,
            after: &[],
            ceiling: Level::Safe,
            rules: &[],
        }
    }

    fn source(&self) -> &'static str {
        ""
    }

    fn run(&self, input: &Input) -> Vec<Finding> {
        let at = input.file.instructions[0].span;
        let mut dockerfile = EditSet::default();
        dockerfile.insert(at.end, "\n");
        let edits = Edits { dockerfile, ..Edits::default() };
        let rewrite =
            Rewrite { level: Level::Safe, evidence: vec![], assumes: vec![], effects: vec![], edits };
        vec![Finding::rewrite(at, "again", rewrite)]
    }
}

#[test]
fn a_pass_that_never_ends_is_given_up() {
    let text = b"FROM a\nRUN b\n".to_vec();
    let unit = Unit { text: text.clone(), contexts: vec![], options: Options::default() };
    let request = Request { level: Level::Safe, passes: &[&Restless], knowledge: Knowledge::builtin() };
    let plan = plan(&unit, &request);
    assert_eq!((plan.after, plan.steps.len()), (text, 0));
    let faults: Vec<_> = plan.faults.iter().map(|f| (f.pass, f.rule)).collect();
    assert_eq!(faults, [("restless", "final")]);
}
