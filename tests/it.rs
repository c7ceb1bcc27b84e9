//! Tests from outside, one module for each part of the crate.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests stand outside of the program")]
#[path = "it/syntax.rs"]
mod syntax;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/readme.rs"]
mod readme;
