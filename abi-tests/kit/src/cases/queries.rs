//! Cases of C1 and C2, QueryInterface and identity.

use ntcom::{AsyncControlRaw, AsyncOperationRaw, GUID, IUnknownRaw, Interface, NTSTATUS};
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::{Iid, Out, Via},
    value::ValueKind,
};

use super::states;
use crate::{
    case::{Case, case},
    check, ensure,
    finding::{Check, Finding},
    kit::Kit,
    rule::Rule,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C1, "query_null_iid", null_iid),
    case(Rule::C1, "query_null_out", null_out),
    case(Rule::C1, "query_unknown_iid", unknown_iid),
    case(Rule::C1, "query_almost_known_iid", almost_known_iid),
    case(Rule::C1, "query_adds_a_reference", adds_a_reference),
    case(Rule::C1, "query_needs_no_alignment", no_alignment),
    case(Rule::C2, "identity", identity),
    case(Rule::C2, "interfaces_never_change", never_change),
];

fn expect(kit: &Kit<'_>, answer: Answer, status: NTSTATUS, out: OutValue, what: &str) -> Check {
    let answered = NTSTATUS::from_u32(answer.status);
    check!(
        kit,
        C1,
        answered == status,
        "QueryInterface {what} answers {answered}, and should answer {status}"
    );
    check!(
        kit,
        C1,
        answer.out == out,
        "QueryInterface {what} leaves {:?} in its out, and should leave {out:?}",
        answer.out
    );
    Ok(())
}

/// Runs a check for each state and each interface.
fn everywhere(kit: &Kit<'_>, check: impl Fn(usize, Via) -> Check) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U64)? {
        for via in kit.vias() {
            check(operation, *via)?;
        }
    }
    Ok(())
}

fn null_iid(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        let answer = kit.query(operation, via, Iid::Null, Out::Given)?;
        expect(kit, answer, NTSTATUS::INVALID_PARAMETER, OutValue::Null, "with a null iid")
    })
}

fn null_out(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        for iid in [Iid::Unknown, Iid::Operation, Iid::Control, Iid::Unsupported, Iid::Null] {
            let answer = kit.query(operation, via, iid, Out::Null)?;
            expect(kit, answer, NTSTATUS::INVALID_PARAMETER, OutValue::None, "with a null out")?;
        }
        Ok(())
    })
}

fn unknown_iid(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        let answer = kit.query(operation, via, Iid::Unsupported, Out::Given)?;
        expect(kit, answer, NTSTATUS::NOINTERFACE, OutValue::Null, "for an interface that no object has")?;
        if !kit.has_control() {
            let answer = kit.query(operation, via, Iid::Control, Out::Given)?;
            expect(kit, answer, NTSTATUS::NOINTERFACE, OutValue::Null, "for IAsyncControl")?;
        }
        Ok(())
    })
}

/// Changes one bit of one of the sixteen bytes.
fn with_another_byte(mut iid: GUID, byte: usize) -> GUID {
    match byte {
        0..4 => iid.data1 ^= 1 << (8 * byte),
        4..6 => iid.data2 ^= 1 << (8 * (byte - 4)),
        6..8 => iid.data3 ^= 1 << (8 * (byte - 6)),
        _ => iid.data4[byte - 8] ^= 1,
    }
    iid
}

/// An IID that differs in one of its sixteen bytes names another interface.
fn almost_known_iid(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        for known in [IUnknownRaw::IID, AsyncOperationRaw::<()>::IID, AsyncControlRaw::IID] {
            for byte in 0..16 {
                let near = with_another_byte(known, byte);
                let name = near.to_string();
                let answer = kit.query_for(operation, via, (Some(near), &name), Out::Given)?;
                let of = match known {
                    IUnknownRaw::IID => "IUnknown",
                    AsyncControlRaw::IID => "IAsyncControl",
                    _ => "IAsyncOperation",
                };
                let what = format!("for an IID that differs from that of {of} in byte {byte}");
                expect(kit, answer, NTSTATUS::NOINTERFACE, OutValue::Null, &what)?;
            }
        }
        Ok(())
    })
}

/// The interfaces that operations have.
fn interfaces(kit: &Kit<'_>) -> impl Iterator<Item = Iid> + use<> {
    let control = kit.has_control().then_some(Iid::Control);
    [Iid::Unknown, Iid::Operation].into_iter().chain(control)
}

fn adds_a_reference(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        for iid in interfaces(kit) {
            let found = if iid == Iid::Control { Via::Control } else { Via::Operation };
            let answer = kit.query(operation, via, iid, Out::Given)?;
            expect(kit, answer, NTSTATUS::SUCCESS, OutValue::Interface(found), &format!("for {iid:?}"))?;
            let gone = kit.release(operation, found)?;
            ensure!(C1, !gone, "what QueryInterface gave was no reference: a Release of it answers 0");
        }
        Ok(())
    })
}

fn no_alignment(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        let (iid, found) = match kit.vias() {
            [.., Via::Control] => (Iid::Control, Via::Control),
            _ => (Iid::Operation, Via::Operation),
        };
        let answer = kit.query(operation, via, iid, Out::Misaligned)?;
        expect(kit, answer, NTSTATUS::SUCCESS, OutValue::Interface(found), "with a misaligned out")
    })
}

fn identity(kit: &Kit<'_>) -> Check {
    everywhere(kit, |operation, via| {
        let answer = kit.query(operation, via, Iid::Unknown, Out::Given)?;
        if answer.status == 0 && answer.out != OutValue::Interface(Via::Operation) {
            let why = format!("IUnknown asked through {via:?} is another pointer: {:?}", answer.out);
            kit.0.breach(Rule::C2, why);
        }
        if !kit.has_control() {
            return Ok(());
        }
        let answer = kit.query(operation, via, Iid::Control, Out::Given)?;
        check!(
            kit,
            C2,
            answer.status == 0 && answer.out == OutValue::Interface(Via::Control),
            "IAsyncControl asked through {via:?} is another pointer than before: {:?}",
            answer.out
        );
        Ok(())
    })
}

fn never_change(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U8, super::steps::PENDING)?;
    let set = |kit: &Kit<'_>| -> Result<Vec<u32>, Finding> {
        let mut answers = Vec::new();
        for iid in [Iid::Unknown, Iid::Operation, Iid::Control, Iid::Unsupported] {
            answers.push(kit.query(operation, Via::Operation, iid, Out::Given)?.status);
        }
        Ok(answers)
    };
    let before = set(kit)?;
    kit.open(0)?;
    kit.advance()?;
    let after = set(kit)?;
    check!(
        kit,
        C2,
        before == after,
        "its interfaces have changed with its end: {before:x?} before, {after:x?} after"
    );
    Ok(())
}
