//! `GUID`, the identifiers of interfaces.

/// A globally unique identifier, such as an interface's IID.
///
/// It has 16 bytes, an alignment of 4, and the fields of Windows's `GUID` in the same order.
///
/// ```
/// use ntcom::{GUID, IUnknownRaw, Interface};
/// assert_eq!(IUnknownRaw::IID.to_string(), "00000000-0000-0000-c000-000000000046");
/// ```
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GUID {
    /// The first eight hexadecimal digits.
    pub data1: u32,
    /// The next four digits.
    pub data2: u16,
    /// The four digits after those.
    pub data3: u16,
    /// The last sixteen digits, byte by byte.
    pub data4: [u8; 8],
}

const _: () = assert!(size_of::<GUID>() == 16 && align_of::<GUID>() == 4);

impl GUID {
    /// Returns the GUID with these 32 hexadecimal digits.
    ///
    /// ```
    /// use ntcom::GUID;
    /// const IID: GUID = GUID::from_u128(0xe18c01f5_0ed4_455b_9038_9d691621387b);
    /// assert_eq!(IID.to_string(), "e18c01f5-0ed4-455b-9038-9d691621387b");
    /// ```
    #[must_use]
    pub const fn from_u128(digits: u128) -> Self {
        let [a, b, c, d, e, f, g, h, data4 @ ..] = digits.to_be_bytes();
        Self {
            data1: u32::from_be_bytes([a, b, c, d]),
            data2: u16::from_be_bytes([e, f]),
            data3: u16::from_be_bytes([g, h]),
            data4,
        }
    }

    /// Compares for equality in constants.
    pub(crate) const fn same(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }

    const fn digits(&self) -> u128 {
        let [a, b, c, d] = self.data1.to_be_bytes();
        let [e, f] = self.data2.to_be_bytes();
        let [g, h] = self.data3.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = self.data4;
        u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl core::fmt::Display for GUID {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:08x}-{:04x}-{:04x}-", self.data1, self.data2, self.data3)?;
        for (index, byte) in self.data4.iter().enumerate() {
            let dash = if index == 2 { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}
