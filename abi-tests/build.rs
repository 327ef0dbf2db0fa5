//! Compiles the C and C++ sides with the system's compilers, and tells the tests which ones these are.

/// A warning in the header or in a client is an error: a driver's build may have all of them on.
fn build(cpp: bool) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(cpp)
        .std(if cpp { "c++17" } else { "c11" })
        .include("../runtime/include")
        .include("c")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .flag("-pedantic");
    if cpp {
        // What a driver is compiled with. So the clients need no C++ library either.
        build.flag("-fno-exceptions").flag("-fno-rtti").cpp_link_stdlib(None);
    }
    build
}

fn main() {
    let sources = |folder: &str, names: &[&str], extension: &str| -> Vec<String> {
        names.iter().map(|name| format!("{folder}/{name}.{extension}")).collect()
    };
    let c = build(false);
    let cpp = build(true);
    c.clone()
        .files(sources(
            "c",
            &["broken", "calls", "client", "example", "numbers", "operation", "signatures"],
            "c",
        ))
        .compile("ntcom_abi_c");
    cpp.clone()
        .files(sources("cpp", &["calls", "client", "numbers", "signatures"], "cpp"))
        .compile("ntcom_abi_cpp");

    println!("cargo::rustc-env=ABI_TESTS_CC={}", c.get_compiler().path().display());
    println!("cargo::rustc-env=ABI_TESTS_CXX={}", cpp.get_compiler().path().display());
    for changed in ["c", "cpp", "../runtime/include"] {
        println!("cargo::rerun-if-changed={changed}");
    }
}
