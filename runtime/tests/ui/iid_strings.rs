//! An IID that is written as a string is checked at compile time.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    trait IShort: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d0";
    }
}

declare_com_interface! {
    trait ILetters: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7g01";
    }
}

declare_com_interface! {
    trait IGroups: IUnknown {
        const IID: GUID = "0d6a1e7c7f5c-4d3e-8a55-1f0f-0c1f7d01";
    }
}

declare_com_interface! {
    trait IBrace: IUnknown {
        const IID: GUID = "{0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01";
    }
}

declare_com_interface! {
    trait INumber: IUnknown {
        const IID: GUID = 7;
    }
}

fn main() {}
