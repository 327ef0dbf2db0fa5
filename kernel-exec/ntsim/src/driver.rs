//! The life of a driver, from DriverEntry to Unload.

extern crate alloc;

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::cell::Cell;

use crate::{
    engine::{entry::here, machine::Machine},
    fault::frames::lines_of,
    program::driver_object,
    simulation::Simulation,
    subsystem::{
        driver_object::{DriverEntry, begin_load, begin_unload, end_load},
        file_object,
    },
    types::{NTSTATUS, PUNICODE_STRING, STATUS_SUCCESS, UNICODE_STRING},
    verifier::{stop::Stop, unload},
};

/// The registry path that DriverEntry gets.
const REGISTRY_PATH: &str = r"\Registry\Machine\System\CurrentControlSet\Services\driver";

/// The storage of DriverEntry's registry path, which lives as long as the simulation.
struct RegistryPath {
    string: Cell<UNICODE_STRING>,
    characters: Box<[u16]>,
}

impl Default for RegistryPath {
    fn default() -> Self {
        let characters: Vec<u16> = REGISTRY_PATH.encode_utf16().collect();
        Self { string: Cell::default(), characters: characters.into_boxed_slice() }
    }
}

impl RegistryPath {
    fn argument(&self) -> PUNICODE_STRING {
        let bytes = size_of_val(&*self.characters) as u16;
        let buffer = self.characters.as_ptr().cast_mut();
        self.string.set(UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: buffer });
        self.string.as_ptr()
    }
}

impl Simulation {
    /// Loads a driver. It calls DriverEntry in a system thread at PASSIVE_LEVEL on a processor,
    /// with [`driver_object`](crate::driver_object) and a registry path. It runs to the end of the
    /// work that DriverEntry starts, as [`Simulation::run`] does. Returns DriverEntry's status.
    ///
    /// The driver object has the fields that NT fills. They are its extension (in which the driver
    /// sets AddDevice), names, `DriverInit`, and a dispatch routine for every major function, which
    /// completes with STATUS_INVALID_DEVICE_REQUEST. If DriverEntry succeeds, its devices are no
    /// longer DO_DEVICE_INITIALIZING, and `Flags` has DRVO_INITIALIZED and, without AddDevice,
    /// DRVO_LEGACY_DRIVER. `DriverStart` and `DriverSize` give the page of DriverEntry as the
    /// image.
    ///
    /// If DriverEntry fails, its image is freed as soon as it returns, and Unload is not called.
    /// The checks of [`Simulation::unload`] must hold then.
    ///
    /// # Errors
    /// The same as for [`Simulation::run`], and, if DriverEntry fails, for [`Simulation::unload`].
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does.
    ///
    /// # Safety
    /// `entry` keeps the promises of the DDIs that it calls.
    pub unsafe fn load_driver(&mut self, processor: usize, entry: DriverEntry) -> Result<NTSTATUS, Stop> {
        let status = Rc::new(Cell::new(STATUS_SUCCESS));
        let result = Rc::clone(&status);
        let program = move || {
            if let Some(machine) = here() {
                begin_load(&machine, entry);
            }
            let path = crate::program::image_state::<RegistryPath>();
            // SAFETY: image state lives until the simulation is reset, and no run goes on beyond
            // that.
            let path = unsafe { &*path }.argument();
            // SAFETY: the caller promises that `entry` keeps the DDIs' promises. The arguments live
            // as long as the simulation.
            let call = || unsafe { entry(driver_object(), path) };
            let Some(machine) = here() else { return };
            result.set(machine.in_system_thread(call));
            if result.get() < 0 { machine.checked(unload::check(&machine)) } else { end_load(&machine) }
        };
        self.run(alloc::vec![(processor, Box::new(program))])?;
        Ok(status.get())
    }

    /// Unloads a driver. It calls the Unload routine that DriverEntry has put into its driver
    /// object, as [`Simulation::unload_with`] does.
    ///
    /// # Errors
    /// The same as for [`Simulation::unload_with`]. A bug check for something that Unload has left
    /// has the place of that routine in its backtrace.
    ///
    /// NT does not unload a driver without an Unload routine. Neither does it unload one with a
    /// device that a work item holds because it is queued or its routine runs, or that is open
    /// ([`io`](crate::io)). These are [`Stop::Failure`] of the oracle `unload`.
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does.
    ///
    /// # Safety
    /// The Unload routine keeps the promises of the DDIs that it calls.
    pub unsafe fn unload_driver(&mut self, processor: usize) -> Result<(), Stop> {
        let driver = driver_object();
        // SAFETY: the pointer is to the machine's driver object, and no reference is made.
        let unload = unsafe { &raw const (*driver).DriverUnload };
        // SAFETY: the field is in the machine's driver object, which lives as long as the machine.
        let unload = unsafe { unload.read() };
        let refused = |message: alloc::string::String| Err(Stop::failure("unload", message));
        let Some(unload) = unload else {
            return refused(alloc::string::String::from("the driver has no Unload routine"));
        };
        if let Some(item) = self.machine().holding_item().or_else(|| self.machine().queued_item()) {
            let item = self.machine().name(item);
            return refused(alloc::format!(
                "Unload is not called while the work item {item} holds the driver's device"
            ));
        }
        if let Some(open) = file_object::describe_open(self.machine()) {
            return refused(alloc::format!("Unload is not called while {open}"));
        }
        let routine = unload as usize;
        // SAFETY: the caller promises that the routine keeps the DDIs' promises.
        let unload = move || unsafe { unload(driver) };
        let program = move || {
            if let Some(machine) = here() {
                begin_unload(&machine);
                unload();
            }
        };
        self.unload_with(processor, Box::new(program)).map_err(|stop| returned_from(routine, stop))
    }
}

/// A stop at the end of Unload. No code of the driver was running if something is left, so the stop
/// gets the routine that has left it.
fn returned_from(unload: usize, mut stop: Stop) -> Stop {
    if let Stop::BugCheck(bug_check) = &mut stop
        && bug_check.backtrace.is_empty()
    {
        // A frame has the address behind a call, so the resolver takes one off.
        lines_of(unload + 1, &mut bug_check.backtrace);
    }
    stop
}

impl Machine {
    /// The address of a work item that holds a device and has its routine running.
    pub(crate) fn holding_item(&self) -> Option<usize> {
        let kernel = self.kernel.borrow();
        let (_, item) = kernel.work.running().find(|(_, item)| item.call.object().is_some())?;
        Some(item.address)
    }

    /// The address of a work item that is queued and holds a device.
    fn queued_item(&self) -> Option<usize> {
        let kernel = self.kernel.borrow();
        let item = kernel.work.queued().find(|item| item.call.object().is_some())?;
        Some(item.address)
    }
}
