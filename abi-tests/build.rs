//! Compiles the C and C++ sides with the system's compilers, and tells the tests the compilers'
//! names.

/// Configures a build of the C or C++ side. A warning is an error, because a driver's build may
/// have all warnings on.
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
        // Drivers are compiled with these flags. With them the clients need no C++ library.
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
            &[
                "broken",
                "calls",
                "chain",
                "client",
                "example",
                "numbers",
                "operation",
                "probe",
                "program",
                "records",
                "signatures",
            ],
            "c",
        ))
        .compile("ntcom_abi_c");
    cpp.clone()
        .files(sources(
            "cpp",
            &["calls", "client", "example_use", "numbers", "probe", "pure", "records", "signatures"],
            "cpp",
        ))
        .compile("ntcom_abi_cpp");
    // Build the program once more, with the client in C++.
    c.clone().define("ABI_CPP", None).file("c/program.c").compile("ntcom_abi_cpp_program");
    // Build the slots once more, with the calling convention of drivers, if compilers for this
    // platform know it.
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        let names = ["calls", "records"];
        c.clone().define("ABI_WIN64", None).files(sources("c", &names, "c")).compile("ntcom_abi_c_win64");
        cpp.clone()
            .define("ABI_WIN64", None)
            .files(sources("cpp", &names, "cpp"))
            .compile("ntcom_abi_cpp_win64");
    }

    println!("cargo::rustc-env=ABI_TESTS_CC={}", c.get_compiler().path().display());
    println!("cargo::rustc-env=ABI_TESTS_CXX={}", cpp.get_compiler().path().display());
    for changed in ["c", "cpp", "../runtime/include"] {
        println!("cargo::rerun-if-changed={changed}");
    }
}
