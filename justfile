# Everything that a change must pass. `just check` before a review.

# List the recipes.
default:
    @just --list

# All checks, cheapest first.
check: fmt clippy test docs deny

# Layout of the source text.
fmt:
    cargo fmt --all --check

# Lints: the list is in Cargo.toml.
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# All tests, with the layer test.
test:
    cargo test --workspace

# Documentation without broken links.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace

# Dependencies: bans, licences, sources.
deny:
    cargo deny check bans licenses sources

# What CI runs: the checks, then real clients against a started server.
ci *STEPS:
    .ci/run {{STEPS}}

# The server, with the defaults.
run *FLAGS:
    cargo run --release -- {{FLAGS}}
