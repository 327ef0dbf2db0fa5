//! Pages of the arena that cannot be touched, and what happens when they are.
//!
//! With special pool a plain access to freed memory, behind a block, or to paged pool at DISPATCH_LEVEL is a page fault. The host
//! reports it as SIGSEGV to the thread that made it. The handler has the thread go on in [`landing`], on the coroutine's stack, which
//! ends the run with NT's bug check and is never left `[P1]`.

use core::cell::Cell;
use std::boxed::Box;

use crate::kernel::pool::PAGE;

/// What a page of the arena is to plain accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Anything: open.
    Open,
    /// The guard behind a block.
    Guard,
    /// Of a freed block.
    Freed,
    /// Of a block of paged pool, closed until it is touched below DISPATCH_LEVEL.
    PagedOut,
    /// Of a block of paged pool that has been touched.
    PagedIn,
}

/// The pages of an arena.
pub(crate) struct Pages {
    pages: Box<[Cell<Page>]>,
    /// How many are `PagedIn`.
    paged_in: Cell<usize>,
}

impl Pages {
    /// Those of an arena of so many bytes.
    pub(crate) fn new(size: usize) -> Self {
        let pages = (0..size / PAGE).map(|_| Cell::new(Page::Open)).collect();
        Self { pages, paged_in: Cell::new(0) }
    }

    /// What the page is that holds the byte at `offset` of the arena.
    pub(crate) fn of(&self, offset: usize) -> Page {
        self.pages.get(offset / PAGE).map_or(Page::Open, Cell::get)
    }

    /// Makes the pages of a range something else. `base`: the arena's address, a page's.
    pub(crate) fn set(&self, base: *mut u8, offset: usize, size: usize, to: Page) {
        if size == 0 {
            return;
        }
        let range = offset / PAGE..(offset + size).div_ceil(PAGE);
        for page in self.pages.get(range.clone()).unwrap_or_default() {
            let before = page.replace(to);
            let difference =
                usize::from(to == Page::PagedIn).wrapping_sub(usize::from(before == Page::PagedIn));
            self.paged_in.set(self.paged_in.get().wrapping_add(difference));
        }
        host::protect(
            base.wrapping_add(range.start * PAGE),
            range.len() * PAGE,
            matches!(to, Page::Open | Page::PagedIn),
        );
    }

    /// Opens what is closed of the first `used` bytes.
    pub(crate) fn reset(&self, base: *mut u8, used: usize) {
        let used = self.pages.get(..used.div_ceil(PAGE)).unwrap_or(&self.pages);
        if used.iter().any(|page| page.get() != Page::Open) {
            self.set(base, 0, used.len() * PAGE, Page::Open);
        }
    }

    /// Whether any page of paged pool is open.
    #[inline(always)]
    pub(crate) fn any_paged_in(&self) -> bool {
        self.paged_in.get() != 0
    }

    /// Closes all paged pool.
    #[cold]
    pub(crate) fn page_out(&self, base: *mut u8) {
        for (number, _) in self.pages.iter().enumerate().filter(|(_, page)| page.get() == Page::PagedIn) {
            self.set(base, number * PAGE, PAGE, Page::PagedOut);
        }
    }
}

