//! Folders that one process at a time may use.
use std::{
    env,
    fs::{self, File, TryLockError},
    io::{Read, Write},
    path::Path,
};

use anyhow::Context;

use crate::{command, problem::Problem};

/// The file in such a folder that is locked. It names the last process that locked it.
pub(crate) const FILE: &str = "lock";

/// The lock of a folder, which this process has until it drops the lock or ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks a folder, and makes it if it is not there.
    ///
    /// # Errors
    /// [`Problem::Usage`] when another process has it. The message names that process, and ends
    /// with `instead`, which says what to do other than wait.
    pub(crate) fn take(folder: &Path, instead: &str) -> anyhow::Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("cannot make {shown}"))?;
        let file = folder.join(FILE);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .with_context(|| format!("cannot open {}", file.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut other = String::new();
                // The other process may have locked the file without having written its name yet.
                let _ = file.read_to_string(&mut other);
                let other = if other.is_empty() { "another process" } else { other.trim_end() };
                let message = format!("{shown} is in use by {other}: wait until that has ended{instead}");
                return Err(Problem::Usage(message).into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {shown}"));
            }
        }
        let words: Vec<String> = env::args_os().skip(1).map(|word| command::quote(&word)).collect();
        let name = format!("process {}, cargo xtask {}\n", std::process::id(), words.join(" "));
        // The name is for a message only. A full disk is noticed elsewhere.
        let _ = file.set_len(0).and_then(|()| file.write_all(name.as_bytes()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Lock;
    use crate::problem::Problem;

    #[test]
    fn a_folder_in_use_is_refused_and_the_other_process_is_named() {
        let folder = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let first = Lock::take(&folder, "").unwrap();
        let refused = Lock::take(&folder, ", or go elsewhere").map(drop).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(Problem::Usage(_))));
        let message = refused.to_string();
        assert!(
            message.contains(&format!("in use by process {}, cargo xtask", std::process::id())),
            "{message}"
        );
        assert!(message.ends_with(": wait until that has ended, or go elsewhere"), "{message}");
        drop(first);
        drop(Lock::take(&folder, "").unwrap());
        fs::remove_dir_all(folder).unwrap();
    }
}
