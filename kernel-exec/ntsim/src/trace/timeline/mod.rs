//! A trace as a timeline: one self-contained HTML file that a browser shows without a network.
//!
//! `spans` and `links` compute what the page shows of processors (the running one, its IRQL, polls,
//! and the wakes that caused them), and `tracks` the lives of tasks, IRPs and work items. The page (`page.html`, `page.css`, `page.js`) draws it. Its horizontal
//! axis is the order of events, because the virtual clock jumps.

mod links;
mod spans;
mod tracks;

extern crate alloc;

use alloc::{string::String, string::ToString, vec::Vec};
use std::{fs, io, path::Path};

use serde::Serialize;

use self::{links::Link, spans::Span, tracks::Track};
use super::{
    event::{AtomicOp, Event, What},
    mark::MarkKind,
    recorder::Trace,
};

/// The data that the page draws.
#[derive(Serialize)]
struct Picture<'a> {
    title: &'a str,
    processors: usize,
    events: Vec<Shown>,
    spans: Vec<Span>,
    tracks: Vec<Track>,
    links: Vec<Link>,
    /// The event that ended the run early.
    stop: Option<usize>,
}

/// An event in the page's form.
#[derive(Serialize)]
struct Shown {
    step: u64,
    time: u64,
    cpu: usize,
    irql: u8,
    class: Class,
    text: String,
    /// The file and line of the code that it comes from, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// Whether a library has made it.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    library: bool,
}

/// The way in which an event is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    /// An atomic operation that writes.
    Write,
    /// An atomic operation that only reads.
    Read,
    Cell,
    /// A DDI call.
    Ddi,
    Pool,
    Timer,
    Wait,
    Note,
    Spawn,
    Call,
    Wake,
    Cancel,
    Poll,
    /// An object is destroyed, or has ended.
    Drop,
    Stop,
    /// The beginning or end of a program or DPC, a switch of processors, and the like.
    Other,
}

fn class(what: &What) -> Class {
    match what {
        What::Atomic { operation: AtomicOp::Load | AtomicOp::FailedExchange | AtomicOp::Fence, .. } => {
            Class::Read
        }
        What::Atomic { .. } => Class::Write,
        What::Cell { .. } | What::CellEnd { .. } => Class::Cell,
        What::Call { .. } => Class::Ddi,
        What::Allocated { .. } | What::Freed { .. } => Class::Pool,
        What::TimerExpired { .. } | What::TimeSkipped { .. } => Class::Timer,
        What::Wait { .. } => Class::Wait,
        What::Note(_) | What::Print { .. } | What::Etw { .. } => Class::Note,
        What::Mark(mark) => match mark.kind {
            MarkKind::Spawn => Class::Spawn,
            MarkKind::Call => Class::Call,
            MarkKind::Wake => Class::Wake,
            MarkKind::Cancel => Class::Cancel,
            MarkKind::PollStart | MarkKind::PollEnd => Class::Poll,
            MarkKind::Drop | MarkKind::End => Class::Drop,
        },
        What::Stop { .. } => Class::Stop,
        // Events that bars show, and events without a picture of their own.
        _ => Class::Other,
    }
}

impl Trace {
    /// The trace as a timeline, a self-contained page of HTML. Each processor has a lane. IRQL is
    /// colour; programs, DPCs and polls are bars; marks have arrows from cause to effect; and the
    /// end of the run is marked. Below, tracks show the lives of tasks, IRPs and work items, and the
    /// waits of threads. A reader can zoom and filter the page, and read it as text.
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation};
    ///
    /// let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
    /// kernel.run_on(0, || ntsim::note(|| "hello".into()))?;
    /// let page = kernel.trace().to_html("a first run");
    /// assert!(page.starts_with("<!doctype html>") && page.contains("note: hello"));
    /// # Ok::<(), ntsim::Stop>(())
    /// ```
    pub fn to_html(&self, title: &str) -> String {
        let (events, spans) = (self.events(), spans::find(self.events()));
        // A thread may have come to a processor on which nothing has happened yet.
        let used = events.iter().map(|event| event.processor).chain(spans.iter().map(|span| span.cpu));
        let picture = Picture {
            title,
            processors: used.max().map_or(1, |last| last + 1),
            events: events.iter().map(shown).collect(),
            spans,
            tracks: tracks::find(events),
            links: links::find(events),
            stop: events.iter().position(|event| matches!(event.what, What::Stop { .. })),
        };
        // The types have no map keys and no foreign serialisers, so this does not fail. If it did,
        // a page with the error would be better than a panic.
        let data = serde_json::to_string(&picture).unwrap_or_else(|error| error.to_string());
        include_str!("page.html")
            .replace("{{title}}", &escaped(title))
            .replace("{{style}}", include_str!("page.css"))
            .replace("{{script}}", include_str!("page.js"))
            // The data comes last, so that no placeholder in it is replaced.
            .replace("{{data}}", &data.replace('<', "\\u003c"))
    }

    /// Writes the timeline ([`Trace::to_html`]) to a file, whose folder is made if it is missing.
    ///
    /// # Errors
    /// An error in making the folder or in writing the file.
    pub fn write_html(&self, path: impl AsRef<Path>, title: &str) -> io::Result<()> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, self.to_html(title))
    }
}

fn shown(event: &Event) -> Shown {
    Shown {
        step: event.step,
        time: event.time,
        cpu: event.processor,
        irql: event.irql,
        class: class(&event.what),
        text: event.what.to_string(),
        place: event.caller.as_ref().map(|caller| caller.place.clone()),
        library: event.caller.as_ref().is_some_and(|caller| caller.by_library),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            caller::Caller,
            event::{Event, What},
            recorder::Trace,
        },
        escaped,
    };
    use crate::kernel::thread::ThreadName;

    #[test]
    fn nothing_in_a_trace_or_title_ends_the_page() {
        let what = What::Note("</script><b>{{script}}{{title}}".into());
        let event = Event { step: 0, time: 0, processor: 1, irql: 0, what, caller: None };
        let page = Trace::new(vec![event]).to_html("<\"x\">");
        assert_eq!(page.matches("</script>").count(), 2, "the data's and the code's");
        assert!(page.contains(r"\u003c/script>\u003cb>{{script}}{{title}}"));
        assert!(page.contains("<title>&lt;&quot;x&quot;&gt;</title>"));
        assert_eq!(escaped("a&b"), "a&amp;b");
    }

    #[test]
    fn an_event_has_its_place_and_says_whether_a_library_made_it() {
        let caller = Caller { place: "driver.rs:88".into(), by_library: true };
        let event =
            |caller| Event { step: 0, time: 0, processor: 0, irql: 0, what: What::Note("n".into()), caller };
        let page = Trace::new(vec![event(Some(caller)), event(None)]).to_html("places");
        assert!(page.contains(r#""text":"note: n","place":"driver.rs:88","library":true}"#));
        assert!(page.contains(r#""text":"note: n"}"#));
    }

    #[test]
    fn every_processor_with_a_bar_has_a_lane() {
        let what = What::Thread { processor: 2, thread: ThreadName::System(1) };
        let event = Event { step: 0, time: 0, processor: 0, irql: 0, what, caller: None };
        let page = Trace::new(vec![event]).to_html("a thread");
        assert!(page.contains("\"processors\":3,"));
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = Trace::default().to_html("empty");
        for outside in ["http:", "https:", "src=", "@import", "url(", "<link"] {
            // The namespace of SVG is a name, not an address.
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