pub(crate) use host::{CLOSES, prepare, reopen, retire};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod host {
    use core::{
        ffi::{c_int, c_void},
        mem::MaybeUninit,
    };
    use std::sync::OnceLock;

    use super::Page;
    use crate::engine::machine::active;

    /// What handled SIGSEGV before.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Has page faults handled: once a process.
    pub(crate) fn prepare() {
        BEFORE.get_or_init(|| {
            // SAFETY: all bytes zero are a valid value.
            let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            action.sa_sigaction = handle as *const () as usize;
            // On the stack that std has made for this: a fault may be that of a stack.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let mut before = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: both are valid; the handler is of the type that the flags say.
            let failed = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, before.as_mut_ptr()) };
            assert_eq!(failed, 0, "ntsim: the host does not let SIGSEGV be handled");
            // SAFETY: written, or zero.
            unsafe { before.assume_init() }
        });
    }

    /// Opens or closes pages.
    pub(crate) fn protect(address: *mut u8, size: usize, open: bool) {
        let protection = if open { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_NONE };
        // SAFETY: pages of the arena, which are used through raw pointers only; who touches them when they are closed is stopped.
        let failed = unsafe { libc::mprotect(address.cast(), size, protection) };
        assert_eq!(failed, 0, "ntsim: the host does not let pages be protected");
    }

    /// The host can close memory to every access.
    pub(crate) const CLOSES: bool = true;

    /// Closes the memory of a simulation that has ended, and gives its content up.
    pub(crate) fn retire(address: *mut u8, size: usize) {
        protect(address, size, false);
        // SAFETY: whole pages of an arena that no simulation uses. Where the host refuses, they only cost memory.
        unsafe { libc::madvise(address.cast(), size, libc::MADV_DONTNEED) };
    }

    /// Opens memory that [`retire`] has closed.
    pub(crate) fn reopen(address: *mut u8, size: usize) {
        protect(address, size, true);
    }

    /// The bit of a page fault's code that says that it was a write.
    const WRITE: i64 = 2;
    /// Bytes below the stack pointer that code may use all the same.
    const RED_ZONE: i64 = 128;

    unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's, for this call.
        let fault = unsafe { &*info };
        // SAFETY: SIGSEGV has an address.
        let address = unsafe { fault.si_addr() }.addr();
        let context: *mut libc::ucontext_t = context.cast();
        // SAFETY: the kernel's, for this call; nobody else has it.
        let registers = unsafe { &mut (*context).uc_mcontext.gregs };
        let write = register(registers, libc::REG_ERR) & WRITE;
        if let Some(machine) = active()
            && let Some(offset) = machine.arena.offset(address)
        {
            match machine.arena.pages.of(offset) {
                Page::PagedOut if machine.irql() < 2 => machine.arena.page_in(offset),
                Page::Open | Page::PagedIn => pass_on(signal, info, context.cast()),
                Page::Guard | Page::Freed | Page::PagedOut => {
                    let stack = register(registers, libc::REG_RSP) - RED_ZONE;
                    // As after a call: 8 bytes past a multiple of 16.
                    set(registers, libc::REG_RSP, (stack & !15) - 8);
                    set(registers, libc::REG_RDI, address as i64);
                    set(registers, libc::REG_RSI, write);
                    set(registers, libc::REG_RIP, landing as *const () as i64);
                }
            }
            return;
        }
        pass_on(signal, info, context.cast());
    }

    fn register(registers: &[i64], number: c_int) -> i64 {
        registers.get(number as usize).copied().unwrap_or(0)
    }

    fn set(registers: &mut [i64], number: c_int, value: i64) {
        if let Some(register) = registers.get_mut(number as usize) {
            *register = value;
        }
    }

    /// A fault that is none of ours goes where it would have gone.
    fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let before = BEFORE.get().map_or(libc::SIG_DFL, |before| before.sa_sigaction);
        if before == libc::SIG_DFL || before == libc::SIG_IGN {
            // SAFETY: the fault comes again when the handler returns, and ends the process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            return;
        }
        let before: *const c_void = core::ptr::with_exposed_provenance(before);
        // SAFETY: std's handler, which was installed with SA_SIGINFO.
        let before: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            unsafe { core::mem::transmute(before) };
        before(signal, info, context);
    }

    /// Where a thread goes on that has touched what it must not.
    extern "C" fn landing(address: usize, write: usize) -> ! {
        match active() {
            Some(machine) => machine.page_fault(address, write != 0),
            // The handler has seen one.
            None => std::process::abort(),
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod host {
    /// # Panics
    /// Always.
    #[expect(clippy::panic, reason = "the simulation says so")]
    pub(crate) fn prepare() {
        panic!("ntsim: special pool is for x86-64 Linux hosts")
    }

    /// The host cannot close memory.
    pub(crate) const CLOSES: bool = false;

    /// Nothing.
    pub(crate) fn retire(_address: *mut u8, _size: usize) {}

    /// Nothing.
    pub(crate) fn reopen(_address: *mut u8, _size: usize) {}

    /// Nothing.
    pub(crate) fn protect(_address: *mut u8, _size: usize, _open: bool) {}
}
