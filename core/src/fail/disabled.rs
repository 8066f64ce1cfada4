//! Moments at which a crash test ends the process: none in a program that is built for use.

#[inline(always)]
pub(crate) fn point(_name: &str) {}

/// Runs a sync of the log of the database in `_folder`.
#[inline(always)]
pub(crate) fn syncing<T, E>(
    _folder: &std::path::Path,
    sync: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    sync()
}

/// Runs a write that is synced itself.
#[inline(always)]
pub(crate) fn writing_durably<T, E>(
    _folder: &std::path::Path,
    write: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    write()
}
