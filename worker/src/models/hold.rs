//! Who uses a file: a worker holds what it serves, and what is held can't be removed.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::ModelError;

/// Keeps a model's file from being removed as long as it lives, and no longer: the system lets go of
/// it however the process ends.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

impl Hold {
    /// Shared: many may use a file at once.
    ///
    /// # Errors
    /// [`ModelError::InUse`] while it is being removed.
    pub fn shared(path: &Path) -> Result<Self, ModelError> {
        Self::take(path, File::try_lock_shared)
    }

    /// For who is about to remove it.
    ///
    /// # Errors
    /// [`ModelError::InUse`] while a worker serves it.
    pub(super) fn exclusive(path: &Path) -> Result<Self, ModelError> {
        Self::take(path, File::try_lock)
    }

    fn take(
        path: &Path,
        lock: impl FnOnce(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        match lock(&file) {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ModelError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => {
                Err(ModelError::Io { path: path.to_owned(), source })
            }
        }
    }
}
