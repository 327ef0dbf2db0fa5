//! Decides which symbols belong to an infallible allocation.

/// Symbols that an infallible allocation refers to, whatever crate it is compiled into.
const FORBIDDEN: [&str; 7] = [
    "handle_alloc_error",
    "alloc_error_handler",
    "__rust_alloc_error",
    "__rdl_oom",
    "raw_vec",
    "capacity_overflow",
    "exchange_malloc",
];

/// Whether a symbol belongs to an infallible allocation, by its name or because it is from the
/// crate `alloc`, where all collections allocate infallibly.
///
/// `__rust_alloc`, the allocator itself, does not.
pub(crate) fn forbidden(symbol: &str) -> bool {
    FORBIDDEN.iter().any(|name| symbol.contains(name)) || names_alloc(&demangled(symbol))
}

/// Whether a demangled path begins in the crate `alloc`, or names a type of that crate. A module
/// called `alloc` does not count.
fn names_alloc(demangled: &str) -> bool {
    demangled.match_indices("alloc::").any(|(at, _)| {
        let before = demangled.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

/// A symbol as a person reads it.
pub(crate) fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn an_infallible_allocation_is_recognised_by_its_symbols() {
        for symbol in [
            // alloc::alloc::handle_alloc_error, both manglings.
            "_ZN5alloc5alloc18handle_alloc_error17h0123456789abcdefE",
            "_RNvNtCs1234567890_5alloc5alloc18handle_alloc_error",
            "__rust_alloc_error_handler",
            "_RNvCs1234567890_7___rustc26___rust_alloc_error_handler",
            "_ZN5alloc7raw_vec17capacity_overflow17h0123456789abcdefE",
            "_ZN5alloc7raw_vec12handle_error17h0123456789abcdefE",
            // <alloc::string::String as core::fmt::Write>::write_str
            "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
            // alloc::fmt::format::format_inner
            "_ZN5alloc3fmt6format12format_inner17h0123456789abcdefE",
            // core::ptr::drop_in_place::<alloc::boxed::Box<panic_unwind::imp::Exception>>
            "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtCslNYArtu3iFV_5alloc5boxed3BoxNtNtCsiGO2KWI1TB6_12panic_unwind3imp9ExceptionEEB1j_",
        ] {
            assert!(forbidden(symbol), "{symbol}");
        }
    }

    #[test]
    fn what_can_fail_is_allowed() {
        for symbol in [
            "__rust_alloc",
            "_RNvCs1234567890_7___rustc12___rust_alloc",
            "_RNvCs1234567890_7___rustc35___rust_no_alloc_shim_is_unstable_v2",
            "ExAllocatePool2",
            "memcpy",
            // ntcom_exec::alloc::global::allocate is in a module called alloc.
            "_ZN10ntcom_exec5alloc6global8allocate17h0123456789abcdefE",
            // <ntcom_exec::alloc::GlobalAllocator as ntcom_exec::alloc::Allocator>::allocate
            "_RNvXNtCs1234567890_10ntcom_exec5allocNtB2_15GlobalAllocatorNtB2_9Allocator8allocate",
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_ZN4core5alloc6layout6Layout19is_size_align_valid17h0123456789abcdefE",
        ] {
            assert!(!forbidden(symbol), "{symbol}");
        }
    }
}
