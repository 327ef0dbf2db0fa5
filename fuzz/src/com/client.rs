//! Performs steps through the tables, and judges the answers.
//!
//! A processor calls an object only while it holds a reference. It takes a reference out of its
//! hand before it gives the reference up. The exceptions are three steps that break the contract,
//! and must stop the machine.

use core::{
    ffi::c_void,
    ptr::null_mut,
    sync::atomic::{AtomicUsize, Ordering},
};

use ntcom::{GUID, IUnknownVtbl, NTSTATUS};

use super::{
    body::WORKS,
    input::{ComStep, Make, Op, Pointers},
    interfaces::{A, B, C, D, E, IAVtbl, IBVtbl, ICVtbl, IDVtbl, IEVtbl, IFACES, IIDS, NAMES, U, answer},
    objects,
    operations::{cancel, let_go, open, release_operations, start, status},
    shape::Shape,
    tables::{add_ref, give_back, release, table},
    world::{ComWorld, HAND, Reference, STATIC},
};
use crate::harness::{coverage::hit, irql, slots::slot};

/// Does one step on this processor. The run has `processors` of them.
pub(super) fn perform(world: &ComWorld, processor: usize, processors: usize, step: &ComStep) {
    if ntsim::is_tracing() {
        ntsim::note(|| step.to_string());
    }
    world.tried();
    if world.must_stop.get().is_some() {
        // Another processor is doing the step that must stop the machine. The count has a false
        // value until then, so no other processor may use it.
        return;
    }
    world.busy.set(world.busy.get() + 1);
    if dispatch(world, processor, processors, step) {
        world.reached();
    }
    world.busy.set(world.busy.get() - 1);
}

fn dispatch(world: &ComWorld, processor: usize, processors: usize, step: &ComStep) -> bool {
    let held = world.held(processor, step.target);
    match step.op {
        Op::Make(shape, make) => self::make(world, processor, processors, shape, make),
        Op::Static => fixed(world, processor),
        Op::Raise => toggle(world, processor),
        Op::Status => status(world, processor, step.target),
        Op::Cancel => cancel(world, processor, step.target),
        Op::Let => let_go(world, processor, step.target),
        Op::Schedule(_) => false,
        op => match held {
            Some((index, reference)) => on(world, processor, processors, index, reference, op),
            None => false,
        },
    }
}

/// Does a step with a reference.
fn on(world: &ComWorld, processor: usize, processors: usize, index: usize, held: Reference, op: Op) -> bool {
    let shape = shape(world, held.object);
    let place = shape as u32 | (held.iface as u32) << 4;
    let last = u32::from(world.record(held.object).ledger.get() == 1) << 8;
    match op {
        Op::Query(which, pointers) => {
            hit(0x100 | (pointers as u32) << 4, u32::from(which));
            hit(0x180 | u32::from(which), place);
            query(world, processor, held, usize::from(which), pointers);
        }
        Op::AddRef if world.room(processor) => {
            hit(0x200, place);
            if add_ref(held.this) == 0 {
                held.fail("C3", "AddRef answers 0".into());
            }
            world.take(processor, held);
        }
        Op::AddRef => return false,
        Op::Release => {
            hit(0x201, place | last);
            give_back(world, processor, index);
        }
        Op::Give(to) => {
            let to = usize::from(to) % processors;
            if to == processor || !world.room(to) {
                return false;
            }
            hit(0x202, place);
            let reference = world.give_up(processor, index);
            world.take(to, reference);
        }
        Op::Call(method, n) => {
            hit(0x300 | u32::from(method % 3), place);
            call(held, shape, method, n);
        }
        Op::Async { opaque, work, starved } => {
            if held.iface != D {
                // This object's interface has no such method. Query the interface that has it.
                query(world, processor, held, D, Pointers::Good);
                return true;
            }
            if world.operations[processor].borrow().len() >= HAND {
                return false;
            }
            hit(0x400 | u32::from(opaque) | u32::from(work % WORKS) << 1, place);
            start(world, processor, held, shape, opaque, work, starved);
        }
        Op::Open { work, starved } => {
            if held.iface != D {
                query(world, processor, held, D, Pointers::Good);
                return true;
            }
            if world.operations[processor].borrow().len() >= HAND {
                return false;
            }
            hit(0x480 | u32::from(work % WORKS), place);
            return open(world, processor, held, work, starved);
        }
        Op::Overflow => {
            return at_count(
                world,
                held,
                shape,
                usize::MAX / 2 + 4,
                "a count beyond half its range grows",
                add_ref,
            );
        }
        Op::Underflow => return at_count(world, held, shape, 0, "a count of zero shrinks", release),
        Op::Make(..) | Op::Static | Op::Raise | Op::Status | Op::Cancel | Op::Let | Op::Schedule(_) => {
            return false;
        }
    }
    true
}

