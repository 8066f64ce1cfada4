//! Moments at which a crash test ends the process: none in a program that is built for use.

#[inline(always)]
pub(crate) fn point(_name: &str) {}
