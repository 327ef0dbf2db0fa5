//! A driver's provider of events for Event Tracing for Windows.
//!
//! A writer enters the provider's gate while it uses the handle, and unregistering waits until no
//! writer is inside (`gate`). So a call that comes too early, too late, or during the
//! unregistration does nothing. It never uses a handle that the kernel has freed.
//!
//! # Why not rundown protection
//!
//! A driver may write an event at any IRQL while Unload unregisters its provider. The last writer
//! to leave may be at an IRQL where no event can be set. So unregistering polls the count of
//! writers.

mod gate;
mod line;

use core::fmt::{self, Write as _};

use self::{gate::Gate, line::Line};
use crate::{nt, status::NTSTATUS, sync::const_fn};

/// A provider of events for Event Tracing for Windows, as a static of the driver.
///
/// The provider has a GUID and, once it is registered, a handle. Events are strings, with a level
/// and keywords, that consumers read without a manifest (`EtwWriteString`). The levels are those of
/// `TRACE_LEVEL_*`, which are 1 for critical, 2 for error, 3 for warning, 4 for information and 5
/// for verbose. Level 0, and keyword 0, pass every session's filter.
///
/// Every method may be called at the same time on several processors. While no session listens, a
/// write is one kernel call, or none if the provider is not registered.
///
/// ```
/// use ntcom_exec::{EtwProvider, EtwRegistration, NTSTATUS};
/// # use ntsim::{Config, Schedule, Simulation, etw, types::GUID};
///
/// static PROVIDER: EtwProvider = EtwProvider::new(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e01);
/// const HARDWARE: u64 = 1;
///
/// fn load() -> Result<(), NTSTATUS> {
///     let registration = PROVIDER.register()?;
///     PROVIDER.write(4, HARDWARE, format_args!("{} channels", 4));
///     // … steps that may fail, and then drop the registration …
///     registration.keep();
///     Ok(())
/// }
///
/// fn unload() {
///     PROVIDER.unregister();
/// }
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # let session = etw::enable(etw::Session::new(GUID::from_u128(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e01), 4));
/// # kernel.run_on(0, || load().unwrap()).unwrap();
/// # kernel.unload_with(0, Box::new(unload)).unwrap();
/// # assert_eq!(etw::events(session)[0].data, etw::Data::Text("4 channels".to_owned()));
/// ```
pub struct EtwProvider {
    id: u128,
    gate: Gate,
}

impl EtwProvider {
    const_fn! {
        /// Makes the provider with the GUID of these digits. It is not registered.
        #[must_use]
        pub fn new(id: u128) -> Self {
            Self { id, gate: Gate::new() }
        }
    }

    /// Registers the provider, as a driver's first step in DriverEntry.
    ///
    /// It stays registered until the returned registration is dropped. If the registration is
    /// [kept](EtwRegistration::keep), it stays registered until [`unregister`](Self::unregister). A
    /// driver must unregister it before its image goes, or Driver Verifier stops the machine (bug
    /// check 0xC4, 0xDD). IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// - [`NTSTATUS::INVALID_DEVICE_STATE`]: it is registered already, or the call is above
    ///   PASSIVE_LEVEL.
    /// - [`NTSTATUS::NOT_SUPPORTED`]: the build has no kernel.
    /// - The errors of `EtwRegister`, such as `STATUS_NO_MEMORY`. A driver may continue without the
    ///   provider, and its writes then do nothing.
    pub fn register(&'static self) -> Result<EtwRegistration, NTSTATUS> {
        if !nt::is_passive() {
            return Err(NTSTATUS::INVALID_DEVICE_STATE);
        }
        if !self.gate.claim() {
            return Err(NTSTATUS::INVALID_DEVICE_STATE);
        }
        match nt::register_provider(self.id) {
            Ok(handle) => self.gate.open(handle as usize),
            Err(status) => {
                self.gate.give_up();
                return Err(status);
            }
        }
        Ok(EtwRegistration { provider: self })
    }

