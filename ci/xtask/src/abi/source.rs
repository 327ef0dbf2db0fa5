//! The measuring program, generated from the golden file so that exactly the promises are measured.
//!
//! It is compiled and never run, for whatever machine. Its measurements are data of the object
//! file.
use std::fmt::Write as _;

use super::{golden::Promise, judges::Language};

/// The longest name of a measured number.
pub(super) const NAME: usize = 64;
/// The name of the array of numbers.
pub(super) const ROWS: &str = "abi_rows";
/// The name of the variable with the number of rows.
pub(super) const COUNT: &str = "abi_count";

/// The name of the variable that holds a C++ slot's pointer to member.
pub(super) fn slot_symbol(index: usize) -> String {
    format!("abi_slot_{index}")
}

/// The name of a measured number.
pub(super) fn number_of(promise: &Promise) -> String {
    match promise.kind() {
        "interface" => format!("IID of {}", promise.name()),
        "size" | "integer" | "callback" => format!("sizeof {}", promise.name()),
        _ => promise.name().to_owned(),
    }
}

/// The name of the question whether an item has the promised type.
pub(super) fn type_of(promise: &Promise) -> String {
    format!("{}, type", promise.name())
}

/// The names of the two halves of a class's IID.
pub(super) fn halves_of(promise: &Promise) -> [String; 2] {
    ["high", "low"].map(|half| of_class(&format!("{}, {half}", number_of(promise))))
}

/// The name of a number or a question about a class.
pub(super) fn of_class(name: &str) -> String {
    format!("class {name}")
}

/// The text before the numbers. It spells the types once more, so that the header is not compared
/// with itself.
const PRELUDE: &str = "#include <ntcom.h>
#if defined(_WIN32) && defined(__i386__)
#define ABI_CALL __stdcall
#else
#define ABI_CALL
#endif
typedef int32_t AsyncStatus;
";

/// The prefixes and value types of an operation's C types, with a known T and without.
const VALUES: [(&str, &str); 2] = [("abi_", "uint32_t"), ("ntcom_", "void")];

const CPP: &str = "template <class A, class B> constexpr int abi_same = 0;
template <class A> constexpr int abi_same<A, A> = 1;
static constexpr unsigned long long abi_high(const GUID &iid) {
    return (unsigned long long)iid.Data1 << 32 | (unsigned long long)iid.Data2 << 16 | iid.Data3;
}
static constexpr unsigned long long abi_low(const GUID &iid) {
    unsigned long long number = 0;
    for (unsigned char byte : iid.Data4) {
        number = number << 8 | byte;
    }
    return number;
}
";

/// An object of both interfaces, which makes a compiler dump its tables.
const OBJECT: &str = "struct Object final : ntcom::IAsyncOperation<uint32_t>, ntcom::IAsyncControl {
    NTSTATUS NTCOM_CALL QueryInterface(const GUID *, void **) noexcept override { return 0; }
    ULONG NTCOM_CALL AddRef() noexcept override { return 1; }
    ULONG NTCOM_CALL Release() noexcept override { return 1; }
    NTSTATUS NTCOM_CALL get_status(ntcom::AsyncStatus *) noexcept override { return 0; }
    NTSTATUS NTCOM_CALL get_result(uint32_t *) noexcept override { return 0; }
    NTSTATUS NTCOM_CALL cancel() noexcept override { return 0; }
    NTSTATUS NTCOM_CALL get_error(NTSTATUS *) noexcept override { return 0; }
    NTSTATUS NTCOM_CALL set_completed(ntcom::CompletedHandler, void *) noexcept override { return 0; }
    NTSTATUS NTCOM_CALL wait(const LONGLONG *) noexcept override { return 0; }
    NTSTATUS NTCOM_CALL get_result_size(ULONG *) noexcept override { return 0; }
};
extern \"C\" Object abi_object;
Object abi_object;
";

