//! A miniport in the manner of PortCls.
//!
//! The port driver makes the adapter's miniport, hands it a port interface, has it describe itself
//! and make streams, and awaits its longer work through operations. Run it with `cargo run -p ntcom
//! --features async-com,sim --example miniport`.
//!
//! The miniport has two interfaces, `IMiniportWave`, which is derived from `IMiniport`, and
//! `IAdapterPower`. It makes objects of its own (`IWaveStream`) that keep it. It calls the port
//! driver back through the port driver's interface. PortCls itself is not used; [`port_driver`]
//! plays its part.
#![allow(clippy::unwrap_used, reason = "an example, in which a failure panics")]

use core::ptr::null_mut;

use ntcom::{
    AbiType, AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS,
    This, declare_com_interface, ensure, pin_init,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
    try_finally, yield_now,
};
use ntsim::{Config, Schedule, Simulation};

/// A miniport's description of itself.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, AbiType)]
pub(crate) struct Description {
    /// The number of pins.
    pub(crate) pins: u32,
    /// The highest rate, in samples per second.
    pub(crate) rate: u32,
}

declare_com_interface! {
    /// The port driver's interface for miniports.
    pub(crate) trait IPort: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fa001";
        /// The miniport notifies the port driver of an event on a pin.
        fn notify(&self, pin: u32);
    }
}

declare_com_interface! {
    /// The interface of every miniport.
    pub(crate) trait IMiniport: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fa002";
        /// Returns the miniport's description.
        fn describe(&self) -> Result<Description, NTSTATUS>;
    }
}

declare_com_interface! {
    /// A miniport with streams.
    pub(crate) trait IMiniportWave: IMiniport {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fa003";
        /// Tells the miniport its port, once. The miniport keeps a reference to the port.
        unsafe fn init(&self, port: *mut IPortRaw) -> NTSTATUS;
        /// Makes a stream for a pin.
        fn new_stream(&self, pin: u32) -> Result<ComRc<IWaveStreamRaw>, NTSTATUS>;
        /// Calibrates the device, as an operation.
        #[opaque]
        async fn calibrate(&self, rounds: u32) -> Result<u32, NTSTATUS>;
    }
}

declare_com_interface! {
    /// The interface through which the adapter is told of changes of its power.
    pub(crate) trait IAdapterPower: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fa004";
        /// The power has changed; state 0 is on.
        fn power_changed(&self, state: u32);
    }
}

declare_com_interface! {
    /// A stream.
    pub(crate) trait IWaveStream: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fa005";
        /// The number of bytes that have been played.
        fn position(&self) -> u64;
        /// Plays, and yields the position at its end. A cancelled operation stops the DMA before it
        /// ends.
        #[opaque]
        async fn play(&self, bytes: u64) -> u64;
    }
}

/// The miniport.
#[derive(Default)]
pub(crate) struct Wave {
    /// The port, with a reference, or null before `init`.
    port: AtomicPtr<IPortRaw>,
    power: AtomicU32,
}

/// The number of pins.
const PINS: u32 = 2;

impl IMiniport for Wave {
    fn describe(&self) -> Result<Description, NTSTATUS> {
        Ok(Description { pins: PINS, rate: 48_000 })
    }
}

// SAFETY: the bodies touch only the object, which is in non-paged pool, and never block.
unsafe impl IMiniportWave for Wave {
    type Allocator = GlobalAllocator;

    unsafe fn init(&self, port: *mut IPortRaw) -> NTSTATUS {
        // SAFETY: `port` is null, or a port that the port driver keeps alive during this call.
        let Ok(theirs) = (unsafe { ComRc::from_raw_borrowed(&port) }) else {
            return NTSTATUS::INVALID_PARAMETER;
        };
        let ours = theirs.clone().into_raw();
        match self.port.compare_exchange(null_mut(), ours, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => NTSTATUS::SUCCESS,
            Err(_) => {
                // SAFETY: `ours` owns the reference that the clone took.
                drop(unsafe { ComRc::from_raw(ours) });
                NTSTATUS::INVALID_DEVICE_STATE
            }
        }
    }

    fn new_stream(&self, pin: u32) -> Result<ComRc<IWaveStreamRaw>, NTSTATUS> {
        ensure!(pin < PINS, NTSTATUS::INVALID_PARAMETER);
        ensure!(self.power.load(Ordering::Acquire) == 0, NTSTATUS::INVALID_DEVICE_STATE);
        ComObject::<_, IWaveStreamRaw>::new(Stream {
            pin,
            position: AtomicU64::new(0),
            dma: AtomicU32::new(0),
        })
    }

