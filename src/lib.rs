//! dfopt: an optimizing compiler for Dockerfiles. The layers stand here in reading order, which is the order of
//! dependence: a module uses only the modules above it.
pub mod edit;
pub mod syntax;
pub mod repo;