/// The program in a language. Both languages measure the structs of C, and C++ also measures the
/// classes.
pub(super) fn program(promises: &[Promise], language: Language) -> String {
    let mut program = PRELUDE.to_owned();
    for promise in promises.iter().filter(|promise| promise.kind() == "callback") {
        let _ = writeln!(program, "typedef {};", function(promise.cell(3), promise.name(), ""));
    }
    program.push_str("NTCOM_DECLARE_ASYNC_OPERATION(abi_IAsyncOperation, uint32_t);\n");
    let (open, close) = if language == Language::Cpp { ("extern \"C\" {\n", "}\n") } else { ("", "") };
    if language == Language::Cpp {
        program.push_str(CPP);
        program.push_str(OBJECT);
    }
    program.push_str(open);
    program.push_str(&iids(promises));
    let mut rows = String::new();
    for (index, promise) in promises.iter().enumerate() {
        let mut found = struct_rows(promise, language);
        if language == Language::Cpp {
            found.extend(class_rows(promise));
            program.push_str(&member(promise, index));
        }
        for (name, value) in found {
            let _ = writeln!(rows, "    {{\"{name}\", (unsigned long long)({value})}},");
        }
    }
    let _ = write!(
        program,
        "struct abi_row {{ char name[{NAME}]; unsigned long long value; }};\n\
         extern const struct abi_row {ROWS}[];\nextern const unsigned long long {COUNT};\n\
         const struct abi_row {ROWS}[] = {{\n{rows}}};\n\
         const unsigned long long {COUNT} = sizeof {ROWS} / sizeof {ROWS}[0];\n{close}"
    );
    program
}

/// Refers to the IIDs, which keeps them in the object file under their names.
fn iids(promises: &[Promise]) -> String {
    let interfaces = promises.iter().filter(|promise| promise.kind() == "interface");
    let addresses: Vec<String> = interfaces.map(|promise| format!("&ntcom_IID_{}", promise.name())).collect();
    let array = format!("const GUID *const abi_iids[{}]", addresses.len());
    format!("extern {array};\n{array} = {{{}}};\n", addresses.join(", "))
}

/// A slot's pointer to member, which holds the slot's offset where the C++ ABI is Itanium's.
fn member(promise: &Promise, index: usize) -> String {
    let Some((interface, name)) = promise.slot() else { return String::new() };
    let member = format!("&{}::{name}", class(interface));
    let variable = format!("decltype({member}) const {}", slot_symbol(index));
    format!("extern {variable};\n{variable} = {member};\n")
}

/// Names and expressions of the measurements of C's declarations.
fn struct_rows(promise: &Promise, language: Language) -> Vec<(String, String)> {
    let is = |expression: &str, of: &str| match language {
        Language::C => format!("_Generic({expression}, {of}: 1, default: 0)"),
        Language::Cpp => format!("abi_same<decltype({expression}), {of}>"),
    };
    let number = number_of(promise);
    let name = promise.name();
    match promise.kind() {
        "slot" => {
            let Some((interface, slot)) = promise.slot() else { return Vec::new() };
            let mut rows = Vec::new();
            for (prefix, value) in instances(interface) {
                let table = format!("{prefix}{interface}Vtbl");
                rows.push((number.clone(), format!("offsetof({table}, {slot})")));
                let field = match language {
                    Language::C => format!("(({table} *)0)->{slot}"),
                    Language::Cpp => format!("{table}::{slot}"),
                };
                rows.push((type_of(promise), is(&field, &function(promise.cell(3), "", value))));
            }
            rows
        }
        "field" => {
            let Some((owner, field)) = name.split_once('.') else { return Vec::new() };
            let offset =
                |(prefix, _): &(&str, &str)| (number.clone(), format!("offsetof({prefix}{owner}, {field})"));
            instances(owner).iter().map(offset).collect()
        }
        "size" => {
            let size = |(prefix, _): &(&str, &str)| (number.clone(), format!("sizeof({prefix}{name})"));
            instances(name.trim_end_matches("Vtbl")).iter().map(size).collect()
        }
        "integer" => {
            let name = spelled(name);
            let sign = if promise.cell(3) == "signed" { "<" } else { ">" };
            vec![(number, format!("sizeof({name})")), (type_of(promise), format!("({name})-1 {sign} 0"))]
        }
        "callback" => {
            let value = match language {
                Language::C => format!("(ntcom_{name})0"),
                Language::Cpp => format!("ntcom_{name}{{}}"),
            };
            let of = function(promise.cell(3), "", "");
            vec![(number, format!("sizeof(ntcom_{name})")), (type_of(promise), is(&value, &of))]
        }
        "value" => vec![(number, format!("(uint32_t)NTCOM_{name}"))],
        _ => Vec::new(),
    }
}

/// Names and expressions of the measurements of C++'s classes.
fn class_rows(promise: &Promise) -> Vec<(String, String)> {
    let class = class(promise.name());
    match promise.kind() {
        "interface" => {
            let [high, low] = halves_of(promise);
            vec![(high, format!("abi_high({class}::iid)")), (low, format!("abi_low({class}::iid)"))]
        }
        "size" if is_interface(promise.name()) => {
            vec![(of_class(&number_of(promise)), format!("sizeof({class})"))]
        }
        "slot" => {
            let Some((interface, name)) = promise.slot() else { return Vec::new() };
            let class = self::class(interface);
            // An inherited method is a member of its base.
            let is =
                |of: &str| format!("abi_same<decltype(&{class}::{name}), {}>", method(promise.cell(3), of));
            vec![(of_class(&type_of(promise)), format!("{} || {}", is(&class), is("ntcom::IUnknown")))]
        }
        _ => Vec::new(),
    }
}