    fn calibrate(&self, rounds: u32) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
            for _ in 0..rounds {
                ensure!(this.power.load(Ordering::Acquire) == 0, NTSTATUS::INVALID_DEVICE_STATE);
                yield_now().await;
            }
            this.notify(0);
            Ok(rounds)
        })
    }
}

impl IAdapterPower for Wave {
    fn power_changed(&self, state: u32) {
        self.power.store(state, Ordering::Release);
    }
}

impl Wave {
    /// Calls the port driver back, if `init` has set the port.
    fn notify(&self, pin: u32) {
        let port = self.port.load(Ordering::Acquire);
        // SAFETY: `port` is null, or a port to which this object keeps a reference.
        if let Ok(port) = unsafe { ComRc::from_raw_borrowed(&port) } {
            let _told = port.notify(pin);
        }
    }
}

impl Drop for Wave {
    fn drop(&mut self) {
        // SAFETY: the pointer is null, or owns the reference that `init` took.
        drop(unsafe { ComRc::from_raw(*self.port.get_mut()) });
    }
}

/// A stream.
pub(crate) struct Stream {
    pin: u32,
    position: AtomicU64,
    /// Whether the DMA engine runs, 1 or 0.
    dma: AtomicU32,
}

// SAFETY: the body touches only the object, which is in non-paged pool, and never blocks.
unsafe impl IWaveStream for Stream {
    type Allocator = GlobalAllocator;

    fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    fn play(&self, bytes: u64) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
            let playing = async {
                this.dma.store(1, Ordering::Release);
                for _ in 0..bytes {
                    this.position.fetch_add(1, Ordering::AcqRel);
                    yield_now().await;
                }
                if this.pin > 0 {
                    // The second pin never ends by itself, so it plays until it is stopped.
                    core::future::pending::<()>().await;
                }
            };
            let stop = async { this.dma.store(0, Ordering::Release) };
            try_finally(playing, stop).await;
            this.position()
        })
    }
}

/// The port driver's port, which counts notifications.
#[derive(Default)]
struct Port(AtomicU32);

impl IPort for Port {
    fn notify(&self, _pin: u32) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Makes the miniport that an adapter's driver hands to the port driver.
fn new_miniport() -> Result<ComRc<IMiniportWaveRaw>, NTSTATUS> {
    type Interfaces = (IMiniportWaveRaw, IAdapterPowerRaw);
    ComObject::<Wave, Interfaces, _>::init_in(GlobalAllocator, pin_init!(Wave::default()))
}

/// The part of the port driver.
pub(crate) fn port_driver() {
    let miniport = new_miniport().unwrap();
    let port = ComObject::<_, IPortRaw>::new(Port::default()).unwrap();
    // SAFETY: `port` keeps the port alive during the call.
    assert_eq!(unsafe { miniport.init(port.as_ptr()) }, Ok(NTSTATUS::SUCCESS));
    // SAFETY: `port` keeps the port alive during the call.
    assert_eq!(unsafe { miniport.init(port.as_ptr()) }, Ok(NTSTATUS::INVALID_DEVICE_STATE), "once");
    assert_eq!(miniport.describe(), Ok(Description { pins: 2, rate: 48_000 }));

    assert_eq!(miniport.calibrate(3).unwrap().result(), Ok(3));
    let told = This::<Port>::of(&port).unwrap();
    assert_eq!(told.0.load(Ordering::Acquire), 1, "called back at the end");

    let stream = miniport.new_stream(0).unwrap();
    assert_eq!(stream.play(8).unwrap().result(), Ok(8));
    let endless = miniport.new_stream(1).unwrap();
    let playing = endless.play(5).unwrap();
    assert_eq!(playing.status(), Ok(AsyncStatus::Started));
    playing.control().unwrap().cancel().unwrap();
    assert_eq!((playing.status(), endless.position()), (Ok(AsyncStatus::Canceled), Ok(5)));

    let power: ComRc<IAdapterPowerRaw> = miniport.query().unwrap();
    power.power_changed(3).unwrap();
    assert_eq!(miniport.new_stream(0).err(), Some(NTSTATUS::INVALID_DEVICE_STATE));
    assert_eq!(miniport.calibrate(1).unwrap().result(), Err(NTSTATUS::INVALID_DEVICE_STATE));
}

fn main() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, port_driver).unwrap();
    kernel.unload().unwrap();
    println!("described, calibrated, played, stopped, and nothing is left");
}
