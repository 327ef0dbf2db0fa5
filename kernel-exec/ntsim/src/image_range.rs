//! The address range of the statics of the program that contains this crate.

use core::sync::atomic::{AtomicUsize, Ordering};

/// The first address of the writable segments; 0 before [`learn`].
static START: AtomicUsize = AtomicUsize::new(0);
/// The size of the segments; 0 before [`learn`]. 1, with a start of 0, if the host does not report
/// them.
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Whether an address is in a static of the program, or of the library into which this crate is
/// linked.
#[inline(always)]
pub(crate) fn in_image(address: usize) -> bool {
    let size = match SIZE.load(Ordering::Acquire) {
        0 => learn(),
        size => size,
    };
    address.wrapping_sub(START.load(Ordering::Relaxed)) < size && address != 0
}

#[cold]
fn learn() -> usize {
    let (start, size) = host::writable((&raw const START).addr()).unwrap_or((0, 1));
    START.store(start, Ordering::Relaxed);
    SIZE.store(size, Ordering::Release);
    size
}

#[cfg(target_os = "linux")]
mod host {
    use core::ffi::{c_int, c_void};

    struct Search {
        within: usize,
        found: Option<(usize, usize)>,
    }

    /// The first address and the size of the writable segments of the program or library that
    /// contains `within`.
    pub(super) fn writable(within: usize) -> Option<(usize, usize)> {
        let mut search = Search { within, found: None };
        // SAFETY: the callback takes the search to which `data` points, and both live until the
        // call returns.
        unsafe { libc::dl_iterate_phdr(Some(visit_program), (&raw mut search).cast()) };
        search.found
    }

    unsafe extern "C" fn visit_program(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: this is the loader's description of a program, valid for this call.
        let info = unsafe { &*info };
        // SAFETY: `data` is the search that `writable` passes.
        let search = unsafe { &mut *data.cast::<Search>() };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader reports the number of headers.
        let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let segments = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0)
            .map(|header| {
                let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
                (start, start.wrapping_add(header.p_memsz as usize))
            });
        let found = segments.reduce(|all, next| (all.0.min(next.0), all.1.max(next.1)));
        search.found = found
            .filter(|(start, end)| (*start..*end).contains(&search.within))
            .map(|(start, end)| (start, end - start));
        c_int::from(search.found.is_some())
    }
}

#[cfg(windows)]
mod host {
    unsafe extern "C" {
        /// The first byte of the image, by the linker's name.
        static __ImageBase: u8;
    }

    /// The offset in a DOS header of the NT headers' offset.
    const NT_HEADERS: usize = 0x3C;
    /// The offset in the NT headers of the image's size.
    const SIZE_OF_IMAGE: usize = 0x50;

    /// The first address and the size of the image, which contains `within`.
    pub(super) fn writable(_within: usize) -> Option<(usize, usize)> {
        let base = &raw const __ImageBase;
        // SAFETY: the loader has mapped the headers of this image.
        let headers = unsafe { base.add(NT_HEADERS).cast::<u32>().read() };
        // SAFETY: the DOS header gives the offset at which the NT headers begin.
        let size = unsafe { base.add(headers as usize + SIZE_OF_IMAGE).cast::<u32>().read() };
        Some((base.addr(), size as usize))
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
mod host {
    /// `None`, because the host does not report it.
    pub(super) fn writable(_within: usize) -> Option<(usize, usize)> {
        None
    }
}
