//! Queries and their answers, as `traceql/*.tql` say them. `traceql/README.md` explains how to read and to write one.
//!
//! What a file asks is asked of its spans in every [`Cut`], since an answer does not depend on where spans lie.

#![expect(clippy::unwrap_used, reason = "the helpers here are the test")]

#[path = "traceql/answer.rs"]
mod answer;

#[path = "traceql/file.rs"]
mod file;

mod house;
mod sent;

#[path = "traceql/traces.rs"]
mod traces;

#[path = "traceql/words.rs"]
mod words;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use tempfile::TempDir;
use vivace::runtime::Clock;
use vivace::store::Store;

use file::File;
use house::{House, Sizes};
use sent::{Sent, dealt};
use traces::ZERO;

/// Where the spans are when the questions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Live,
    OneBlock,
    /// Each span at random in one of four blocks.
    Scattered,
    /// Each span at random in one of two blocks or in the log of a process that is gone.
    HalfLive,
}

const CUTS: [Cut; 4] = [Cut::Live, Cut::OneBlock, Cut::Scattered, Cut::HalfLive];

/// Few enough for split traces to be read in several groups.
const SIZES: Sizes = Sizes { max_block_spans: 100_000, assembled_spans_max: 10 };

async fn house(cut: Cut, spans: &[Sent]) -> House {
    let clock = Clock::simulated(ZERO + 3_600_000_000_000);
    let house = House::open(Store::memory(), TempDir::new().unwrap(), clock, SIZES).await;
    let parts = |count, seed| {
        let mut parts = dealt(spans, count, seed);
        parts.retain(|part| !part.is_empty());
        parts
    };
    match cut {
        Cut::Live => house.push_all(&parts(3, 1)).await,
        Cut::OneBlock => house.push_and_cut(&parts(1, 2)).await,
        Cut::Scattered => house.push_and_cut(&parts(4, 3)).await,
        Cut::HalfLive => {
            let parts = parts(4, 4);
            let (blocks, live) = parts.split_at(parts.len() / 2);
            house.push_and_cut(blocks).await;
            house.push_all(live).await;
            return house.restarted().await;
        }
    }
    house
}

/// What is wrong with a file or with the answers to it; nothing if all is well.
async fn check(path: &Path, text: &str) -> String {
    let shown = path.display();
    let file = match File::parse(text) {
        Ok(file) => file,
        Err((line, wrong)) => return format!("{shown}:{line}: {wrong}\n"),
    };
    let mut wrong: BTreeMap<(usize, Vec<String>), Vec<Cut>> = BTreeMap::new();
    let asked = CUTS.map(|cut| {
        let file = &file;
        async move {
            let house = house(cut, &file.spans).await;
            let mut answers = Vec::new();
            for question in &file.questions {
                answers.push(answer::answer(&house, question).await);
            }
            answers
        }
    });
    for (cut, answers) in CUTS.into_iter().zip(join_all(asked).await) {
        for (number, found) in answers.into_iter().enumerate() {
            if !answer::is_right(&file.questions[number].answer, &found) {
                wrong.entry((number, found)).or_default().push(cut);
            }
        }
    }
    let mut report = String::new();
    for ((number, found), cuts) in wrong {
        let question = &file.questions[number];
        let (line, query) = (question.line, question.query.replace('\n', "\n  "));
        writeln!(report, "{shown}:{line}:\n{}{query}", question.before).unwrap();
        writeln!(report, "{}", question.answer.join("\n")).unwrap();
        let cuts = if cuts.len() == CUTS.len() { String::new() } else { format!(" ({cuts:?})") };
        writeln!(report, "---- found{cuts}:\n{}\n", found.join("\n")).unwrap();
    }
    report
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/traceql").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|is| is == "tql")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn queries_have_the_answers_that_the_files_say() {
    let only = std::env::var("TQL").unwrap_or_default();
    let mut report = String::new();
    for path in files().into_iter().filter(|path| path.to_string_lossy().contains(&only)) {
        let text = fs::read_to_string(&path).unwrap();
        report.push_str(&Box::pin(check(&path, &text)).await);
    }
    assert!(report.is_empty(), "\n{report}");
}

/// A file that says what nobody looks at, or leaves open what it means, is wrong.
#[tokio::test]
async fn files_are_read_strictly() {
    let good = "trace a\n  1 \"x\" s 0s +1s span.a=1\n\n? { }\na: 1\n";
    assert_eq!(Box::pin(check(Path::new("good"), good)).await, "");
    for (from, to, wrong) in [
        ("span.a=1", "span.a=", "2: no value: \"\""),
        ("span.a=1", "spam.a=1", "2: unknown word: spam.a=1"),
        ("span.a=1", "event.a=1", "2: no event before it"),
        ("span.a=1", "kind=clerk", "2: unknown word: kind=clerk"),
        ("span.a=1", "span.a=[1", "2: not closed: 1 \"x\" s 0s +1s span.a=[1"),
        ("0s +1s", "0 +1s", "2: no time: 0"),
        ("0s +1s", "+1s", "2: no duration such as +5ms: span.a=1"),
        ("trace a", "trays a", "1: neither a trace, a service, a range nor a question: trays a"),
        ("trace a", "trace x", "1: no id of hex digits: x"),
        ("trace a\n", "trace b\ntrace a\n", "6: trace b is in no answer"),
        ("trace a", "service t resource.a=1\ntrace a", "6: no span of service t"),
        ("? { }\na: 1", "", "4: no question"),
        ("a: 1\n", "", "4: no answer in line 4"),
        ("a: 1\n", "? { true }\na: 1\n", "5: no answer in line 4"),
        ("a: 1\n", "a: 1\n\na: 2\n", "7: an answer to nothing"),
        ("a: 1\n", "a: 1\n? { }\na: 1\n", "6: asked before"),
        ("? { }", "?[fast] { }", "4: unknown option: fast"),
        ("? { }", "?{ }", "4: no blank before the query"),
    ] {
        let text = good.replacen(from, to, 1);
        let found = Box::pin(check(Path::new("bad"), &text)).await;
        assert_eq!(found, format!("bad:{wrong}\n"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_answer_is_told_in_the_notation_of_the_file() {
    for (query, said, found) in [
        ("{ }", "a: 2", "a: 1"),
        ("{ span.b = 1 }", "a: 1", "nothing"),
        (
            "{ name > 1 }",
            "!  ^^^^^^^^ binary",
            "!   ^^^^^^^^ binary operations must operate on the same type: name is a string, 1 is an int",
        ),
    ] {
        let text =
            format!("trace a\n  1 \"x\" s 0s +1s\n\n? {{ true }}\na: 1\n? {query}\n{said}\n");
        let report = Box::pin(check(Path::new("bad"), &text)).await;
        assert_eq!(report, format!("bad:6:\n? {query}\n{said}\n---- found:\n{found}\n\n"));
    }
}