fn shape(world: &ComWorld, object: usize) -> Shape {
    if object == STATIC {
        return Shape::Static;
    }
    let shape = world.record(object).shape.get();
    shape.unwrap_or_else(|| {
        ntsim::fail("harness", format!("a reference to value {object}, which is not an object"))
    })
}

fn make(world: &ComWorld, processor: usize, processors: usize, shape: Shape, make: Make) -> bool {
    if !world.room(processor) {
        return false;
    }
    let Some(number) = world.number(shape) else { return false };
    hit(
        0x500 | shape as u32,
        u32::from(make == Make::Fails) | u32::from(matches!(make, Make::Starved(_))) << 1,
    );
    if let Make::Starved(nth) = make {
        world.starved.set(true);
        ntsim::fail_allocation(nth.into());
    }
    let made = objects::make(shape, number, make == Make::Fails, make == Make::Revives);
    let this = match made {
        Ok(this) if make != Make::Fails => this,
        Ok(_) => ntsim::fail("init", format!("object {number} was made, but its initialiser failed")),
        Err(status) => {
            let short = status == NTSTATUS::INSUFFICIENT_RESOURCES && world.starved.get();
            if !short && (status != NTSTATUS::NOT_SUPPORTED || make != Make::Fails) {
                ntsim::fail("init", format!("object {number} is refused with {status}"));
            }
            for value in number..number + shape.values() {
                let record = world.record(value);
                if record.built.get() != record.drops.get() {
                    ntsim::fail(
                        "init",
                        format!("object {number} was not made, but a value of it was not dropped"),
                    );
                }
            }
            return true;
        }
    };
    let record = world.record(number);
    record.this.set(this);
    record.found[U].set(this);
    record.found[shape.primary()].set(this);
    let reference = Reference { object: number, iface: shape.primary(), this };
    world.take(processor, reference);
    if make == Make::Shared {
        for other in (0..processors).filter(|other| *other != processor && world.room(*other)) {
            // The maker holds the reference, and no other processor knows of the object yet.
            add_ref(this);
            world.take(other, reference);
        }
    }
    true
}

fn fixed(world: &ComWorld, processor: usize) -> bool {
    if !world.room(processor) {
        return false;
    }
    let this = objects::fixed();
    let record = world.record(STATIC);
    record.this.set(this);
    record.found[U].set(this);
    record.found[B].set(this);
    world.take(processor, Reference { object: STATIC, iface: B, this });
    true
}

/// Calls QueryInterface `[C1]`, `[C2]`.
fn query(world: &ComWorld, processor: usize, held: Reference, which: usize, pointers: Pointers) {
    #[repr(C, align(8))]
    struct Odd<T> {
        _odd: u8,
        value: [u8; 16],
        _type: [T; 0],
    }
    let iid: GUID = IIDS[which];
    let mut odd_iid = Odd::<GUID> { _odd: 0, value: [0; 16], _type: [] };
    let mut odd_out = Odd::<usize> { _odd: 0, value: [0xA5; 16], _type: [] };
    let mut out = held.this.wrapping_byte_add(1);
    let (iid_at, out_at): (*const GUID, *mut *mut c_void) = match pointers {
        Pointers::Good => (&raw const iid, &raw mut out),
        Pointers::NoIid => (core::ptr::null(), &raw mut out),
        Pointers::NoOut => (&raw const iid, null_mut()),
        Pointers::Misaligned => {
            let place = (&raw mut odd_iid.value).cast::<GUID>();
            // SAFETY: `value` has sixteen bytes.
            unsafe { place.write_unaligned(iid) };
            (place, (&raw mut odd_out.value).cast())
        }
    };
    let query = slot(table::<IUnknownVtbl>(held.this).QueryInterface, "QueryInterface");
    // SAFETY: the caller has a reference. The pointers are valid, or null where that is allowed.
    let status = unsafe { query(held.this, iid_at, out_at) };
    if pointers == Pointers::Misaligned {
        // SAFETY: `value` has sixteen bytes. The call was to write the first eight.
        out = unsafe { (&raw const odd_out.value).cast::<*mut c_void>().read_unaligned() };
        if odd_out.value[8..] != [0xA5; 8] {
            held.fail("C1", "QueryInterface writes beyond `out`".into());
        }
    }
    let name = NAMES[which];
    if matches!(pointers, Pointers::NoIid | Pointers::NoOut) {
        if status != NTSTATUS::INVALID_PARAMETER || pointers == Pointers::NoIid && !out.is_null() {
            held.fail("C1", format!("QueryInterface without a pointer answers {status} and {out:?}"));
        }
        return;
    }
    let shape = shape(world, held.object);
    if which >= IFACES || !shape.has(which) {
        if status != NTSTATUS::NOINTERFACE || !out.is_null() {
            held.fail(
                "C1",
                format!("QueryInterface for {name}, which it lacks, answers {status} and {out:?}"),
            );
        }
        return;
    }
    if status != NTSTATUS::SUCCESS {
        let rule = match which {
            _ if which == held.iface => "C2 reflexivity",
            U => "C2 identity",
            _ if which == shape.primary() => "C2 symmetry",
            _ => "C2 transitivity",
        };
        held.fail(rule, format!("QueryInterface for {name} answers {status}, expected STATUS_SUCCESS"));
    }
    let found = &world.record(held.object).found[which];
    let known = found.replace(out);
    if !known.is_null() && known != out {
        let rule = if which == U { "C2 identity" } else { "C2" };
        held.fail(rule, format!("QueryInterface for {name} gives {out:?}, and gave {known:?} before"));
    }
    world.take(processor, Reference { object: held.object, iface: which, this: out });
    if !world.room(processor) {
        let last = world.hands[processor].borrow().len() - 1;
        give_back(world, processor, last);
    }
}

