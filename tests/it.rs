//! Tests from outside, one module for each part of the crate.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests stand outside of the program"
)]
#[path = "it/support.rs"]
mod support;
#[path = "it/syntax.rs"]
mod syntax;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/merge.rs"]
mod merge;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/readme.rs"]
mod readme;
#[path = "it/mutants.rs"]
mod mutants;
#[path = "it/reviewed.rs"]
mod reviewed;
#[path = "it/edits.rs"]
mod edits;
#[path = "it/properties.rs"]
mod properties;
#[path = "it/differential.rs"]
mod differential;
#[path = "it/tidy.rs"]
mod tidy;
#[path = "it/verify.rs"]
mod verify;
#[path = "it/apps.rs"]
mod apps;
