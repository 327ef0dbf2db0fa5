//! Sequences: what the fuzz targets' generator makes, done to the library, with their sequential model beside it. After every step every answer, and
//! after every run of the executor every body and every handler, must be as the model says. What differs is attributed to a rule.
//!
//! A sequence is an input of the target `vtable`, of the corpus or made from a seed. Of its steps those are done that every library can do
//! and whose outcome no order of bodies decides: bodies have no links and their own gates, and objects have no interface but IUnknown. The executor runs after each step,
//! except between a Raise and a Lower; so much happens before a first poll, and much at once.

use std::rc::Rc;

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    call::{Answer, OutValue},
    declared::{OBJECTS, has},
    input::{Input, VtableInput},
    model::Model,
    mutate::mutate,
    ops::{Handler, Init, Method, ObjectOp, Op, STATUSES, Step, Timeout},
    perform::Done,
    script::{GATES, STEPS, Script, Shape},
    world::{HANDLES, STASH},
};

use crate::{
    body::shape_bit,
    client,
    finding::{Check, Finding},
    kit::{Kit, Spawn},
    load::Loaded,
    need::Need,
    rule::Rule,
    run::{Ended, Verdict, give_back, nothing_remains, open_everything, run_program},
    table::Table,
    world::Record,
};

/// Ticks after which every body whose poll budget was spent has gone on to its next wait.
const TICKS: usize = 16;
/// Rounds after which every body has ended.
const ROUNDS: usize = 128;

/// Where sequences come from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Inputs of the target `vtable`.
    pub corpus: Vec<Vec<u8>>,
    /// What the generator starts from.
    pub seed: u64,
}

