//! `${NAME}` in a value, filled in from the environment.
//!
//! Values are filled in after the YAML is read and stay text: a secret that holds `: ` or `#` cannot break the file, and
//! one that looks like a number (`12e45678`) keeps its spelling. (The YAML library's own substitution runs before
//! types are told apart, and would lose that.)

use super::problem::{Place, Problem};

/// `${A:-${B:-…}}`: more than anybody writes.
const NESTED_MAX: usize = 8;

/// Where variables come from: the environment, or a table in a test.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with one `${…}`. Never holds a value.
type Fault = (String, &'static str);

/// The text with every `${NAME}`, `${NAME:-default}`, `${NAME-default}` and `${NAME:?message}` filled in (`:=` is `:-`).
/// `$${` is a plain `${`.
///
/// # Errors
/// A variable that is not set and has no default; a form that is not one of these.
pub(super) fn expand(
    text: &str,
    variables: Variables<'_>,
    key: &str,
    place: Place,
) -> Result<String, Problem> {
    fill(text, variables, 0).map_err(|(name, reason)| Problem::Variable {
        key: key.to_owned(),
        place,
        name,
        reason: reason.to_owned(),
    })
}

fn fill(text: &str, variables: Variables<'_>, depth: usize) -> Result<String, Fault> {
    if depth > NESTED_MAX {
        return Err((text.to_owned(), "is nested too deeply"));
    }
    let mut full = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(plain) = before.strip_suffix('$') {
            full.push_str(plain);
            full.push_str("${");
            rest = after;
            continue;
        }
        full.push_str(before);
        let (inside, behind) =
            split_at_close(after).ok_or_else(|| (after.to_owned(), "has no closing brace"))?;
        full.push_str(&one(inside, variables, depth)?);
        rest = behind;
    }
    full.push_str(rest);
    Ok(full)
}

/// What is before and behind the brace that closes.
fn split_at_close(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (inside, close) = text.split_at(at);
            return Some((inside, close.strip_prefix('}')?));
        }
    }
    None
}

fn one(inside: &str, variables: Variables<'_>, depth: usize) -> Result<String, Fault> {
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let (name, form) = inside.split_at(end.unwrap_or(inside.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err((inside.to_owned(), "is not a name"));
    }
    let set = variables(name);
    let given = |empty_counts: bool| set.clone().filter(|v| empty_counts || !v.is_empty());
    let fault = |reason| Err((name.to_owned(), reason));
    if form.is_empty() {
        return set.map_or_else(|| fault("is not set and has no default"), Ok);
    }
    let (empty_counts, form) = form.strip_prefix(':').map_or((true, form), |form| (false, form));
    let value = given(empty_counts);
    if let Some(default) = form.strip_prefix(['-', '=']) {
        return value.map_or_else(|| fill(default, variables, depth + 1), Ok);
    }
    if form.starts_with('?') {
        return value.map_or_else(|| fault("is not set, and the file says that it must be"), Ok);
    }
    fault("is followed by an operator that is not known; allowed are `:-default` and `:?message`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "HARD" => Some("a: b # ${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn every_form_is_filled_in() {
        for (text, full) in [
            ("plain $A", "plain $A"),
            ("${A}", "one"),
            ("x-${A}-${A}", "x-one-one"),
            ("${HARD}", "a: b # ${A}"),
            ("${NONE:-two}", "two"),
            ("${NONE-two}", "two"),
            ("${NONE:=two}", "two"),
            ("${EMPTY:-two}", "two"),
            ("${EMPTY-two}", ""),
            ("${NONE:-}", ""),
            ("${NONE:-${A}}!", "one!"),
            ("${A:?must be}", "one"),
            ("$${A}", "${A}"),
        ] {
            assert_eq!(expand(text, &variables, "k", Place::default()).unwrap(), full, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_names_the_variable() {
        for (text, name) in [
            ("${NONE}", "`NONE` in `k` is not set and has no default"),
            ("${NONE:?x}", "`NONE` in `k` is not set, and the file"),
            ("${EMPTY:?x}", "`EMPTY` in `k` is not set, and the file"),
            ("${A^^}", "`A` in `k` is followed by an operator"),
            ("${1}", "`1` in `k` is not a name"),
            ("${A", "`A` in `k` has no closing brace"),
        ] {
            let text = expand(text, &variables, "k", Place::default()).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{}{}", "${N:-".repeat(50), "}".repeat(50));
        assert!(expand(&deep, &variables, "k", Place::default()).is_err());
    }
}
