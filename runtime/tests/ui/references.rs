//! A reference to a pointer with an interface's methods lasts as long as the counted pointer: safe
//! code cannot keep one, copy one, or make one up.
use ntcom::{ComRc, GUID, IUnknown};

mod inner {
    use super::{GUID, IUnknown};

    ntcom::declare_com_interface! {
        pub trait ISensor: IUnknown {
            const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f900a";
            fn sample(&self) -> u32;
        }
    }

    fn from_an_object(object: &ISensorRaw) -> &ISensorRef {
        object
    }

    fn from_a_pointer(pointer: core::ptr::NonNull<ISensorRaw>) -> ISensorRef {
        ISensorRef(pointer)
    }
}
use inner::{ISensorRaw, ISensorRef};

fn keeps(sensor: ComRc<ISensorRaw>) -> &'static ISensorRef {
    &sensor
}

fn moves(sensor: &ComRc<ISensorRaw>) -> ISensorRef {
    **sensor
}

fn copies(sensor: &ISensorRef) -> ISensorRef {
    sensor.clone()
}

fn main() {}
