//! The statics of a driver image that this crate needs. They hang off `sync::with_image`, so that every simulated kernel
//! has its own.

use core::cell::Cell;

use crate::{ambient::Node, tracker::TaskTracker};

/// Simulated kernels have at most this many processors.
const PROCESSORS: usize = 64;

/// One image's statics.
pub(crate) struct Image {
    /// Tasks of nobody in particular.
    pub(crate) tracker: TaskTracker,
    /// By processor: the task whose poll it is in. Only touched at DISPATCH_LEVEL, by that processor.
    ambient: [Cell<*const Node>; PROCESSORS],
}

impl Image {
    pub(crate) fn ambient(&self, processor: usize) -> Option<&Cell<*const Node>> {
        self.ambient.get(processor)
    }
}

impl Default for Image {
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), ambient: [const { Cell::new(core::ptr::null()) }; PROCESSORS] }
    }
}
