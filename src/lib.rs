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
pub mod repo;
pub mod report;
pub mod config;
pub mod cli;