    /// Unregisters a provider after its registration was [kept](EtwRegistration::keep).
    ///
    /// It waits until no writer is inside. Later writes do nothing.
    ///
    /// Nothing happens if the provider is not registered, or is being unregistered by another
    /// caller. Nothing happens either if a registration exists, because its drop unregisters the
    /// provider. Do not call this while a message is being formatted for a write, because it would
    /// wait for itself. IRQL: PASSIVE_LEVEL.
    pub fn unregister(&self) {
        self.unregister_by(Gate::close_kept);
    }

    fn unregister_by(&self, close: impl FnOnce(&Gate, fn()) -> Option<usize>) {
        if let Some(handle) = close(&self.gate, nt::rest) {
            // SAFETY: `register` gave the gate this handle, and the gate is closed and empty, so no
            // writer uses it. The callers promise PASSIVE_LEVEL.
            unsafe { nt::unregister_provider(handle as u64) };
            // A statement after the call keeps it from being a tail call, because Driver Verifier
            // knows the driver by the address that the call returns to.
            self.gate.give_up();
        }
    }

    /// Tells whether a session asks for events of this level with this keyword.
    ///
    /// It returns false if the provider is not registered. Use it to skip work that is needed only
    /// for an event. IRQL: any.
    ///
    /// ```
    /// # static PROVIDER: ntcom_exec::EtwProvider = ntcom_exec::EtwProvider::new(1);
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// assert!(!PROVIDER.is_enabled(5, 0));
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn is_enabled(&self, level: u8, keyword: u64) -> bool {
        self.gate.enter().is_some_and(|entered| is_enabled(entered.value(), level, keyword))
    }

    /// Writes an event, if a session asks for it. Otherwise the message is not formatted.
    ///
    /// The message is formatted on the stack, and nothing is allocated. Text beyond 383 units of
    /// UTF-16 is cut off between two characters, and a null in the text becomes a space. IRQL: any,
    /// if the formatting may run there.
    ///
    /// An event for which a session has no room is lost, and the session counts it.
    pub fn write(&self, level: u8, keyword: u64, message: fmt::Arguments<'_>) {
        let Some(entered) = self.gate.enter() else { return };
        if is_enabled(entered.value(), level, keyword) {
            let mut line = Line::new();
            // The line leaves out the text that does not fit.
            let _cut_off = line.write_fmt(message);
            // SAFETY: `unregister` waits until the gate is empty, so the handle is the provider's
            // until `entered` is dropped; the line ends with a zero.
            unsafe { nt::write_string(entered.value() as u64, level, keyword, line.as_ptr()) };
        }
    }
}

/// Asks as [`EtwProvider::is_enabled`] does, inside the gate.
fn is_enabled(handle: usize, level: u8, keyword: u64) -> bool {
    // SAFETY: the caller is inside the gate, and the handle is not unregistered before the gate is
    // empty.
    unsafe { nt::is_provider_enabled(handle as u64, level, keyword) }
}

impl fmt::Debug for EtwProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtwProvider({:032x})", self.id)
    }
}

/// The registration of a provider, which lasts until this is dropped or kept. IRQL of its drop:
/// PASSIVE_LEVEL.
///
/// ```
/// use ntcom_exec::{EtwProvider, NTSTATUS};
///
/// static PROVIDER: EtwProvider = EtwProvider::new(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e02);
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let registration = PROVIDER.register().unwrap();
/// assert_eq!(PROVIDER.register().unwrap_err(), NTSTATUS::INVALID_DEVICE_STATE);
/// drop(registration);
/// assert!(PROVIDER.register().is_ok());
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[must_use = "the provider is unregistered when this is dropped"]
#[derive(Debug)]
pub struct EtwRegistration {
    provider: &'static EtwProvider,
}

impl EtwRegistration {
    /// Leaves the provider registered, until [`EtwProvider::unregister`].
    ///
    /// It is for drivers that have no place to keep the registration. IRQL: any.
    pub fn keep(self) {
        let kept = core::mem::ManuallyDrop::new(self);
        kept.provider.gate.keep();
    }
}

impl Drop for EtwRegistration {
    fn drop(&mut self) {
        self.provider.unregister_by(Gate::close);
    }
}
