//! Rules for rewrites that change the image on purpose, one for each kind.

use super::{Alignment, Fault, Pair, undeclared};
use crate::pass::Effect;

mod base;
mod user;

/// Checks the operations of a stage whose user or base changes.
pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let has = |effect: Effect| pair.claim.effects.contains(&effect);
    if has(Effect::Base { stage: pair.index }) {
        base::check(pair, alignment)
    } else if has(Effect::User { stage: pair.index }) {
        user::check(pair, alignment)
    } else {
        undeclared(pair, alignment)
    }
}
