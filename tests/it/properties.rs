//! What holds for every plan: over the golden cases with their contexts, and over a sample of the corpus, which has none.

use super::support::{Case, cases, corpus};
use dfopt::{
    edit::Edits,
    options::Options,
    pass::Level,
    pipeline::{Plan, Step},
    report::{File, Report, json},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Of the corpus, every so manieth file.
const SAMPLE: usize = 40;

fn all() -> Vec<Case> {
    let mut out = cases();
    for (name, text) in corpus().into_iter().step_by(SAMPLE) {
        let before = BTreeMap::from([("Dockerfile".to_owned(), (text, 0o644))]);
        let options = Options::default();
        out.push(Case {
            name,
            pass: "pipeline".into(),
            before,
            after: BTreeMap::new(),
            report: String::new(),
            options,
        });
    }
    out
}

/// Runs `property` on each; all that it finds wrong is told at once.
fn each(property: impl Fn(&Case, &Plan, &Plan) -> Result<(), String>) {
    let mut wrong = Vec::new();
    for case in all() {
        let plan = |level| case.plan(case.text(), &[], level);
        if let Err(why) = property(&case, &plan(Level::Safe), &plan(Level::Review)) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn told(steps: &[Step]) -> Vec<(&'static str, &str, &Edits)> {
    steps.iter().map(|s| (s.pass, s.message.as_str(), &s.edits)).collect()
}

#[test]
fn the_safe_diff_is_a_prefix_of_the_review_diff() {
    each(|_, safe, review| {
        if safe.steps.len() > review.steps.len() {
            return Err(format!("{} safe steps, {} for review", safe.steps.len(), review.steps.len()));
        }
        let (first, rest) = review.steps.split_at(safe.steps.len());
        if told(first) != told(&safe.steps) {
            return Err("the first steps differ".into());
        }
        if told(rest) != told(&safe.held) {
            return Err("what is held is not the rest".into());
        }
        if let Some(s) = safe.steps.iter().find(|s| s.level != Level::Safe) {
            return Err(format!("a step of {} is not safe: {}", s.pass, s.message));
        }
        if !review.held.is_empty() {
            return Err("a plan for review holds nothing back".into());
        }
        Ok(())
    });
}

#[test]
fn steps_in_order_give_the_output() {
    each(|case, safe, review| {
        for plan in [safe, review] {
            let text = plan.steps.iter().fold(case.text().to_vec(), |t, s| s.edits.dockerfile.apply(&t));
            if text != plan.after || plan.before != case.text() {
                return Err("the steps do not lead to the output".into());
            }
            if plan.steps.is_empty() && (plan.is_changed() || plan.after != case.text()) {
                return Err("without a step something changes".into());
            }
        }
        Ok(())
    });
}

/// What a reader of the JSON document makes of `text` by its edits, the last one first.
fn edited(text: &[u8], edits: &Value) -> Vec<u8> {
    let mut out = text.to_vec();
    for edit in edits.as_array().unwrap().iter().rev() {
        let at = |name: &str| usize::try_from(edit[name].as_u64().unwrap()).unwrap();
        let bytes = match edit["hex"].as_str() {
            Some(hex) => {
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..][..2], 16).unwrap()).collect()
            }
            None => edit["text"].as_str().unwrap().as_bytes().to_vec(),
        };
        out.splice(at("start")..at("end"), bytes);
    }
    out
}

#[test]
fn the_edits_of_a_report_give_the_output() {
    each(|_, safe, review| {
        for plan in [safe, review] {
            let file = File::planned("Dockerfile".into(), "Dockerfile".into(), Vec::new(), plan.clone());
            let report = Report { level: Level::Safe, files: vec![file], errors: Vec::new(), written: false };
            let document: Value = serde_json::from_str(&json::render(&report, 3)).unwrap();
            let file = &document["files"][0];
            let mut steps = plan.before.clone();
            for change in file["changes"].as_array().unwrap() {
                let own = change["edits"].as_array().unwrap().iter().filter(|e| e["path"] == "Dockerfile");
                steps = edited(&steps, &Value::Array(own.cloned().collect()));
            }
            let starts: Vec<u64> =
                file["edits"].as_array().unwrap().iter().map(|e| e["start"].as_u64().unwrap()).collect();
            if steps != plan.after || edited(&plan.before, &file["edits"]) != plan.after {
                return Err("the edits do not lead to the output".into());
            }
            if !starts.is_sorted() {
                return Err("the edits are not in order".into());
            }
        }
        Ok(())
    });
}

#[test]
fn the_output_is_final() {
    each(|case, safe, review| {
        for (plan, level) in [(safe, Level::Safe), (review, Level::Review)] {
            let again = case.plan(&plan.after, &plan.files, level);
            if again.is_changed() {
                return Err(format!(
                    "at {level} the output changes again:\n{}",
                    String::from_utf8_lossy(&again.after)
                ));
            }
        }
        Ok(())
    });
}

#[test]
fn validation_rejects_nothing_that_a_pass_does() {
    each(|_, safe, review| match safe.faults.iter().chain(&review.faults).next() {
        Some(f) => Err(format!("{} {}: {}", f.pass, f.rule, f.message)),
        None => Ok(()),
    });
}
