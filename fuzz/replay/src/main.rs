//! `ntcom-replay --target NAME [--timeline OUT.html] [--trace OUT.jsonl] [--order OUT] FILE`
//! decodes an input, runs it, and prints the events.
//!
//! It writes them as a timeline, as data, or as an order that another build can follow. With
//! `--follow ORDER --write OUT` it writes the input that repeats an order in this build, if that is
//! another input. `-` is the standard input; a pipe is as good as a file.
//!
//! Exit code 0 is clean, and 1 is a finding. Exit code 2 means that the file is not an input of
//! that target, or that a file cannot be written. Exit code 4 is clean too, but the standard output
//! could not be written (a closed pipe, a full disk).

mod output;

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use ntcom_fuzz::{
    harness::run::Runner,
    re_record::{Order, ReRecorded, re_record},
    targets::{self, TARGETS, describe},
};

use output::{Output, complain};

/// The file name that means the standard input.
const STANDARD_INPUT: &str = "-";
/// The largest number of bytes that are read. It is many times the longest input that a target
/// makes, and it ends the reading of an endless pipe.
const LONGEST: u64 = 1 << 20;

/// The parsed command line.
#[derive(Default)]
struct Request {
    target: Option<OsString>,
    timeline: Option<OsString>,
    trace: Option<OsString>,
    order: Option<OsString>,
    follow: Option<OsString>,
    write: Option<OsString>,
    file: Option<OsString>,
}

fn main() -> ExitCode {
    let Some(request) = request(env::args_os().skip(1)) else { return usage() };
    let (Some(target), Some(file)) = (&request.target, &request.file) else { return usage() };
    let target = target.to_string_lossy();
    let outcome = match (&request.follow, &request.write) {
        (Some(order), Some(out)) => follow(&target, file, order, out),
        (None, None) => replay(&target, file, &request),
        _ => return usage(),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            complain(format_args!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

fn request(mut arguments: impl Iterator<Item = OsString>) -> Option<Request> {
    let mut request = Request::default();
    while let Some(argument) = arguments.next() {
        let (place, value) = match argument.to_str() {
            Some("--target") => (&mut request.target, arguments.next()?),
            Some("--timeline") => (&mut request.timeline, arguments.next()?),
            Some("--trace") => (&mut request.trace, arguments.next()?),
            Some("--order") => (&mut request.order, arguments.next()?),
            Some("--follow") => (&mut request.follow, arguments.next()?),
            Some("--write") => (&mut request.write, arguments.next()?),
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
    complain(format_args!(
        "usage: ntcom-replay --target {targets} [--timeline OUT.html] [--trace OUT.jsonl] [--order OUT] FILE\n       \
         ntcom-replay --target {targets} --follow ORDER --write OUT FILE"
    ));
    ExitCode::from(2)
}

/// The bytes of an input; an error names the file.
fn read(file: &OsStr) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let read = if file == STANDARD_INPUT {
        io::stdin().lock().take(LONGEST + 1).read_to_end(&mut data)
    } else {
        File::open(file).and_then(|opened| opened.take(LONGEST + 1).read_to_end(&mut data))
    };
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    if data.len() as u64 > LONGEST {
        return Err(format!("{}: not an input: longer than {LONGEST} bytes", file.display()));
    }
    Ok(data)
}

fn replay(target: &str, file: &OsStr, request: &Request) -> Result<ExitCode, String> {
    let malformed = |error| format!("{}: not an input of `{target}`: {error}", file.display());
    let unknown = || format!("there is no target `{target}`; the targets are {}", TARGETS.join(", "));
    if !TARGETS.contains(&target) {
        return Err(unknown());
    }
    let data = read(file)?;
    let (setting, steps) = describe(target, &data).ok_or_else(unknown)?.map_err(malformed)?;
    let mut output = Output::standard();
    if !setting.is_empty() {
        output.line(&setting);
    }
    output.line("steps:");
    for (number, step) in steps.iter().enumerate() {
        output.line(format_args!("  {number:3} {step}"));
    }
    let mut runner = Runner::new();
    let report = targets::run(&mut runner, target, &data, true).ok_or_else(unknown)?.map_err(malformed)?;
    output.line(format_args!("trace:\n{}", runner.trace()));
    output.line(&report);
    if let Some(path) = &request.timeline {
        let name = Path::new(file).file_name().unwrap_or(file).display();
        write(path, runner.trace().to_html(&format!("{target}: {name}")).as_bytes())?;
    }
    if let Some(path) = &request.order {
        write(path, runner.order().to_text().as_bytes())?;
    }
    if let Some(path) = &request.trace {
        let mut lines = Vec::new();
        runner.trace().write_json_lines(&mut lines).map_err(|error| named(path, error))?;
        write(path, &lines)?;
    }
    Ok(output.end(report.stop.is_some()))
}

/// Writes the input that repeats an order.
fn follow(target: &str, file: &OsStr, order: &OsStr, out: &OsStr) -> Result<ExitCode, String> {
    let (data, text) = (read(file)?, fs::read_to_string(order).map_err(|error| named(order, error))?);
    let order = Order::parse(&text)
        .map_err(|line| named(order, format_args!("line {line} is not a line of an order")))?;
    let mut output = Output::standard();
    match re_record(target, &data, &order) {
        Ok(ReRecorded::Unchanged) => output.line("unchanged"),
        Ok(ReRecorded::Same(bytes)) => {
            write(out, &bytes)?;
            output.line("same");
        }
        Ok(ReRecorded::Near { bytes, common, events }) => {
            write(out, &bytes)?;
            output.line(format_args!("{common} of {events} events in the same order"));
        }
        Err(why) => {
            output.line(format_args!("not re-recorded: {why}"));
            return Ok(output.end(true));
        }
    }
    Ok(output.end(false))
}

fn write(path: &OsStr, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| named(path, error))
}

fn named(path: &OsStr, error: impl fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
