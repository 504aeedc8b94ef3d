//! A second, naive evaluator judges the engine: random small traces, cut at random into blocks and memory, and random queries.
//!
//! The two share the parsed tree and nothing else. `VIVACE_ORACLE_CASES` and `VIVACE_ORACLE_SEED` make a run longer, or another;
//! `VIVACE_ORACLE_FIRST` begins with the data set whose seed a report names.

#![expect(clippy::unwrap_used, reason = "the helpers here are the test")]

#[path = "oracle/answers.rs"]
mod answers;
#[path = "oracle/conditions.rs"]
mod conditions;
#[path = "oracle/dice.rs"]
mod dice;
#[path = "oracle/evaluate_arithmetic.rs"]
mod evaluate_arithmetic;
#[path = "oracle/evaluate_compare.rs"]
mod evaluate_compare;
#[path = "oracle/evaluate_field.rs"]
mod evaluate_field;
#[path = "oracle/evaluate_metrics.rs"]
mod evaluate_metrics;
#[path = "oracle/evaluate_order.rs"]
mod evaluate_order;
#[path = "oracle/evaluate_search.rs"]
mod evaluate_search;
#[path = "oracle/evaluate_second.rs"]
mod evaluate_second;
#[path = "oracle/evaluate_trace.rs"]
mod evaluate_trace;
#[path = "oracle/evaluate_value.rs"]
mod evaluate_value;
#[path = "oracle/expected.rs"]
mod expected;
#[path = "oracle/generate.rs"]
mod generate;
#[path = "oracle/house.rs"]
mod house;
#[path = "oracle/mentions.rs"]
mod mentions;
#[path = "oracle/model.rs"]
mod model;
#[path = "oracle/questions.rs"]
mod questions;
#[path = "oracle/shares.rs"]
mod shares;
#[path = "oracle/shrink.rs"]
mod shrink;
#[path = "oracle/told.rs"]
mod told;

use vivace::runtime::Cpu;

use answers::{Question, check};
use dice::Dice;
use evaluate_trace::traces;
use house::{Cutting, House};
use questions::Writer;
use shares::Shares;
use shrink::{Case, shrink};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Questions to each data set.
const QUESTIONS: u64 = 40;

/// So many cases fit into a minute of a debug build.
const CASES: u64 = 2500;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn the_engine_answers_as_the_rules_say() {
    let (cases, seed) = (setting("VIVACE_ORACLE_CASES", CASES), setting("VIVACE_ORACLE_SEED", 1));
    // The seed of a data set that a report names can be given as the first.
    let first = setting("VIVACE_ORACLE_FIRST", seed * 1_000_003);
    // Differences after which the run stops: more than one when somebody looks for patterns.
    let most = setting("VIVACE_ORACLE_DIFFERENCES", 1);
    let cpu = Cpu::new(None).unwrap();
    let mut shares = Shares::default();
    let mut differences = 0;
    let mut round = 0;
    while shares.cases < cases && differences < most {
        if round % 500 == 499 {
            eprintln!("{} cases so far", shares.cases);
        }
        let seed = first + round;
        round += 1;
        let mut dice = Dice(seed);
        let cutting = Cutting::random(&mut dice);
        let spans = generate::data(&mut dice, cutting.pushes);
        let whole = traces(&spans);
        let splits = whole.iter().any(|trace| cutting.splits(&spans, trace.id));
        let house = House::with(&cutting, &spans, &cpu).await;
        for _ in 0..QUESTIONS {
            let (text, ask) = Writer(&mut dice).question();
            let Ok(tree) = traceql_grammar::parse_valid(&text) else {
                shares.refused += 1;
                continue;
            };
            let question = Question { tree, text, ask };
            match check(&house.querier, &whole, &question).await {
                Ok(answer) => shares.add(&question, &answer, splits),
                Err(difference) => {
                    differences += 1;
                    let text = question.text.clone();
                    let spans = spans.clone();
                    let case = Case { cutting, spans, question, difference };
                    report(seed, &text, &shrink(case, &cpu).await);
                    if differences >= most {
                        break;
                    }
                }
            }
        }
    }
    eprintln!("{shares}");
    assert_eq!(differences, 0, "answers differ");
    shares.check();
}

fn report(seed: u64, text: &str, case: &Case) {
    let Case { cutting, spans, question, difference } = case;
    eprintln!(
        "seed {seed}: {text}\n  shrunk: {}\n  {:?}\n  {cutting:?}",
        question.text, question.ask
    );
    for span in spans {
        eprintln!("  {span}");
    }
    eprintln!("{difference}");
}
