//! Records events, and names objects for them.

use core::ops::Range;

use super::{
    caller::Caller,
    event::{Event, What},
    label::Label,
    name::Name,
    sites::Sites,
    value::Value,
};
use crate::{engine::machine::Machine, kernel::thread::ThreadName, verifier::irql::Ddi};

impl Machine {
    /// The name of an address. Without tracing, objects outside pool have no number.
    pub(crate) fn name(&self, address: usize) -> Name {
        if address == 0 {
            return Name::Null;
        }
        if self.tracing.get()
            && let Some((label, offset)) = self.recorder.borrow().labels.find(address)
        {
            return Name::Labelled { label, offset };
        }
        if let Some(offset) = self.arena.offset(address) {
            return match self.kernel.borrow().pool.find(offset) {
                Some(block) => Name::Block { number: block.number, offset: offset - block.offset },
                None => Name::Pool { offset },
            };
        }
        if let Some(context) = self.kernel.borrow().threads.find(address) {
            return Name::Thread(ThreadName::of(context));
        }
        if !self.tracing.get() {
            return Name::Address(address);
        }
        if self.config.get().callers
            && let Some(label) = self.recorder.borrow().sites.symbol(address)
        {
            return Name::Labelled { label, offset: 0 };
        }
        let recorder = self.recorder.borrow();
        let mut names = recorder.names.borrow_mut();
        let number = names.entry(address).or_insert_with(|| {
            let next = recorder.named.get();
            recorder.named.set(next + 1);
            next
        });
        Name::Object(*number)
    }

    /// Forgets the names of these addresses, because a new object has them. The objects before were
    /// in memory of the host that has been freed since.
    pub(crate) fn forget_names(&self, addresses: Range<usize>) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.labels.forget(&addresses);
        recorder.names.get_mut().retain(|address, _| !addresses.contains(address));
    }

    /// Forgets the labels of objects that were at these addresses, because a new block is there.
    pub(crate) fn forget_labels(&self, addresses: Range<usize>) {
        self.recorder.borrow_mut().labels.forget(&addresses);
    }

    /// Gives the bytes from an address on a label.
    pub(crate) fn label(&self, address: usize, size: usize, label: Label) {
        self.recorder.borrow_mut().labels.add(address, size, label);
    }

    /// A pointer-sized value as the trace shows it, either a small number or a pointer.
    pub(crate) fn pointer(&self, value: usize) -> Value {
        if value < 0x1_0000 && value != 0 {
            Value::Bits(value as u64)
        } else {
            Value::Pointer(self.name(value))
        }
    }

    /// An integer as the trace shows it. Pool addresses appear as names.
    pub(crate) fn integer(&self, value: u64) -> Value {
        match self.arena.offset(value as usize) {
            Some(_) => Value::Pointer(self.name(value as usize)),
            None => Value::Bits(value),
        }
    }

    /// Adds an event.
    pub(crate) fn record(&self, what: What) {
        let event = Event {
            step: self.clock.steps(),
            time: self.clock.now(),
            processor: self.current.get(),
            irql: self.irql(),
            caller: if self.config.get().callers && what.has_caller() {
                self.caller(&self.recorder.borrow().sites)
            } else {
                None
            },
            what,
        };
        self.recorder.borrow_mut().trace.events.push(event);
    }

    /// Adds the call of a DDI, when tracing.
    #[inline]
    pub(crate) fn called<const N: usize>(
        &self,
        ddi: Ddi,
        describe: impl FnOnce(&Self) -> ([Value; N], Option<Value>),
    ) {
        if self.tracing.get() {
            let (arguments, result) = describe(self);
            self.record(What::Call { ddi, arguments: arguments.into(), result });
        }
    }

    /// The code that calls the kernel now. `None` if no function of the driver or of a library is
    /// running, or if its place is unknown.
    pub(crate) fn caller(&self, sites: &Sites) -> Option<Caller> {
        let (mut by_library, mut place) = (false, None);
        self.walk(|frame| {
            for site in &*sites.at(frame.ip().addr()) {
                if site.is_library {
                    by_library = true;
                    place.get_or_insert_with(|| site.place.clone());
                } else {
                    place = Some(site.place.clone());
                    return false;
                }
            }
            true
        });
        place.map(|place| Caller { place, by_library })
    }
}
