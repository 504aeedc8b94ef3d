//! The order of `src/lib.rs` holds: a room uses only rooms listed above it, and every file says what it is for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Reading must not lean on writing, even where the order would allow it.
const NEVER: [(&str, &str); 6] = [
    ("traceql", "otlp"),
    ("querier", "distributor"),
    ("querier", "compactor"),
    ("api", "receiver"),
    ("query_apis", "receiver"),
    ("query_apis", "distributor"),
];

/// Crates whose files must begin with their purpose.
const SOURCES: [&str; 5] =
    ["src", "tests", "benches", "traceql-grammar/src", "traceql-grammar/tests"];

#[test]
fn rooms_use_only_rooms_listed_above_them() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let order = order_of(&lib);
    assert!(!order.is_empty(), "no `pub mod` line in src/lib.rs");
    let mut wrong = Vec::new();
    for room in &order {
        for file in files_of(room).unwrap() {
            let text = fs::read_to_string(&file).unwrap();
            wrong.extend(wrong_imports(&order, room, &file, &text));
        }
    }
    assert!(wrong.is_empty(), "against the order of src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_src_is_a_room_listed_in_lib() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let order = order_of(&lib);
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let listed = ["lib", "main"].contains(&stem) || order.contains(&stem);
        assert!(listed, "{} is no room of src/lib.rs", path.display());
    }
}

#[test]
fn every_file_begins_with_its_purpose() {
    let mut wrong = Vec::new();
    for folder in SOURCES {
        for file in rust_files(Path::new(folder)).unwrap() {
            if !says_its_purpose(&fs::read_to_string(&file).unwrap()) {
                wrong.push(file.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "the first line is not `//! …` in:\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_wrong_import_is_found() {
    let order =
        order_of("/// Words.\npub mod trace;\n\npub mod store;\npub mod block;\nmod hidden;\n");
    assert_eq!(order, ["trace", "store", "block"]);
    let found =
        |room: &str, file: &str, text: &str| wrong_imports(&order, room, Path::new(file), text);
    let planted = "//! Keys.\n\nuse crate::trace::TraceId;\nuse crate::block::Meta;\n";
    assert_eq!(
        found("store", "src/store/keys.rs", planted),
        ["src/store/keys.rs:4: use crate::block::Meta;"]
    );
    assert_eq!(found("store", "src/store/mod.rs", "use super::block::Meta;").len(), 1);
    assert_eq!(found("store", "src/store/keys.rs", "use super::super::block::Meta;").len(), 1);
    assert_eq!(found("trace", "src/trace/mod.rs", "let x = crate::store::open();").len(), 1);
    assert_eq!(found("trace", "src/trace/mod.rs", "use crate::{store, block};").len(), 1);
}

#[test]
fn reading_that_leans_on_writing_is_found_even_where_the_order_allows_it() {
    let order =
        ["otlp", "traceql", "compactor", "distributor", "querier", "receiver", "api", "query_apis"];
    for (room, banned) in NEVER {
        let text = format!("use crate::{banned}::Thing;");
        let file = format!("src/{room}/mod.rs");
        assert_eq!(wrong_imports(&order, room, Path::new(&file), &text).len(), 1, "{room}");
    }
}

#[test]
fn right_imports_comments_and_longer_names_are_left_alone() {
    let order = ["trace", "wal", "block"];
    for text in [
        "use crate::trace::TraceId;",
        "use crate::wal::Record;",
        "use crate::blocking::Pool;",
        "use super::block::Local;",
        "/// See [`crate::block`].",
        "let x = 1; // later: crate::block",
        "use arrow::block::Thing;",
    ] {
        let found = wrong_imports(&order, "wal", Path::new("src/wal/append.rs"), text);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_file_without_a_purpose_is_found() {
    assert!(says_its_purpose("//! What it is for.\n\nuse std::fs;\n"));
    for text in [
        "",
        "use std::fs;\n",
        "// A comment.\n",
        "/// Of the first item.\n",
        "//!\n",
        "\n//! Late.\n",
    ] {
        assert!(!says_its_purpose(text), "{text:?}");
    }
}

/// The rooms of `lib.rs`, in its order.
fn order_of(lib: &str) -> Vec<&str> {
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

/// Lines of a file of `room` that name a room that it may not use, as `file:line: code`.
fn wrong_imports(order: &[&str], room: &str, file: &Path, text: &str) -> Vec<String> {
    let below = order.iter().skip_while(|name| **name != room).skip(1).copied();
    let never = NEVER.iter().filter(|(from, _)| *from == room).map(|(_, to)| *to);
    let banned: Vec<&str> = below.chain(never).collect();
    let prefixes = ["crate::".to_owned(), path_to_root(file)];
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let named =
            banned.iter().any(|name| prefixes.iter().any(|prefix| names(code, prefix, name)));
        // A grouped import at the root would hide the names.
        if named || code.contains("crate::{") {
            wrong.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
        }
    }
    wrong
}

/// The `super::` chain that leads from a file of `src/` to the root of the crate.
fn path_to_root(file: &Path) -> String {
    let folders = file.components().count().saturating_sub(2);
    let own = usize::from(file.file_name().is_some_and(|name| name != "mod.rs"));
    "super::".repeat(folders + own)
}

/// `crate::wal` counts, `crate::wall` does not, nor does the end of a longer `super::` chain.
fn names(code: &str, prefix: &str, room: &str) -> bool {
    let name = format!("{prefix}{room}");
    code.match_indices(&name).any(|(at, _)| {
        let (before, rest) = code.split_at(at);
        let after = rest.strip_prefix(&name).unwrap_or(rest);
        !before.ends_with("::") && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

fn says_its_purpose(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "))
        .is_some_and(|rest| !rest.is_empty())
}

fn files_of(room: &str) -> io::Result<Vec<PathBuf>> {
    let file = PathBuf::from(format!("src/{room}.rs"));
    if file.exists() { Ok(vec![file]) } else { rust_files(&PathBuf::from(format!("src/{room}"))) }
}

/// Every Rust file under a folder; none when there is no such folder.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    folders.retain(|folder| folder.is_dir());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
