//! The model of objects with declared methods, by the rules C11, C19 and C20.

use super::{End, Model, executor::as_failure};
use crate::{
    call::{Call, Init, Method},
    event::Event,
    limits::OPERATIONS,
    ops::{ObjectOp, has_interface},
    status::{self, STATUSES},
};

impl Model {
    /// Calls an async method of an object, which is made if it does not exist yet. Returns the
    /// operation if there is one.
    pub(super) fn call(&mut self, object: usize, call: Call) -> Option<usize> {
        if !self.objects[object].made {
            if !self.allocate() {
                return None;
            }
            self.objects[object].made = true;
            self.objects[object].clients = 1;
        }
        if self.objects[object].clients == 0 {
            return None;
        }
        let operation = self.make(call.method.kind(), call.script)?;
        let block = self.allocate();
        let refused = if block { self.initialise(call) } else { Err(status::INSUFFICIENT_RESOURCES) };
        self.add_client(operation);
        let task = &mut self.tasks[operation];
        match refused {
            Ok(boxed) => {
                task.boxed = boxed;
                task.object = Some(object);
                task.fails = call.failure();
                // It is logged when the script has ended, whatever the method's result.
                task.body.reaches = (call.method == Method::Reaching).then_some(object);
                task.scheduled = true;
                self.objects[object].bodies += 1;
                self.enqueue(operation);
            }
            Err(reason) => {
                task.immortal = !block;
                task.end = Some(End::Error(as_failure(reason)));
            }
        }
        Some(operation)
    }

    /// Does the initialiser's part. Returns whether the body has memory of its own.
    fn initialise(&mut self, call: Call) -> Result<bool, u32> {
        match call.init {
            Init::Plain => Ok(false),
            Init::Allocates if self.allocate() => Ok(true),
            Init::Allocates => Err(status::INSUFFICIENT_RESOURCES),
            Init::Fails(index) => Err(STATUSES[usize::from(index)]),
        }
    }

    /// The answer of a call, which is a status, or whether a count is zero.
    pub(super) fn object_op(&mut self, object: usize, op: ObjectOp) -> Option<u32> {
        if self.objects[object].clients == 0 {
            return None;
        }
        Some(match op {
            ObjectOp::AddRef => {
                self.objects[object].clients += 1;
                0
            }
            ObjectOp::Release => u32::from(self.release_object(object)),
            ObjectOp::Query(which) if has_interface(which) => {
                self.objects[object].clients += 1;
                status::SUCCESS
            }
            ObjectOp::Query(_) => status::NOINTERFACE,
            ObjectOp::Echo(_) => 0,
        })
    }

    /// Releases a client's reference. True if the object is gone.
    pub(super) fn release_object(&mut self, object: usize) -> bool {
        self.objects[object].clients -= 1;
        self.drop_object_if_last(object)
    }

    pub(super) fn drop_object_if_last(&mut self, object: usize) -> bool {
        let gone = self.objects[object].clients + self.objects[object].bodies == 0;
        if gone {
            self.blocks -= 1;
            self.happened(OPERATIONS + object, Event::Dropped);
        }
        gone
    }
}
