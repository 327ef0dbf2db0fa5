//! `ntcom-replay --target NAME [--timeline OUT.html] [--trace OUT.jsonl] FILE`: decodes an input, runs it, prints what happened, and
//! writes it down as a timeline or as data. Exit code 0: clean, 1: a finding, 2: no input of that target, or a file that cannot be
//! written.

use std::{env, fs, path::Path, process::ExitCode};

use ntcom_fuzz::{
    input::{TARGETS, describe},
    run::Runner,
};

/// What is asked for.
#[derive(Default)]
struct Request {
    target: Option<String>,
    timeline: Option<String>,
    trace: Option<String>,
    file: Option<String>,
}

fn main() -> ExitCode {
    let Some(request) = request(env::args().skip(1)) else { return usage() };
    let (Some(target), Some(file)) = (&request.target, &request.file) else { return usage() };
    match replay(target, file, &request) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn request(mut arguments: impl Iterator<Item = String>) -> Option<Request> {
    let mut request = Request::default();
    while let Some(argument) = arguments.next() {
        let (place, value) = match argument.as_str() {
            "--target" => (&mut request.target, arguments.next()?),
            "--timeline" => (&mut request.timeline, arguments.next()?),
            "--trace" => (&mut request.trace, arguments.next()?),
            _ => (&mut request.file, argument),
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some(request)
}

fn usage() -> ExitCode {
    let targets = TARGETS.join("|");
    eprintln!("usage: ntcom-replay --target {targets} [--timeline OUT.html] [--trace OUT.jsonl] FILE");
    ExitCode::from(2)
}

fn replay(target: &str, file: &str, request: &Request) -> Result<ExitCode, String> {
    let data = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let malformed = |error| format!("{file}: not an input of `{target}`: {error}");
    let Some(described) = describe(target, &data) else {
        return Err(format!("no target `{target}`; there are {}", TARGETS.join(", ")));
    };
    let (setting, steps) = described.map_err(malformed)?;
    if !setting.is_empty() {
        println!("{setting}");
    }
    println!("steps:");
    for (number, step) in steps.iter().enumerate() {
        println!("  {number:3} {step}");
    }
    let mut runner = Runner::new();
    let report = match runner.named(target, &data, true) {
        Some(report) => report.map_err(malformed)?,
        None => return Err(format!("no target `{target}`")),
    };
    println!("trace:\n{}", runner.trace());
    println!("{report}");
    if let Some(path) = &request.timeline {
        let name = Path::new(file).file_name().map_or_else(|| file.into(), |name| name.to_string_lossy());
        write(path, runner.trace().to_html(&format!("{target}: {name}")).as_bytes())?;
    }
    if let Some(path) = &request.trace {
        let mut lines = Vec::new();
        runner.trace().write_json_lines(&mut lines).map_err(|error| format!("{path}: {error}"))?;
        write(path, &lines)?;
    }
    Ok(if report.stop.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn write(path: &str, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{path}: {error}"))
}
