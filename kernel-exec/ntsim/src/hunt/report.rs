//! A finding as text, and as a timeline.

extern crate alloc;

use alloc::string::{String, ToString};
use core::fmt::{self, Debug, Display, Formatter};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    Found,
    evidence::{Preemptions, Uses},
    replay::{Place, VARIABLE},
};
use crate::trace::Trace;

/// The number of last events in a report.
const LAST: usize = 24;

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stop)?;
        write!(f, "found by {}", self.by)?;
        match self.preemptions {
            Some((now, before)) if now < before => {
                writeln!(f, "; the run below has {now} of its {before} preemptions")?;
            }
            Some((now, _)) => writeln!(f, "; preemptions: {now}")?,
            None => writeln!(f, "; its preemptions were not reduced")?,
        }
        let name = std::thread::current().name().filter(|name| *name != "main").map(String::from);
        let package = env::var("CARGO_PKG_NAME").map(|name| alloc::format!(" -p {name}"));
        let (name, package) = (name.unwrap_or_default(), package.unwrap_or_default());
        let line = alloc::format!("{VARIABLE}='{}' cargo test{package} {name}", self.replay);
        writeln!(f, "to replay it: {}", line.trim_end())?;
        if let Some(path) = &self.timeline {
            writeln!(f, "timeline: {}", path.display())?;
        }
        write!(f, "{}{}", Preemptions(&self.trace), Uses(&self.trace, &self.objects))?;
        let (all, own) = (self.trace.events().len(), self.trace.without_libraries());
        let events = own.events();
        let last = events.get(events.len().saturating_sub(LAST)..).unwrap_or_default();
        let hidden = match all - events.len() {
            0 => String::new(),
            hidden => alloc::format!(" ({hidden} events of libraries are left out)"),
        };
        writeln!(f, "the last {} of {all} events{hidden}:", last.len())?;
        write!(f, "{}", Trace::new(last.to_vec()))
    }
}

impl Debug for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl core::error::Error for Found {}

/// Writes a finding's timeline. Returns its path, if that succeeds.
pub(super) fn write_timeline(place: &Place, title: &str, trace: &Trace) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = folder(&program);
    let path = folder.join(file_name(&program, place));
    trace.write_html(&path, title).ok()?;
    Some(path)
}

/// The folder for temporary files of the tests: `tmp` in the target folder, in which cargo has the
/// tests of a library and those beside it write.
fn folder(program: &Path) -> PathBuf {
    if let Some(folder) = env::var_os("CARGO_TARGET_TMPDIR") {
        return folder.into();
    }
    // A test's program is `target/debug/deps/NAME`.
    let deps = program.parent().filter(|folder| folder.file_name() == Some(OsStr::new("deps")));
    let target = deps.and_then(Path::parent).and_then(Path::parent);
    target.map_or_else(env::temp_dir, |target| target.join("tmp"))
}

/// The name of a hunt's file. cargo adds a hash to the program's name.
fn file_name(program: &Path, place: &Place) -> String {
    let program = program.file_stem().map(|name| name.to_string_lossy().to_string()).unwrap_or_default();
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
    let test = place.test.as_deref().unwrap_or("thread").replace("::", ".");
    let hunt = if place.hunt == 0 { String::new() } else { alloc::format!("-{}", place.hunt) };
    let name = alloc::format!("ntsim-{program}-{test}{hunt}.html");
    name.replace(|letter: char| !letter.is_alphanumeric() && !"-_.".contains(letter), "_")
}
