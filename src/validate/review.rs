//! What a review rewrite may change, a rule for each of its effects.

use super::*;

mod user;

pub(super) fn check(pair: &Pair, a: &Alignment) -> Result<(), Fault> {
    if pair.claim.effects.contains(&Effect::User { stage: pair.index }) {
        return user::check(pair, a);
    }
    undeclared(pair, a)
}
