// The rules for an object's interfaces.

use ntcom::{ComObject, GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    trait IOne: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn one(&self) -> u32;
    }
}
declare_com_interface! {
    trait IOther: IUnknown {
        const IID: GUID = GUID::from_u128(2);
        fn other(&self) -> u32;
    }
}

struct Thing;

impl IOne for Thing {
    fn one(&self) -> u32 {
        1
    }
}

fn main() {
    // `Thing` does not implement the second interface.
    let _ = ComObject::<Thing, (IOneRaw, IOtherRaw)>::new(Thing);
    // `u32` is not an interface, and the tuple is empty.
    let _ = ComObject::<Thing, u32>::new(Thing);
    let _ = ComObject::<Thing, ()>::new(Thing);
}
