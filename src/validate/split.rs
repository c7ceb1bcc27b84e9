use super::*;
pub(super) fn check(pair: &Pair, a: &Alignment) -> Result<(), Fault> { undeclared(pair, a) }
