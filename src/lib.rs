//! dfopt: an optimizing compiler for Dockerfiles. The layers stand here in reading order, which is the order of
//! dependence: a module uses only the modules above it.
#![forbid(unsafe_code)]
pub mod edit;
pub mod options;
pub mod syntax;
pub mod shell;
pub mod knowledge;
pub mod context;
pub mod graph;
pub mod facts;
pub mod pass;
pub mod ecosystem;
pub mod cost;
pub mod validate;
#[path = "../passes/mod.rs"]
pub mod passes;
pub mod pipeline;
#[allow(clippy::disallowed_methods, reason = "the disk is its duty")]
pub mod repo;
pub mod report;
#[allow(clippy::disallowed_methods, reason = "it starts the engine and keeps temporary files")]
pub mod verify;
#[allow(clippy::disallowed_methods, reason = "it looks for the nearest .dfopt.yaml")]
pub mod config;
#[allow(clippy::disallowed_methods, reason = "it knows the environment and the streams")]
pub mod cli;
