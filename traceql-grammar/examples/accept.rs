//! Reads queries from standard input, one a line, and tells which are accepted, in their canonical
//! text, and why the others are not.

use std::io::{self, BufRead as _, Write as _};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match traceql_grammar::parse_valid(&line?) {
            Ok(query) => writeln!(out, "ok {query}")?,
            Err(error) => writeln!(out, "error {error}")?,
        }
    }
    Ok(())
}
