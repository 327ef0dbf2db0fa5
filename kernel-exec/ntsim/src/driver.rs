//! A driver's life: DriverEntry and Unload.

extern crate alloc;

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::cell::Cell;

use crate::{
    engine::machine::{Machine, here},
    program::driver_object,
    simulation::Simulation,
    types::{NTSTATUS, PDRIVER_OBJECT, PUNICODE_STRING, STATUS_SUCCESS, UNICODE_STRING},
    verifier::stop::Stop,
};

/// A driver's first routine.
pub type DriverEntry =
    unsafe extern "C" fn(driver: PDRIVER_OBJECT, registry_path: PUNICODE_STRING) -> NTSTATUS;

/// What DriverEntry gets as its registry path.
const REGISTRY_PATH: &str = r"\Registry\Machine\System\CurrentControlSet\Services\driver";

/// The registry path as the driver's argument has it: as long as the simulation.
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
    /// Loads a driver: calls DriverEntry in a system thread at PASSIVE_LEVEL on a processor, with
    /// [`driver_object`](crate::driver_object) and a registry path, and runs to the end of what it starts, as
    /// [`Simulation::run`] does. The status is DriverEntry's.
    ///
    /// The driver object has what NT gives it: its extension, where the driver sets AddDevice, a
    /// dispatch routine for every major function, which completes with
    /// STATUS_INVALID_DEVICE_REQUEST, names, and `DriverInit`. Where DriverEntry succeeds, its
    /// devices are no longer DO_DEVICE_INITIALIZING, and `Flags` has DRVO_INITIALIZED and, without
    /// AddDevice, DRVO_LEGACY_DRIVER. The image is said to be the page of DriverEntry
    /// (`DriverStart`, `DriverSize`).
    ///
    /// Where DriverEntry fails, its image is freed as soon as it returns, and Unload is not called: what
    /// [`Simulation::unload`] checks must be true then.
    ///
    /// # Errors
    /// As for [`Simulation::run`] and, where DriverEntry fails, [`Simulation::unload`].
    ///
    /// # Panics
    /// As for [`Simulation::run`].
    ///
    /// # Safety
    /// `entry` keeps the promises of the DDIs that it calls.
    pub unsafe fn load_driver(&mut self, processor: usize, entry: DriverEntry) -> Result<NTSTATUS, Stop> {
        let status = Rc::new(Cell::new(STATUS_SUCCESS));
        let result = Rc::clone(&status);
        let program = move || {
            if let Some(machine) = here() {
                machine.begin_load(entry);
            }
            let path = crate::program::image_state::<RegistryPath>();
            // SAFETY: image state lives until the simulation is reset, which no run outlives.
            let path = unsafe { &*path }.argument();
            // SAFETY: by the caller's promise; the arguments live as long as the simulation.
            let call = || unsafe { entry(driver_object(), path) };
            let Some(machine) = here() else { return };
            result.set(machine.in_system_thread(call));
            if result.get() < 0 { machine.checked(machine.check_unload()) } else { machine.end_load() }
        };
        self.run(alloc::vec![(processor, Box::new(program))])?;
        Ok(status.get())
    }

    /// Unloads a driver: calls the Unload routine that DriverEntry has put into its driver object, as
    /// [`Simulation::unload_with`] does.
    ///
    /// # Errors
    /// As for [`Simulation::unload_with`]. A driver without an Unload routine, and one whose device a work item still
    /// holds, which is queued or whose routine runs, are not unloaded by NT: [`Stop::Failure`] of the oracle `unload`.
    ///
    /// # Panics
    /// As for [`Simulation::run`].
    ///
    /// # Safety
    /// The Unload routine keeps the promises of the DDIs that it calls.
    pub unsafe fn unload_driver(&mut self, processor: usize) -> Result<(), Stop> {
        let driver = driver_object();
        // SAFETY: the machine's driver object; no reference is made.
        let unload = unsafe { &raw const (*driver).DriverUnload };
        // SAFETY: as above.
        let unload = unsafe { unload.read() };
        let refused = |message: alloc::string::String| Err(Stop::Failure { oracle: "unload", message });
        let Some(unload) = unload else {
            return refused(alloc::string::String::from("the driver has no Unload routine"));
        };
        if let Some(item) = self.machine().holding_item().or_else(|| self.machine().queued_item()) {
            let item = self.machine().name(item);
            return refused(alloc::format!(
                "Unload is not called while the work item {item} holds the driver's device"
            ));
        }
        // SAFETY: by the caller's promise.
        let unload = move || unsafe { unload(driver) };
        let program = move || {
            if let Some(machine) = here() {
                machine.begin_unload();
                machine.in_system_thread(unload);
            }
        };
        self.unload_with(processor, Box::new(program))
    }
}

impl Machine {
    /// The address of a work item whose routine runs and holds a device.
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
