//! The file objects of the I/O manager's clients, and their requests.

extern crate alloc;

use alloc::vec::Vec;

/// A file object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFile {
    /// A number that no other file of the process has.
    pub(crate) number: u64,
    pub(crate) address: usize,
    pub(crate) device: usize,
    /// The open handles.
    pub(crate) handles: usize,
    /// The requests that have not been given back to their clients.
    pub(crate) requests: usize,
    /// Whether the driver was told that the file is closed.
    pub(crate) closed: bool,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) status: i32,
    pub(crate) information: usize,
    /// The bytes that go to the client.
    pub(crate) data: Vec<u8>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenRequest {
    pub(crate) number: u64,
    pub(crate) irp: usize,
    /// The event that is set when the request is complete.
    pub(crate) event: usize,
    /// The system's buffer, or 0.
    pub(crate) system: usize,
    /// The client's buffers as a driver sees them, or 0.
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// The bytes that the client has room for.
    pub(crate) room: usize,
    /// The most that `Information` may be.
    pub(crate) limit: Option<usize>,
    pub(crate) what: &'static str,
    pub(crate) completed: Option<Completed>,
}

/// All files and requests.
#[derive(Debug, Default)]
pub(crate) struct Io {
    files: Vec<OpenFile>,
    requests: Vec<OpenRequest>,
}

impl Io {
    pub(crate) fn reset(&mut self) {
        self.files.clear();
        self.requests.clear();
    }

    pub(crate) fn add_file(&mut self, file: OpenFile) {
        self.files.push(file);
    }

    pub(crate) fn files(&self) -> &[OpenFile] {
        &self.files
    }

    /// Returns the file with a number.
    pub(crate) fn file(&self, number: u64) -> Option<OpenFile> {
        self.files.iter().find(|file| file.number == number).copied()
    }

    /// Changes the file with a number and returns it with the change.
    pub(crate) fn update_file(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut OpenFile),
    ) -> Option<OpenFile> {
        let file = self.files.iter_mut().find(|file| file.number == number)?;
        change(file);
        Some(*file)
    }

    pub(crate) fn remove_file(&mut self, number: u64) {
        self.files.retain(|file| file.number != number);
    }

    pub(crate) fn add_request(&mut self, request: OpenRequest) {
        self.requests.push(request);
    }

    /// Returns the request with a number.
    pub(crate) fn request(&self, number: u64) -> Option<&OpenRequest> {
        self.requests.iter().find(|request| request.number == number)
    }

    /// Returns the request that an IRP is for, while it is not complete.
    pub(crate) fn request_of(&mut self, irp: usize) -> Option<&mut OpenRequest> {
        self.requests.iter_mut().find(|request| request.irp == irp && request.completed.is_none())
    }

    /// Removes the request with a number and returns it.
    pub(crate) fn take_request(&mut self, number: u64) -> Option<OpenRequest> {
        let position = self.requests.iter().position(|request| request.number == number)?;
        Some(self.requests.remove(position))
    }
}
