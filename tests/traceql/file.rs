//! A `.tql` file: traces, and questions with their answers.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::sent::Sent;
use crate::traces::{Traces, ZERO};
use crate::words::time;

/// All that a file says.
#[derive(Default)]
pub(crate) struct File {
    pub(crate) spans: Vec<Sent>,
    pub(crate) questions: Vec<Question>,
}

/// A query, how it is asked, and what must be answered.
pub(crate) struct Question {
    /// Of the file, from 1.
    pub(crate) line: usize,
    /// What stands before the query, such as `? `.
    pub(crate) before: String,
    /// Lines behind the first one keep their indentation.
    pub(crate) query: String,
    pub(crate) ask: Ask,
    pub(crate) answer: Vec<String>,
}

/// How a query is asked.
#[derive(Clone)]
pub(crate) struct Ask {
    /// Unix nanoseconds.
    pub(crate) window: Option<RangeInclusive<u64>>,
    pub(crate) limit: usize,
    pub(crate) spans_per_spanset: usize,
    /// What is told besides ids.
    pub(crate) traces: bool,
    pub(crate) attributes: bool,
    /// Of metrics: Unix nanoseconds, and nanoseconds.
    pub(crate) range: Option<RangeInclusive<u64>>,
    pub(crate) step: Option<u64>,
    pub(crate) instant: bool,
    pub(crate) exemplars: usize,
    pub(crate) max_series: usize,
    /// Only series with this label are told.
    pub(crate) label: Option<String>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            window: None,
            limit: 1000,
            spans_per_spanset: 0,
            traces: false,
            attributes: false,
            range: None,
            step: None,
            instant: false,
            exemplars: 0,
            max_series: 0,
            label: None,
        }
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// The number of a line, from 1, and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.lines()) {
            reader.line(number, line.trim_end()).map_err(|wrong| (number, wrong))?;
        }
        let last = text.lines().count();
        reader.finish().map_err(|(line, wrong)| (line.unwrap_or(last), wrong))
    }
}

/// What the lines so far said.
#[derive(Default)]
struct Reader {
    traces: Traces,
    /// How all questions about metrics are asked.
    of_file: Ask,
    questions: Vec<Question>,
    asked: BTreeSet<String>,
    /// Nothing but the lines of a question and its answer belong to it.
    open: bool,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let is_indented = line.starts_with(' ');
        if line.is_empty() || line.starts_with('#') {
            self.open = false;
            return Ok(());
        }
        if line.trim_start().starts_with('#') || line.contains('\t') {
            return Err("comments are not indented, and nothing by tabs".to_owned());
        }
        if let Some(question) = line.strip_prefix('?') {
            self.unanswered()?;
            return self.question(number, question);
        }
        match self.questions.last_mut() {
            None if is_indented => self.traces.indented(line),
            None => match line.strip_prefix("range ") {
                Some(range) => self.range(range),
                None => self.traces.head(line),
            },
            Some(_) if !self.open => Err("an answer to nothing".to_owned()),
            Some(question) if is_indented && question.answer.is_empty() => {
                question.query.push('\n');
                question.query.push_str(line.strip_prefix("  ").unwrap_or(line));
                Ok(())
            }
            Some(question) => {
                question.answer.push(line.to_owned());
                Ok(())
            }
        }
    }

    /// `0s..60s step 10s`
    fn range(&mut self, range: &str) -> Result<(), String> {
        let (range, step) = range.split_once(" step ").ok_or("a range needs a step")?;
        if self.of_file.range.is_some() {
            return Err("there is a range already".to_owned());
        }
        (self.of_file.range, self.of_file.step) = (Some(window(range)?), Some(length(step)?));
        Ok(())
    }

    fn question(&mut self, line: usize, text: &str) -> Result<(), String> {
        let mut ask = self.of_file.clone();
        let (options, query) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("no ] behind the options")?,
            None => ("", text),
        };
        for option in options.split_whitespace() {
            ask.option(option)?;
        }
        let query = query.strip_prefix(' ').ok_or("no blank before the query")?.to_owned();
        if !self.asked.insert(text.to_owned()) {
            return Err("asked before".to_owned());
        }
        let before = if options.is_empty() { "? ".to_owned() } else { format!("?[{options}] ") };
        self.questions.push(Question { line, before, query, ask, answer: Vec::new() });
        self.open = true;
        Ok(())
    }

    fn unanswered(&self) -> Result<(), String> {
        match self.questions.last() {
            Some(question) if question.answer.is_empty() => {
                Err(format!("no answer in line {}", question.line))
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<File, (Option<usize>, String)> {
        self.unanswered().map_err(|wrong| (None, wrong))?;
        if self.questions.is_empty() {
            return Err((None, "no question".to_owned()));
        }
        if let Some(name) = self.traces.unused_service() {
            return Err((None, format!("no span of service {name}")));
        }
        let answers = || self.questions.iter().flat_map(|question| &question.answer);
        let told: BTreeSet<&str> =
            answers().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        let unused = self.traces.names.iter().find(|name| !told.contains(name.as_str()));
        // Answers to metrics name no traces.
        if let Some(name) = unused
            && (!told.is_empty() || self.of_file.range.is_none())
        {
            return Err((None, format!("trace {name} is in no answer")));
        }
        Ok(File { spans: self.traces.spans, questions: self.questions })
    }
}

impl Ask {
    fn option(&mut self, option: &str) -> Result<(), String> {
        let number = |text: &str| text.parse().map_err(|_| format!("no number: {option}"));
        match option.split_once('=').unwrap_or((option, "")) {
            ("window", text) => self.window = Some(window(text)?),
            ("limit", text) => self.limit = number(text)?,
            ("spss", text) => self.spans_per_spanset = number(text)?,
            ("traces", "") => self.traces = true,
            ("attributes", "") => self.attributes = true,
            ("range", text) => self.range = Some(window(text)?),
            ("step", text) => self.step = Some(length(text)?),
            ("instant", "") => self.instant = true,
            ("exemplars", text) => self.exemplars = number(text)?,
            ("label", text) if !text.is_empty() => self.label = Some(text.to_owned()),
            ("series", text) => self.max_series = number(text)?,
            _ => return Err(format!("unknown option: {option}")),
        }
        Ok(())
    }
}

/// `10s..20s`
fn window(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (from, to) = text.split_once("..").ok_or_else(|| format!("no range: {text}"))?;
    let at =
        |word| ZERO.checked_add_signed(time(word)?).ok_or_else(|| format!("out of range: {word}"));
    Ok(at(from)?..=at(to)?)
}

fn length(text: &str) -> Result<u64, String> {
    u64::try_from(time(text)?)
        .ok()
        .filter(|step| *step > 0)
        .ok_or_else(|| format!("no step: {text}"))
}