impl Source {
    /// The bytes of a sequence: first the corpus, then what a seed makes of it.
    #[must_use]
    pub fn bytes(&self, number: u64) -> Vec<u8> {
        if let Some(input) = self.corpus.get(number as usize) {
            return input.clone();
        }
        let mut random = Random(self.seed.wrapping_add(number));
        let mut data = vec![0; 400];
        let mut size = 0;
        // Every other one begins with something that is known to reach far.
        if !self.corpus.is_empty() && number.is_multiple_of(2) {
            let from = &self.corpus[random.next() as usize % self.corpus.len()];
            size = from.len().min(data.len() / 4 * 4);
            data[..size].copy_from_slice(&from[..size]);
        }
        for _ in 0..8 + random.next() % 64 {
            let length = data.len();
            size = mutate::<VtableInput>(&mut data, size, length, random.next() as u32, |bytes, size, _| {
                if let Some(byte) = bytes[..size].first_mut() {
                    *byte ^= 0x55;
                }
                size
            });
        }
        data.truncate(size);
        data
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

/// What is done of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// Something to the library, and to the model.
    Step(Step),
    /// From here on the executor does not run by itself.
    Hold,
    /// It does again.
    Resume,
}

/// The steps of a sequence that this library can do.
fn actions(input: &VtableInput, table: &Table) -> Vec<Action> {
    let (mut operations, mut stashes, mut handles) = (0, 0, 0);
    // Whether memory will fail, and which objects there are by then.
    let (mut fails_next, mut objects) = (false, [false; OBJECTS]);
    let mut actions = Vec::new();
    for step in input.steps() {
        let mut step = *step;
        match &mut step.op {
            Op::Raise => {
                actions.push(Action::Hold);
                continue;
            }
            Op::Lower | Op::AdvanceTime => {
                actions.push(Action::Resume);
                continue;
            }
            Op::Spawn { script, cancellable, linked, .. } => {
                if operations == ntcom_fuzz::OPERATIONS {
                    continue;
                }
                *linked = false;
                *cancellable &= Need::Handles.is_met(table) && handles < HANDLES;
                handles += usize::from(*cancellable);
                *script = independent(*script, operations, &mut stashes, table);
                operations += 1;
                fails_next = false;
            }
            Op::SpawnError { .. } => {
                if operations == ntcom_fuzz::OPERATIONS {
                    continue;
                }
                operations += 1;
                fails_next = false;
            }
            Op::Call { object, call, .. } => {
                let made = &mut objects[usize::from(*object)];
                // An object that is made by its first call is not what memory is to fail for.
                let impossible = operations == ntcom_fuzz::OPERATIONS
                    || !Need::Objects.is_met(table)
                    || (fails_next && !*made);
                if impossible {
                    continue;
                }
                call.init = Init::Plain;
                call.script = independent(call.script, operations, &mut stashes, table);
                // Whether a body fails is in its script. One that fails with STATUS_SUCCESS has a value, says the kit's header.
                let unable = call.failure().is_some_and(|status| status == 0 || !Need::Fails.is_met(table));
                if unable {
                    continue;
                }
                operations += 1;
                (*made, fails_next) = (true, false);
            }
            // The kit's objects have IUnknown alone.
            Op::Object(_, ObjectOp::Query(which)) => *which = if *which % 4 == 3 { 3 } else { 0 },
            Op::Object(_, ObjectOp::Echo(_)) => continue,
            Op::Wait(timeout) => *timeout = Timeout::Zero,
            // A handler with a reference keeps an operation that nobody wakes alive, and only cancelling all would end it.
            Op::SetCompleted(handler) if *handler == Handler::Releases && !Need::CancelAll.is_met(table) => {
                *handler = Handler::Records;
            }
            Op::CloneStash(_) => {
                if stashes == STASH {
                    continue;
                }
                stashes += 1;
            }
            Op::HandleClone(_) => {
                if handles == HANDLES {
                    continue;
                }
                handles += 1;
            }
            Op::FailAllocation(nth) => {
                if !Need::NoMemory.is_met(table) {
                    continue;
                }
                *nth = 0;
                fails_next = true;
            }
            Op::CancelAll if !Need::CancelAll.is_met(table) => continue,
            Op::Schedule(_) => continue,
            _ => {}
        }
        actions.push(Action::Step(step));
    }
    actions
}

/// A script whose course nobody else's decides, and which the library can run.
fn independent(script: Script, operation: usize, stashes: &mut usize, table: &Table) -> Script {
    const NOTHING: u8 = 6;
    let gate = (operation % GATES) as u8;
    let mut steps: [u8; STEPS] = script.steps;
    for step in &mut steps {
        *step = match *step & 15 {
            // A gate for each of the first operations.
            2 | 3 if operation < GATES => 2 | gate << 4,
            8 if operation < GATES => 8 | gate << 4,
            2 | 3 => 1,
            4 if *stashes < STASH => {
                *stashes += 1;
                4
            }
            // It would keep itself alive, and only cancelling all would end it.
            12 | 13 if !Need::CancelAll.is_met(table) => NOTHING,
            4 | 8 | 9 | 10 | 11 | 15 => NOTHING,
            _ => *step,
        };
    }
    let offered = table.shapes & shape_bit(script.shape) != 0;
    Script { shape: if offered { script.shape } else { Shape::Plain }, steps }
}

/// Does a sequence, and judges it.
#[must_use]
pub fn run_sequence(library: &Loaded, bytes: &[u8]) -> Verdict {
    let Ok(input) = VtableInput::decode(bytes) else {
        return Verdict::NotOffered("not a sequence".to_owned());
    };
    let actions = Rc::new(actions(&input, &library.table));
    let mut ended = Ended::default();
    let (stopped, stop) = run_program(&library.table, &mut ended, &|kit| drive(kit, &actions));
    match ended.check {
        Some(Err(finding)) => Verdict::Failed(finding),
        _ if stopped => Verdict::Failed(Finding::new(
            // Whatever its own checks have found: something of its own life cycle.
            Rule::C9,
            format!("the library stopped: {}", stop.text()),
        )),
        Some(Ok(())) => Verdict::Passed,
        None => {
            Verdict::Failed(Finding::new(Rule::C9, "the library's run did not run its program to the end"))
        }
    }
}

const fn bare(op: Op) -> Step {
    Step { processor: 0, target: 0, op }
}

fn drive(kit: &Kit<'_>, actions: &[Action]) -> Check {
    let mut model = Model::default();
    let mut held = false;
    model.step(&bare(Op::Raise));
    for action in actions {
        match action {
            Action::Hold => held = true,
            Action::Resume => held = false,
            Action::Step(step) => {
                let expected = model.step(step);
                let found = perform(kit, step, expected)?;
                if let (Some(found), Some(expected)) = (found, expected) {
                    compare_answer(kit, step, found, expected)?;
                }
            }
        }
        if !held {
            advance(kit, &mut model)?;
        }
    }
    end(kit, &mut model)
}

/// The executor runs, here and in the model.
fn advance(kit: &Kit<'_>, model: &mut Model) -> Check {
    model.step(&bare(Op::Lower));
    for _ in 0..TICKS {
        model.advance_time();
    }
    model.step(&bare(Op::Raise));
    kit.advance()?;
    compare_records(kit, model)
}

/// The end: everybody lets go, whatever is left is cancelled, and nothing remains.
fn end(kit: &Kit<'_>, model: &mut Model) -> Check {
    advance(kit, model)?;
    model.open_everything();
    kit.0.trail.add("every gate is opened, for ever".to_owned());
    open_everything(kit.0);
    advance(kit, model)?;
    for _ in 0..ROUNDS {
        model.step(&bare(Op::Raise));
        model.release_everything();
        give_back_but_own(kit)?;
        advance(kit, model)?;
        if model.unfinished() == 0 {
            break;
        }
        model.step(&bare(Op::CancelAll));
        kit.command("cancel_all", kit.table().cancel_all)?;
        advance(kit, model)?;
    }
    model.release_everything();
    give_back(kit)?;
    kit.advance()?;
    nothing_remains(kit)
}

/// Gives back all but what bodies have for themselves.
fn give_back_but_own(kit: &Kit<'_>) -> Check {
    let kept: Vec<_> = kit.0.slots.borrow_mut().iter_mut().map(|slot| slot.kept.take()).collect();
    let answer = give_back(kit);
    for (slot, kept) in kit.0.slots.borrow_mut().iter_mut().zip(kept) {
        slot.kept = kept;
    }
    answer
}

/// Does a step to the operation that the model did it to.
fn perform(kit: &Kit<'_>, step: &Step, expected: Option<Done>) -> Result<Option<Answer>, Finding> {
    let world = kit.0;
    let nothing = Some(Answer { status: 0, out: OutValue::None });
    // What the model did instead of a step that reached nothing is done here, too.
    let op = replaced(kit, step);
    match op {
        Op::Spawn { kind, script, cancellable, .. } => {
            kit.make(Spawn { cancellable, ..Spawn::new(kind, script) })?;
            return Ok(nothing);
        }
        Op::SpawnError { kind, status } => {
            kit.spawn_error(kind, NTSTATUS::from_u32(STATUSES[usize::from(status)]))?;
            return Ok(nothing);
        }
        Op::Call { object, call, .. } => {
            if expected.is_none() {
                return Ok(None);
            }
            let object = the_object(kit, object.into())?;
            kit.make(Spawn {
                object: Some(object),
                fails: call.failure().map(NTSTATUS::from_u32),
                reaches: call.method == Method::Reaching,
                ..Spawn::new(call.method.kind(), call.script)
            })?;
            return Ok(nothing);
        }
        Op::Object(object, op) => {
            if expected.is_none() {
                return Ok(None);
            }
            return object_op(kit, object.into(), op).map(Some);
        }
        Op::OpenGate(gate) => {
            kit.open(gate.into())?;
            return Ok(nothing);
        }
        Op::FailAllocation(_) => {
            kit.fail_next_allocation()?;
            return Ok(nothing);
        }
        Op::CancelAll => {
            kit.command("cancel_all", kit.table().cancel_all)?;
            return Ok(nothing);
        }
        _ => {}
    }
    let Some(operation) = expected.and_then(|done| done.operation) else { return Ok(None) };
    let answer = match op {
        Op::Query(via, iid, out) => client::query(world, operation, via, iid, out)?,
        Op::AddRef(via) => client::add_ref(world, operation, via)?,
        Op::Release(via) => client::release(world, operation, via)?,
        Op::GetStatus(out) => client::get_status(world, operation, out)?,
        Op::GetResult(out) => client::get_result(world, operation, out)?,
        Op::Cancel => client::cancel(world, operation)?,
        Op::GetError(out) => client::get_error(world, operation, out)?,
        Op::GetResultSize(out) => client::get_result_size(world, operation, out)?,
        Op::SetCompleted(handler) => client::set_completed(world, operation, handler)?,
        Op::Wait(_) => client::wait(world, operation, Some(0))?,
        Op::WakeStash { by_ref, .. } => {
            kit.wake(operation, by_ref)?;
            return Ok(nothing);
        }
        Op::CloneStash(_) => {
            kit.clone_waker(operation)?;
            return Ok(nothing);
        }
        Op::DropStash(_) => {
            kit.drop_waker(operation)?;
            return Ok(nothing);
        }
        Op::HandleCancel(_) => {
            kit.handle_cancel(operation)?;
            return Ok(nothing);
        }
        Op::HandleClone(_) => {
            kit.handle_clone(operation)?;
            return Ok(nothing);
        }
        Op::HandleDrop(_) => {
            kit.handle_drop(operation)?;
            return Ok(nothing);
        }
        _ => return Ok(None),
    };
    client::breached(world)?;
    Ok(Some(answer))
}

/// The object of this number in the sequence, which is made by its first call.
fn the_object(kit: &Kit<'_>, number: usize) -> Result<usize, Finding> {
    let known = kit.0.objects.borrow().iter().position(|object| object.number == number);
    match known {
        Some(object) => Ok(object),
        None => {
            let object = kit.object()?;
            kit.0.objects.borrow_mut()[object].number = number;
            Ok(object)
        }
    }
}

fn object_op(kit: &Kit<'_>, number: usize, op: ObjectOp) -> Result<Answer, Finding> {
    let object = the_object(kit, number)?;
    let status = match op {
        ObjectOp::AddRef => u32::from(kit.object_add_ref(object)?),
        ObjectOp::Release => u32::from(kit.object_release(object)?),
        ObjectOp::Query(which) => kit.object_query(object, has(which))?.to_u32(),
        ObjectOp::Echo(_) => 0,
    };
    Ok(Answer { status, out: OutValue::None })
}

/// The step itself, or what is done in its place.
fn replaced(kit: &Kit<'_>, step: &Step) -> Op {
    let world = kit.0;
    let room = world.count() < ntcom_fuzz::OPERATIONS;
    let (wakers, handles) = (!world.stash.borrow().is_empty(), !world.handles.borrow().is_empty());
    step.op.instead(room, wakers, handles).unwrap_or(step.op)
}

fn compare_answer(kit: &Kit<'_>, step: &Step, found: Answer, expected: Done) -> Check {
    let Done { operation, answer } = expected;
    // Where nothing is written the model says so or says nothing.
    let same_out = found.out == answer.out
        || matches!(
            (found.out, answer.out),
            (OutValue::None | OutValue::Untouched, OutValue::None | OutValue::Untouched)
        );
    if found.status == answer.status && same_out {
        return Ok(());
    }
    let op = replaced(kit, step);
    let show = |answer: Answer| format!("{}, out {:?}", NTSTATUS::from_u32(answer.status), answer.out);
    let on = operation.map_or_else(String::new, |operation| format!(" of operation {operation}"));
    let message = format!("{op:?}{on} answered {}; the contract says {}", show(found), show(answer));
    let rule = operation.and_then(|operation| how_it_ended(kit, operation, op, found, answer));
    Err(Finding::new(rule.unwrap_or_else(|| rule_of(op, found, answer)), message))
}

/// The rule for an operation that ended, but not as it should have.
fn how_it_ended(kit: &Kit<'_>, operation: usize, op: Op, found: Answer, expected: Answer) -> Option<Rule> {
    let (fails, bodyless, made_so) =
        kit.0.slot(operation, |slot| (slot.fails.is_some(), slot.bodyless, slot.record.drops == 0));
    let ended = match op {
        Op::GetStatus(_) => {
            found.status == expected.status
                && matches!(found.out, OutValue::Number(1..=3))
                && found.out != expected.out
        }
        Op::GetResult(_) | Op::GetError(_) => {
            let failure = |answer: Answer| match (op, answer.out) {
                (Op::GetError(_), OutValue::Number(number)) => number >> 31 == 1,
                (Op::GetError(_), _) => false,
                _ => answer.status >> 31 == 1,
            };
            failure(expected) && failure(found) && found != expected
        }
        _ => false,
    };
    match (ended, fails, bodyless, op) {
        (false, ..) => None,
        (true, true, ..) => Some(Rule::C20),
        // There was no memory for it; or it was made as one that failed.
        (true, false, true, _) if !made_so => Some(Rule::C11),
        (true, false, _, Op::GetResult(_) | Op::GetError(_)) => Some(Rule::C7),
        (true, false, ..) => None,
    }
}

/// The rule that an answer breaks.
fn rule_of(op: Op, found: Answer, expected: Answer) -> Rule {
    match op {
        Op::Query(..) if found.status == expected.status && matches!(found.out, OutValue::Interface(_)) => {
            Rule::C2
        }
        Op::Query(..) | Op::Object(_, ObjectOp::Query(_)) => Rule::C1,
        Op::AddRef(_) | Op::Release(_) => Rule::C3,
        // An object is gone when its bodies are, too.
        Op::Object(..) => Rule::C19,
        // The right answer, and another status: how it ended.
        Op::GetStatus(_) if found.status == expected.status => match (found.out, expected.out) {
            (OutValue::Number(0..=3), OutValue::Number(2)) => Rule::C10,
            (OutValue::Number(0..=3), OutValue::Number(_)) => Rule::C6,
            _ => Rule::C4,
        },
        Op::GetStatus(_) => Rule::C4,
        Op::GetError(_) | Op::GetResultSize(_) => Rule::C16,
        Op::SetCompleted(_) => Rule::C14,
        Op::Wait(_) => Rule::C15,
        Op::Cancel => Rule::C10,
        _ => Rule::C5,
    }
}

/// What has happened to bodies and handlers.
fn compare_records(kit: &Kit<'_>, model: &Model) -> Check {
    for (operation, task) in model.tasks.iter().enumerate() {
        let expected = Record {
            polls: task.polls,
            drops: task.drops,
            log: task.log,
            handled: task.handled,
            told: task.told,
        };
        let mut found = kit.record(operation);
        // A method whose operation there is no memory for has no body yet, in the model; here it is dropped at once.
        let refused = kit.0.slot(operation, |slot| slot.object.is_some() && slot.bodyless);
        if refused && (found.drops, expected.drops) == (1, 0) {
            found.drops = 0;
        }
        if found == expected {
            continue;
        }
        let asked = kit.0.slot(operation, |slot| slot.asked);
        let left = kit.0.slot(operation, |slot| slot.references == 0);
        let (rule, what, real, wanted) = if found.handled != expected.handled {
            (
                Rule::C14,
                "runs of its completion handler",
                u64::from(found.handled),
                u64::from(expected.handled),
            )
        } else if found.told != expected.told {
            let number = |told: i32| u64::from(told.cast_unsigned());
            (Rule::C14, "what its completion handler was told", number(found.told), number(expected.told))
        } else {
            let rule = match (asked, left) {
                (true, _) => Rule::C10,
                (false, true) => Rule::C9,
                (false, false) => Rule::C8,
            };
            if found.polls != expected.polls {
                (rule, "polls of its body", u64::from(found.polls), u64::from(expected.polls))
            } else if found.drops != expected.drops {
                (rule, "drops of its body", u64::from(found.drops), u64::from(expected.drops))
            } else {
                let what = "its body has seen something else of requests and guards than the contract says";
                return Err(Finding::new(Rule::C10, format!("operation {operation}: {what}")));
            }
        };
        return Err(Finding::new(
            rule,
            format!("operation {operation}: {what}: {real}; the contract says {wanted}"),
        ));
    }
    // The model counts the blocks of objects, too.
    let objects = kit.0.objects.borrow().iter().filter(|object| object.drops == 0).count();
    let expected = model.blocks().saturating_sub(objects);
    if let Some(live) = kit.live()
        && live != expected as u64
    {
        return Err(Finding::new(
            Rule::C3,
            format!("there is memory for {live} operations; the contract says for {expected}"),
        ));
    }
    Ok(())
}