fn is_interface(name: &str) -> bool {
    name.starts_with('I') && !name.ends_with("Vtbl")
}

/// A type of the golden file as the header spells it.
fn spelled(name: &str) -> String {
    if name == "NTSTATUS" { name.to_owned() } else { format!("ntcom_{name}") }
}

/// The prefixes of the C types of an interface or a type, each with the type of its value.
fn instances(owner: &str) -> &'static [(&'static str, &'static str)] {
    match owner {
        "IAsyncOperation" => &VALUES,
        "GUID" => &[("", "")],
        _ => &[("ntcom_", "")],
    }
}

fn class(interface: &str) -> String {
    let value = if interface == "IAsyncOperation" { "<uint32_t>" } else { "" };
    format!("ntcom::{interface}{value}")
}

/// The return type and the parameters of a signature.
fn parts(signature: &str) -> (&str, Vec<&str>) {
    let (answer, parameters) = signature.split_once(" (").unwrap_or((signature, ")"));
    (answer, parameters.trim_end_matches(')').split(", ").collect())
}

/// A pointer to a function of this signature, as a type or, with a name, as a declaration. `value`
/// replaces T.
fn function(signature: &str, name: &str, value: &str) -> String {
    let (answer, parameters) = parts(signature);
    let parameter = |text: &&str| match text.strip_prefix("T ") {
        Some(rest) => format!("{value} {rest}"),
        // `this` is a keyword of C++.
        None => text.replace("*this", "*self"),
    };
    let parameters: Vec<String> = parameters.iter().map(parameter).collect();
    format!("{answer}(ABI_CALL *{name})({})", parameters.join(", "))
}

/// A pointer to a method of this signature in a class.
fn method(signature: &str, class: &str) -> String {
    let (answer, parameters) = parts(signature);
    let parameter = |text: &&str| {
        text.strip_prefix("T ").map_or_else(|| (*text).to_owned(), |rest| format!("uint32_t {rest}"))
    };
    let parameters: Vec<String> = parameters.iter().skip(1).map(parameter).collect();
    format!("{answer}(ABI_CALL {class}::*)({}) noexcept", parameters.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{function, method, program};
    use crate::abi::{golden::parse, judges::Language};

    const GET: &str = "NTSTATUS (void *this, T *out)";

    #[test]
    fn a_signature_becomes_a_type() {
        assert_eq!(function(GET, "", "uint32_t"), "NTSTATUS(ABI_CALL *)(void *self, uint32_t *out)");
        assert_eq!(function("void (void *context)", "H", ""), "void(ABI_CALL *H)(void *context)");
        assert_eq!(method(GET, "X"), "NTSTATUS(ABI_CALL X::*)(uint32_t *out) noexcept");
        assert_eq!(method("ULONG (void *this)", "X"), "ULONG(ABI_CALL X::*)() noexcept");
    }

    #[test]
    fn every_promise_is_measured() {
        let text = "interface | IClock | 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a01 | 0.1.0\n\
            slot | IClock[3] tick | 24 12 | ULONG (void *this) | 0.1.0\n\
            value | STATUS_PENDING | 0x00000103 | 0.1.0\n";
        let promises = parse(text, true).unwrap();
        let c = program(&promises, Language::C);
        for piece in [
            "&ntcom_IID_IClock",
            "offsetof(ntcom_IClockVtbl, tick)",
            "_Generic(((ntcom_IClockVtbl *)0)->tick, ULONG(ABI_CALL *)(void *self): 1, default: 0)",
            "(uint32_t)NTCOM_STATUS_PENDING",
        ] {
            assert!(c.contains(piece), "{piece}:\n{c}");
        }
        let cpp = program(&promises, Language::Cpp);
        for piece in [
            "abi_low(ntcom::IClock::iid)",
            "decltype(&ntcom::IClock::tick) const abi_slot_1 = &ntcom::IClock::tick;",
            "abi_same<decltype(&ntcom::IClock::tick), ULONG(ABI_CALL ntcom::IClock::*)() noexcept>",
        ] {
            assert!(cpp.contains(piece), "{piece}:\n{cpp}");
        }
    }
}
