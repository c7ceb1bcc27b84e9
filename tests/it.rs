//! Tests from outside, one module for each part of the crate.
#[path = "it/syntax.rs"]
mod syntax;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/cli.rs"]
mod cli;
