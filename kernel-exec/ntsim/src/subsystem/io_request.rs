//! Builds the requests of clients, and completes them as the I/O manager does.
//!
//! Completion copies the result and the data to the client's side, and frees the IRP and its
//! buffers at once. A driver that uses one of them later uses freed memory.

extern crate alloc;

use alloc::vec::Vec;

use super::{event, file_object, irp, pool};
use crate::{
    engine::{
        entry::{here, outside},
        machine::Machine,
    },
    kernel::{
        io::{Completed, OpenFile, OpenRequest},
        pool::Request,
    },
    types::{
        _EVENT_TYPE, IO_STACK_LOCATION, IRP, IRP_MJ_DEVICE_CONTROL, IRP_MJ_WRITE, KEVENT, NTSTATUS,
        PDEVICE_OBJECT, PIRP, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
        STATUS_INSUFFICIENT_RESOURCES, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    },
    verifier::{Checked, bugcheck::irp as violated},
};

/// The oracle for rules of requests that no bug check stands for.
pub(crate) const ORACLE: &str = "io";

/// The tags of a request's event, its system buffer and its client's buffers.
const EVENT: [u8; 4] = *b"IoEv";
const SYSTEM_BUFFER: [u8; 4] = *b"IoSB";
const CLIENT_BUFFER: [u8; 4] = *b"User";

/// The `IRP_*` flags.
const IRP_BUFFERED_IO: u32 = 0x10;
const IRP_DEALLOCATE_BUFFER: u32 = 0x20;
const IRP_INPUT_OPERATION: u32 = 0x40;

/// The least status that is an error. The system copies no data for it.
const ERROR: u32 = 0xC000_0000;

/// The place of a request's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffers {
    /// The request has no data.
    None,
    /// One buffer of the system, for input and output.
    System,
    /// The input in the system's buffer, and no output.
    SystemInput,
    /// The client's own buffers.
    Client,
}

/// A request as its client asks for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// What it is, for messages.
    pub(crate) what: &'static str,
    pub(crate) major: u8,
    pub(crate) parameters: [usize; 4],
    pub(crate) flags: u32,
    pub(crate) buffers: Buffers,
    pub(crate) input: &'a [u8],
    /// The bytes of output that the client has room for.
    pub(crate) room: usize,
    /// The most that `Information` may be after a success.
    pub(crate) limit: Option<usize>,
}

