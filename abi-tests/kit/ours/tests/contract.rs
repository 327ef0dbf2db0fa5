//! Our implementation keeps the contract. The test runs the conformance kit's cases and a few
//! hundred of its sequences. `cargo xtask conformance` runs more.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use ntcom_kit::{
    child,
    judge::{CHILD, Judge, Options},
    report::Report,
};

/// The library that cargo has built beside this program, or one folder above it.
fn library(program: &Path) -> Option<std::path::PathBuf> {
    let folders = program.ancestors().skip(1).take(2);
    folders.map(|folder| folder.join("libntcom_kit_ours.so")).find(|library| library.exists())
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, child, order] = arguments.as_slice()
        && child == CHILD
    {
        child::run(&serde_json::from_str(order).context("no order")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = std::env::current_exe()?;
    let library = library(&program).context("cargo has not built libntcom_kit_ours.so")?;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../corpus/vtable");
    let options = Options { sequences: 200, corpus: Some(corpus), ..Options::default() };
    let judgement = Judge { program: &program, library: &library, options: &options }.judge()?;
    let report = Report::new(&judgement);
    println!("{}", if report.has_findings() { report.text() } else { report.summary() });
    Ok(if report.has_findings() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
