//! The trail of a run, which records the actions so far, line by line, in a file. The parent
//! process reads it when the library under test has ended this process.

use core::cell::{Cell, RefCell};
use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

/// The trail of a run.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// The file of the trail. It is never closed here, because the library may have closed it. Rust
    /// aborts a process that closes a descriptor twice.
    file: Cell<Option<&'static File>>,
    lines: RefCell<Vec<String>>,
}

impl Trail {
    /// Keeps the trail in this file too.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn keep_in(&self, path: &Path) -> std::io::Result<()> {
        self.file.set(Some(Box::leak(Box::new(File::create(path)?))));
        Ok(())
    }

    /// Empties the trail.
    pub(crate) fn clear(&self) {
        self.lines.borrow_mut().clear();
        if let Some(mut file) = self.file.get() {
            // A line that cannot be written is only missing in a report.
            let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        }
    }

    /// The file, for others that add lines to it.
    pub(crate) fn file(&self) -> Option<&'static File> {
        self.file.get()
    }

    /// Adds a line that is in the file already.
    pub(crate) fn remember(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }

    /// Adds a line, before its action is done.
    pub(crate) fn add(&self, line: String) {
        if let Some(mut file) = self.file.get() {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        self.lines.borrow_mut().push(line);
    }

    /// The lines.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}
