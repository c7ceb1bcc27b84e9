//! The passes, one a file. The pipeline puts them in order by phase and `after`.
use crate::pass::Pass;

mod add_user;
mod fold;
mod fold_chmod;
mod fold_chown;
mod merge_runs;
mod split_dependency_copy;
mod use_distroless;

/// Every pass, sorted by name.
#[rustfmt::skip]
pub const PASSES: &[&dyn Pass] = &[
    &add_user::AddUser,
    &fold_chmod::FoldChmod,
    &fold_chown::FoldChown,
    &merge_runs::MergeRuns,
    &split_dependency_copy::SplitDependencyCopy,
    &use_distroless::UseDistroless,
];
