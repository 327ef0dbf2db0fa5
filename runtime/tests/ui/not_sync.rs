//! An object may be called on several processors at once, and dropped on any.
use core::cell::Cell;
use ntcom::{ComObject, GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait ICell: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn get(&self) -> u32;
    }
}

struct Plain(Cell<u32>);

impl ICell for Plain {
    fn get(&self) -> u32 {
        self.0.get()
    }
}

fn main() {
    let _ = ComObject::<Plain, ICellRaw>::new(Plain(Cell::new(1)));
    let _ = ComObject::<u32, ICellRaw>::new(1);
}
