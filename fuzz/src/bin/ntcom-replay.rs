//! `ntcom-replay --target NAME FILE`: decodes an input, runs it, prints what happened. Exit code 0: clean, 1: a finding, 2: no
//! input of that target.

use std::{env, fs, process::ExitCode};

use ntcom_fuzz::{
    input::{Input, SchedulesInput, VtableInput},
    run::Runner,
};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(flag), Some(target), Some(file), None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return usage();
    };
    if flag != "--target" {
        return usage();
    }
    match replay(&target, &file) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: ntcom-replay --target vtable|schedules FILE");
    ExitCode::from(2)
}

fn replay(target: &str, file: &str) -> Result<ExitCode, String> {
    let data = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let malformed = |error| format!("{file}: not an input of `{target}`: {error}");
    let steps: std::rc::Rc<Vec<ntcom_fuzz::ops::Step>> = match target {
        VtableInput::TARGET => VtableInput::decode(&data).map_err(malformed)?.steps,
        SchedulesInput::TARGET => {
            let input = SchedulesInput::decode(&data).map_err(malformed)?;
            println!("{} processors, {} bytes of schedule", input.processors, input.schedule.len());
            input.steps
        }
        _ => return Err(format!("no target `{target}`; there are vtable and schedules")),
    };
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
    Ok(if report.stop.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