/// Calls a method that answers at once. The answer shows that this object got these arguments.
fn call(held: Reference, shape: Shape, method: u8, n: u8) {
    let this = held.this;
    let number = held.object + shape.answers(held.iface);
    let wide = u64::from(n) << 40 | 0x77;
    macro_rules! through {
        ($slot:expr, $name:literal $(, $argument:expr)*) => {
            // SAFETY: the caller has a reference. Out-parameters are writable.
            unsafe { slot($slot, $name)(this $(, $argument)*) }
        };
    }
    let (answered, expected) = match (held.iface, method % 3) {
        (A, _) => (u64::from(through!(table::<IAVtbl>(this).a, "a", n.into())), number as u64 ^ u64::from(n)),
        (B, 0) => {
            (u64::from(through!(table::<IBVtbl>(this).base.a, "a", n.into())), number as u64 ^ u64::from(n))
        }
        (B, _) => {
            let b = through!(table::<IBVtbl>(this).b, "b", n, wide, 0x1234);
            (b, answer(number, 1, u64::from(n) ^ wide ^ 0x1234 << 16))
        }
        (E, 0) => {
            let a = through!(table::<IEVtbl>(this).base.base.a, "a", n.into());
            (a.into(), number as u64 ^ u64::from(n))
        }
        (E, 1) => {
            let b = through!(table::<IEVtbl>(this).base.b, "b", n, wide, 0x1234);
            (b, answer(number, 1, u64::from(n) ^ wide ^ 0x1234 << 16))
        }
        (E, _) => (through!(table::<IEVtbl>(this).e, "e"), answer(number, 5, 0)),
        (C | D, _) => {
            let mut out = 0;
            let c = if held.iface == C { table::<ICVtbl>(this).c } else { table::<IDVtbl>(this).base.c };
            let status = through!(c, "c", n.into(), &raw mut out);
            if status != NTSTATUS::SUCCESS {
                held.fail("this", format!("a method answers {status}"));
            }
            (out, answer(number, 2, n.into()))
        }
        // IUnknown has no other methods.
        _ => return,
    };
    if answered != expected {
        held.fail(
            "this",
            format!("a method of {} answers {answered:#x}, expected {expected:#x}", NAMES[held.iface]),
        );
    }
}

fn toggle(world: &ComWorld, processor: usize) -> bool {
    let raised = &world.raised[processor];
    if !irql::lower(raised) {
        irql::raise(raised);
    }
    true
}

/// Sets an object's count, and does the call that must then stop the machine `[C3]`.
fn at_count(
    world: &ComWorld,
    held: Reference,
    shape: Shape,
    count: usize,
    what: &'static str,
    act: fn(*mut c_void) -> u32,
) -> bool {
    let Some(offset) = shape.count() else { return false };
    let mut values = world.records.iter().skip(held.object).take(shape.values());
    if world.busy.get() > 1 || values.any(|value| value.bodies.get() > 0) {
        // Another processor could count in between. From zero, for instance, it would free the
        // object.
        return false;
    }
    let word = world.record(held.object).this.get().wrapping_byte_add(offset).cast::<AtomicUsize>();
    // SAFETY: the caller has a reference to the object, so its block is alive. The count is behind
    // its interfaces.
    let word = unsafe { &*word };
    let found = word.load(Ordering::Relaxed);
    if found == 0 || found > 1 << 10 {
        held.fail(
            "layout",
            format!("the word at the offset of its count is {found:#x}, which is not a count"),
        );
    }
    world.must_stop.set(Some(what));
    word.store(count, Ordering::Relaxed);
    act(held.this);
    held.fail("C3", format!("{what}, but the machine did not stop"))
}

/// Releases everything that a processor holds. First judges its operations, which may hand out more
/// references.
pub(super) fn release_everything(world: &ComWorld, processor: usize) {
    release_operations(world, processor);
    while let Some((index, _)) = world.held(processor, 0) {
        give_back(world, processor, index);
    }
}