/// Copies bytes to a block that was just allocated for them.
fn fill(block: *mut u8, bytes: &[u8]) {
    // SAFETY: every caller has allocated the block, with room for the bytes, which are not in it.
    unsafe { block.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

/// Returns a copy of the first bytes of a block of a request.
fn copied(block: usize, length: usize) -> Vec<u8> {
    let first: *const u8 = core::ptr::with_exposed_provenance(block);
    // SAFETY: every caller passes a live block of a request, which has this length, and no driver
    // code runs during the call.
    unsafe { core::slice::from_raw_parts(first, length) }.to_vec()
}

/// Allocates a block that is not the system's, for which memory is never low.
fn allocate_for_client(machine: &Machine, size: usize, tag: [u8; 4]) -> Checked<*mut u8> {
    let block = pool::allocate_of_reserve(machine, Request::kernel(size.max(1), tag))?;
    if block.is_null() {
        let message = alloc::format!("the simulation's pool has no room for the {size} bytes of a client");
        machine.fail("not supported", message);
    }
    Ok(block)
}

/// Fills a new IRP with a request for a file, and returns the request's number. The status if
/// memory is low.
pub(crate) fn prepare(
    machine: &Machine,
    packet: PIRP,
    file: OpenFile,
    ask: &Ask<'_>,
) -> Checked<Result<u64, NTSTATUS>> {
    let value = irp::read(packet);
    let size = ask.input.len().max(ask.room);
    let mut flags = ask.flags;
    let mut system = core::ptr::null_mut();
    let wanted = match ask.buffers {
        Buffers::System => size,
        Buffers::SystemInput => ask.input.len(),
        Buffers::None | Buffers::Client => 0,
    };
    if wanted != 0 {
        system =
            pool::allocate(machine, Request { zeroed: false, ..Request::kernel(wanted, SYSTEM_BUFFER) })?;
        if system.is_null() {
            return Ok(Err(STATUS_INSUFFICIENT_RESOURCES));
        }
        fill(system, ask.input);
        flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
        flags |= if ask.room == 0 { 0 } else { IRP_INPUT_OPERATION };
    }
    let [mut input, mut output] = [core::ptr::null_mut(); 2];
    if ask.buffers == Buffers::Client {
        if !ask.input.is_empty() {
            input = allocate_for_client(machine, ask.input.len(), CLIENT_BUFFER)?;
            fill(input, ask.input);
        }
        if ask.room != 0 {
            output = allocate_for_client(machine, ask.room, CLIENT_BUFFER)?;
        }
    }
    let event: *mut KEVENT = allocate_for_client(machine, size_of::<KEVENT>(), EVENT)?.cast();
    event::initialize(machine, event, _EVENT_TYPE::NotificationEvent, false)?;
    let object = file_object::pointer(file.address);
    let thread = machine.thread_address(machine.thread());
    let has_output = usize::from(ask.major) != IRP_MJ_WRITE;
    irp::write(
        packet,
        IRP {
            Flags: flags,
            AssociatedIrp: system.cast(),
            UserBuffer: if has_output { output.cast() } else { input.cast() },
            Thread: core::ptr::with_exposed_provenance_mut(thread),
            OriginalFileObject: object,
            ..value
        },
    );
    let [first, second, third, mut fourth] = ask.parameters;
    if usize::from(ask.major) == IRP_MJ_DEVICE_CONTROL {
        fourth = input.expose_provenance();
    }
    let next = irp::read_location(packet, value.CurrentLocation - 1);
    irp::write_location(
        packet,
        value.CurrentLocation - 1,
        IO_STACK_LOCATION {
            MajorFunction: ask.major,
            Parameters: [first as u64, second as u64, third as u64, fourth as u64],
            FileObject: object,
            CompletionRoutine: Some(completed),
            Control: SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL,
            ..next
        },
    );
    let number = file_object::next_number();
    machine.kernel.borrow_mut().io.add_request(OpenRequest {
        number,
        irp: packet as usize,
        event: event.expose_provenance(),
        system: system.expose_provenance(),
        input: input.expose_provenance(),
        output: output.expose_provenance(),
        room: ask.room,
        limit: ask.limit,
        what: ask.what,
        completed: None,
    });
    Ok(Ok(number))
}

/// The completion routine of a client's IRP.
unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, packet: PIRP, _context: PVOID) -> NTSTATUS {
    let Some(machine) = here() else { outside("a completion routine") };
    machine.checked(complete(&machine, packet));
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Completes the request of an IRP that has passed all drivers, and frees the IRP and its buffers.
fn complete(machine: &Machine, packet: PIRP) -> Checked<()> {
    let found = machine.kernel.borrow_mut().io.request_of(packet as usize).cloned();
    let Some(request) = found else { return Ok(()) };
    let value = irp::read(packet);
    if let Some(routine) = value.CancelRoutine {
        let name = machine.name(packet as usize);
        return Err(violated::completed_with_cancel_routine(packet as usize, name, routine as usize));
    }
    let (status, information) = (value.IoStatus.Status, value.IoStatus.Information as usize);
    let has_data = status.cast_unsigned() < ERROR;
    if let Some(limit) = request.limit.filter(|limit| has_data && information > *limit) {
        let message = alloc::format!(
            "the driver completes a {} with Information {information}, but its buffer has {limit} bytes",
            request.what
        );
        machine.fail(ORACLE, message);
    }
    let data = match (has_data, request.system, request.output) {
        (true, system @ 1.., _) if request.room != 0 => copied(system, information),
        (true, _, output @ 1..) => copied(output, information.min(request.room)),
        _ => Vec::new(),
    };
    for block in [request.system, request.input, request.output].into_iter().filter(|block| *block != 0) {
        pool::free_kernel(machine, block)?;
    }
    irp::free(machine, packet)?;
    if let Some(request) = machine.kernel.borrow_mut().io.request_of(packet as usize) {
        request.completed = Some(Completed { status, information, data });
    }
    event::set(machine, request.event, 0)?;
    Ok(())
}

/// Checks the status that a dispatch routine has returned for a request against the request's
/// result. Returns whether the client has to wait.
pub(crate) fn sent(machine: &Machine, number: u64, returned: NTSTATUS) -> bool {
    if returned == STATUS_PENDING {
        return true;
    }
    let kernel = machine.kernel.borrow();
    let Some(request) = kernel.io.request(number) else { return false };
    let what = request.what;
    let completed = request.completed.as_ref().map(|completed| completed.status);
    drop(kernel);
    let found = match completed {
        Some(status) if status == returned => return false,
        Some(status) => alloc::format!("and it was completed with status {status:#x}"),
        None => "but it is not complete, so the status must be STATUS_PENDING".into(),
    };
    let message = alloc::format!("the dispatch routine has returned {returned:#x} for a {what}, {found}");
    machine.fail(ORACLE, message)
}

/// Gives the result of a complete request to its client.
pub(crate) fn take(machine: &Machine, number: u64) -> Checked<Option<Completed>> {
    let request = machine.kernel.borrow_mut().io.take_request(number);
    let Some(request) = request else { return Ok(None) };
    pool::free_kernel(machine, request.event)?;
    Ok(request.completed)
}
