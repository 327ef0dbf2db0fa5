//! The model of spawning and of memory, by the rules C7 and C11.

use super::{End, Model, Task, executor::as_failure, script};
use crate::{
    limits::OPERATIONS,
    script::{Script, Shape},
    status,
    value::ValueKind,
};

impl Model {
    pub(super) fn spawn(
        &mut self,
        kind: ValueKind,
        script: Script,
        cancellable: bool,
        link: Option<usize>,
    ) -> Option<usize> {
        let operation = self.make(kind, script)?;
        if let Some(link) = link {
            self.tasks[link].others += 1;
            self.tasks[operation].link = Some(link);
        }
        let no_memory = !self.allocate();
        self.add_client(operation);
        let task = &mut self.tasks[operation];
        if no_memory {
            task.immortal = true;
            task.end = Some(End::Error(status::INSUFFICIENT_RESOURCES));
            self.drop_body(operation);
        } else {
            task.scheduled = true;
            if cancellable {
                task.others += 1;
            }
            self.enqueue(operation);
        }
        if cancellable {
            self.put_handle(operation);
        }
        Some(operation)
    }

    pub(super) fn spawn_error(&mut self, kind: ValueKind, error: u32) -> Option<usize> {
        let operation = self.make(kind, Script { shape: Shape::Plain, steps: [0; 6] })?;
        let no_memory = !self.allocate();
        self.add_client(operation);
        let task = &mut self.tasks[operation];
        task.immortal = no_memory;
        task.end = Some(End::Error(match error {
            _ if no_memory => status::INSUFFICIENT_RESOURCES,
            code => as_failure(code),
        }));
        Some(operation)
    }

    /// Makes one allocation. False if it fails.
    pub(super) fn allocate(&mut self) -> bool {
        match &mut self.fail_in {
            Some(0) => {
                self.fail_in = None;
                return false;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.blocks += 1;
        true
    }

    pub(super) fn make(&mut self, kind: ValueKind, script: Script) -> Option<usize> {
        let operation = self.tasks.len();
        if operation >= OPERATIONS {
            return None;
        }
        self.tasks.push(Task {
            kind,
            script,
            end: None,
            immortal: false,
            freed: false,
            clients: 0,
            others: 0,
            scheduled: false,
            running: false,
            cancel: false,
            unwinding: false,
            abandoned: false,
            doomed: false,
            cleanups: 0,
            handler: None,
            link: None,
            object: None,
            boxed: false,
            fails: None,
            cancel_seen: false,
            kept: false,
            body: script::Body::new(script.shape),
            polls: 0,
            drops: 0,
            log: 0,
            handled: 0,
            told: 0,
        });
        Some(operation)
    }
}
