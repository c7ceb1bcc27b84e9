<<<<<<< HEAD
//! Rules for rewrites that change the image on purpose.

use super::{Alignment, Fault, Pair, undeclared};
use crate::pass::Effect;

mod base;

/// Checks the operations of a stage whose user or base changes.
pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    if pair.claim.effects.contains(&Effect::Base { stage: pair.index }) {
        return base::check(pair, alignment);
    }
    undeclared(pair, alignment)
=======
//! What a review rewrite may change, a rule for each of its effects.

use super::*;

mod user;

pub(super) fn check(pair: &Pair, a: &Alignment) -> Result<(), Fault> {
    if pair.claim.effects.contains(&Effect::User { stage: pair.index }) {
        return user::check(pair, a);
    }
    undeclared(pair, a)
>>>>>>> h-user
}
