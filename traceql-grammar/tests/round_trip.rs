//! Trees to text and back: any tree that a text can mean is the meaning of its own text. And no text
//! at all makes the parser panic.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use traceql_grammar::ast::{
    Aggregate, AggregateOp, Attribute, BinaryOp, Direction, ExprKind, FieldExpr, Hint, Intrinsic,
    Kind, Limit, Metrics, MetricsArithmetic, MetricsExpr, MetricsFirst, MetricsOp, Order, OrderKey,
    Pipeline, Query, Root, ScalarExpr, ScalarFilter, Scope, Search, SecondStage, SpansetExpr,
    SpansetOp, Stage, Static, Status, UnaryOp,
};
use traceql_grammar::{fold, parse, parse_attribute, parse_lenient, parse_valid, validate};

fn number() -> impl Strategy<Value = Static> {
    prop_oneof![
        any::<i64>()
            .prop_filter("its digits are out of range", |n| *n != i64::MIN)
            .prop_map(Static::Int),
        (-20_i64..20).prop_map(Static::Int),
        any::<f64>().prop_filter("no literal", |n| n.is_finite()).prop_map(Static::Float),
        (-1e6..1e6_f64).prop_map(Static::Float),
        any::<i64>()
            .prop_filter("its digits are out of range", |n| *n != i64::MIN)
            .prop_map(Static::Duration),
        (-5_000_000_000_i64..5_000_000_000).prop_map(Static::Duration),
    ]
}

/// What a literal token can be: without a sign.
fn literal() -> impl Strategy<Value = Static> {
    prop_oneof![
        number().prop_map(|value| match value {
            Static::Int(n) => Static::Int(n.abs()),
            Static::Float(n) => Static::Float(n.abs()),
            Static::Duration(n) => Static::Duration(n.abs()),
            other => other,
        }),
        any::<String>().prop_map(Static::String),
        "[a-z\"`\\\\\r\n0]{0,6}".prop_map(Static::String),
        any::<bool>().prop_map(Static::Bool),
        select(&Status::ALL[..]).prop_map(Static::Status),
        select(&Kind::ALL[..]).prop_map(Static::Kind),
    ]
}

fn value() -> impl Strategy<Value = Static> {
    prop_oneof![literal(), number(), Just(Static::Int(i64::MIN))]
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let name = prop_oneof![
        "[a-z][a-z0-9._-]{0,8}",
        "[ \\PC\"\\\\{}()=~!<>&|^,/*+0-9.-]{0,6}",
        select(&["span.x", "resource.y", "9x", "true", "a//b", "a/*b", "\u{a0}"][..])
            .prop_map(str::to_owned),
    ];
    let scope = select(
        &[
            Scope::None,
            Scope::Span,
            Scope::Resource,
            Scope::Event,
            Scope::Link,
            Scope::Instrumentation,
        ][..],
    );
    let parent = select(&[Scope::None, Scope::Span, Scope::Resource][..]);
    prop_oneof![
        2 => select(&Intrinsic::ALL[..]).prop_map(Attribute::Intrinsic),
        4 => (scope, name.clone()).prop_map(|(scope, name)| Attribute::Named { scope, name }),
        1 => (parent, name).prop_map(|(scope, name)| Attribute::OfParent { scope, name }),
    ]
}

fn node(kind: ExprKind) -> FieldExpr {
    FieldExpr { kind, span: 0..0 }
}

fn field() -> impl Strategy<Value = FieldExpr> {
    let leaf = prop_oneof![
        attribute().prop_map(|attribute| node(ExprKind::Attribute(attribute))),
        value().prop_map(|value| node(ExprKind::Static(value))),
    ];
    let tree = leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            4 => (select(&BinaryOp::ALL[..]), inner.clone(), inner.clone()).prop_map(|(op, lhs, rhs)| {
                node(ExprKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) })
            }),
            1 => (select(&[UnaryOp::Not, UnaryOp::Neg][..]), inner.clone())
                .prop_map(|(op, expr)| node(ExprKind::Unary { op, expr: Box::new(expr) })),
            1 => (any::<bool>(), inner).prop_map(|(present, expr)| {
                node(ExprKind::Exists { expr: Box::new(expr), present })
            }),
        ]
    });
    // Parsing folds, so only folded trees are what a text means.
    tree.prop_map(fold)
}

fn plain_spansets() -> impl Strategy<Value = SpansetExpr> {
    let leaf = field().prop_map(SpansetExpr::Filter);
    leaf.prop_recursive(3, 6, 2, |inner| {
        (spanset_op(), inner.clone(), inner).prop_map(|(op, lhs, rhs)| combine(op, lhs, rhs))
    })
}

fn spanset_op() -> impl Strategy<Value = SpansetOp> {
    select(SpansetOp::all().collect::<Vec<_>>())
}

fn combine(op: SpansetOp, lhs: SpansetExpr, rhs: SpansetExpr) -> SpansetExpr {
    SpansetExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs), span: 0..0 }
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    (select(&AggregateOp::ALL[..]), field()).prop_map(|(op, argument)| Aggregate {
        op,
        argument: (op != AggregateOp::Count).then_some(argument),
        span: 0..0,
    })
}

fn arithmetic() -> impl Strategy<Value = BinaryOp> {
    select(BinaryOp::ALL.into_iter().filter(|op| op.is_arithmetic()).collect::<Vec<_>>())
}

fn comparison() -> impl Strategy<Value = BinaryOp> {
    let ops = BinaryOp::ALL.into_iter().filter(|op| op.is_equality() || op.is_ordering());
    select(ops.collect::<Vec<_>>())
}

fn computed(leaf: BoxedStrategy<ScalarExpr>) -> impl Strategy<Value = ScalarExpr> {
    leaf.prop_recursive(3, 6, 2, |inner| {
        (arithmetic(), inner.clone(), inner).prop_map(|(op, lhs, rhs)| ScalarExpr::Binary {
            op,
            lhs: Box::new(lhs),
            rhs: Box::new(rhs),
            span: 0..0,
        })
    })
}

fn scalar_filter() -> impl Strategy<Value = ScalarFilter> {
    let leaf = prop_oneof![
        aggregate().prop_map(ScalarExpr::Aggregate),
        number().prop_map(ScalarExpr::Static),
    ];
    let side = computed(leaf.boxed()).boxed();
    (side.clone(), comparison(), side).prop_map(|(lhs, op, rhs)| ScalarFilter {
        lhs,
        op,
        rhs,
        span: 0..0,
    })
}

fn first_stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        3 => plain_spansets().prop_map(Stage::Spansets),
        1 => scalar_filter().prop_map(Stage::Scalar),
        1 => field().prop_map(Stage::GroupBy),
        1 => vec(attribute(), 1..4).prop_map(Stage::Select),
    ]
}

fn pipeline() -> impl Strategy<Value = Pipeline> {
    let later =
        prop_oneof![6 => first_stage(), 1 => Just(Stage::Coalesce), 1 => Just(Stage::Traces)];
    (first_stage(), vec(later, 0..3)).prop_map(|(first, mut stages)| {
        stages.insert(0, first);
        Pipeline { stages }
    })
}

/// Combined pipelines: the leftmost is more than a spanset.
fn wrapped() -> impl Strategy<Value = SpansetExpr> {
    let leaf = (pipeline(), vec(attribute(), 1..3)).prop_map(|(mut pipeline, attributes)| {
        pipeline.stages.push(Stage::Select(attributes));
        SpansetExpr::Pipeline(pipeline)
    });
    let pure = plain_spansets().boxed();
    leaf.prop_recursive(2, 4, 2, move |inner| {
        let pure = (spanset_op(), pure.clone()).prop_map(|(op, spansets)| match op {
            SpansetOp::Without => (op, spansets),
            // Tempo's operators take a spanset there in parentheses only, as a pipeline of one stage.
            op => (op, SpansetExpr::Pipeline(Pipeline { stages: vec![Stage::Spansets(spansets)] })),
        });
        let rhs = prop_oneof![(spanset_op(), inner.clone()), pure];
        (inner, rhs).prop_map(|(lhs, (op, rhs))| combine(op, lhs, rhs))
    })
}

fn scalar_pipe_filter() -> impl Strategy<Value = ScalarFilter> {
    let leaf = (pipeline(), aggregate())
        .prop_map(|(pipeline, aggregate)| ScalarExpr::Pipeline(Box::new(pipeline), aggregate));
    let side = computed(leaf.boxed()).boxed();
    let rhs = prop_oneof![side.clone(), literal().prop_map(ScalarExpr::Static)];
    (side, comparison(), rhs).prop_map(|(lhs, op, rhs)| ScalarFilter { lhs, op, rhs, span: 0..0 })
}

fn second() -> impl Strategy<Value = Vec<SecondStage>> {
    let stage = prop_oneof![
        (0..i64::MAX).prop_map(SecondStage::TopK),
        (0..9_i64).prop_map(SecondStage::BottomK),
        (comparison(), number()).prop_map(|(op, value)| SecondStage::Filter { op, value }),
    ];
    vec(stage, 0..3)
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let function =
        (select(&MetricsOp::ALL[..]), attribute(), vec(0.0..2.0_f64, 1..4), vec(attribute(), 0..7))
            .prop_map(|(op, argument, quantiles, by)| MetricsFirst::Aggregate {
                op,
                argument: (!matches!(op, MetricsOp::Rate | MetricsOp::CountOverTime))
                    .then_some(argument),
                quantiles: if op == MetricsOp::QuantileOverTime { quantiles } else { Vec::new() },
                by,
            });
    let compare =
        (field(), 0..20_i64, 0..3_i64, 0..i64::MAX).prop_map(|(selection, top, start, end)| {
            MetricsFirst::Compare { selection, top, start_unix_nano: start, end_unix_nano: end }
        });
    (pipeline(), prop_oneof![3 => function, 1 => compare], second())
        .prop_map(|(pipeline, first, second)| Metrics { pipeline, first, second, span: 0..0 })
}

fn metrics_expr() -> impl Strategy<Value = MetricsExpr> {
    const OPS: [BinaryOp; 4] = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div];
    let leaf = metrics().prop_map(MetricsExpr::Query).boxed();
    leaf.prop_recursive(3, 6, 2, |inner| {
        let number = number().prop_map(MetricsExpr::Number).boxed();
        let sides = prop_oneof![
            3 => (inner.clone(), inner.clone()),
            1 => (inner.clone(), number.clone()),
            1 => (number, inner),
        ];
        (select(&OPS[..]), sides, second()).prop_map(|(op, (lhs, rhs), second)| {
            let arithmetic = MetricsArithmetic { op, lhs, rhs, second, span: 0..0 };
            MetricsExpr::Arithmetic(Box::new(arithmetic))
        })
    })
}

fn search() -> impl Strategy<Value = Search> {
    const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];
    let key = prop_oneof![
        2 => field().prop_map(OrderKey::Field),
        1 => aggregate().prop_map(OrderKey::Aggregate),
    ];
    let order = (key, select(&DIRECTIONS[..])).prop_map(|(key, direction)| Order {
        key,
        direction,
        span: 0..0,
    });
    let limit = (0..i64::MAX).prop_map(|count| Limit { count, span: 0..0 });
    (pipeline(), proptest::option::of(order), proptest::option::of(limit))
        .prop_map(|(pipeline, order, limit)| Search { pipeline, order, limit })
}

fn query() -> impl Strategy<Value = Query> {
    let hint = ("h[a-zé_0-9]{0,5}", literal()).prop_map(|(name, value)| Hint { name, value });
    let hints = prop_oneof![2 => Just(Vec::new()), 1 => vec(hint, 1..3)];
    let alone = prop_oneof![
        2 => wrapped().prop_map(Stage::Spansets),
        1 => scalar_pipe_filter().prop_map(Stage::Scalar),
    ]
    .prop_map(|stage| {
        let pipeline = Pipeline { stages: vec![stage] };
        Root::Search(Search { pipeline, order: None, limit: None })
    });
    let root = prop_oneof![
        1 => alone,
        2 => search().prop_map(Root::Search),
        2 => metrics_expr().prop_map(Root::Metrics),
    ];
    (root, hints).prop_map(|(root, hints)| Query { root, hints })
}

/// The tree in words, without positions.
fn without_spans(query: &Query) -> String {
    let text = format!("{query:?}");
    let mut parts = text.split("span: ");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_tree_parses_back_to_itself(query in query()) {
        let text = query.to_string();
        let again = parse(&text).map_err(|error| TestCaseError::fail(format!("{text}\n{error}")))?;
        prop_assert_eq!(without_spans(&query), without_spans(&again), "{}", text);
        prop_assert_eq!(again.to_string(), text);
        // Whether it is valid is the same for both, and nothing panics over it.
        let verdict = |query: &Query| validate(query).map_err(|error| error.detail);
        prop_assert_eq!(verdict(&query), verdict(&again));
    }

    #[test]
    fn an_attribute_is_its_own_label(attribute in attribute()) {
        prop_assert_eq!(parse_attribute(&attribute.to_string()).ok(), Some(attribute));
    }

    #[test]
    fn no_text_makes_anything_panic(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_pieces_of_the_language_make_anything_panic(pieces in vec(select(PIECES), 0..24)) {
        survives(&pieces.concat());
        survives(&pieces.join(" "));
    }

    #[test]
    fn a_cut_query_makes_nothing_panic(query in query(), cut in any::<proptest::sample::Index>()) {
        let text = query.to_string();
        let chars: Vec<char> = text.chars().collect();
        survives(&chars.iter().take(cut.index(chars.len() + 1)).collect::<String>());
    }
}

fn survives(text: &str) {
    match parse_valid(text) {
        Ok(query) => assert!(parse(&query.to_string()).is_ok(), "{text:?} as {query}"),
        Err(error) => {
            assert!(error.span.end <= text.len() && error.span.start <= error.span.end);
            assert!(text.get(error.span.clone()).is_some(), "{text:?} at {:?}", error.span);
            assert!(!error.to_string().is_empty());
        }
    }
    drop(parse_lenient(text));
    drop(parse_attribute(text));
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "|",
    "||",
    "&&",
    "&",
    "!",
    "=",
    "!=",
    "=~",
    "!~",
    ">",
    ">>",
    "<",
    "<<",
    "<=",
    "~",
    "&>>",
    "!<<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    ",",
    ".",
    "\"",
    "`",
    "\\",
    "//",
    "/*",
    "*/",
    "\n",
    ".a",
    "span.b",
    "resource.service.name",
    "span.\"c d\"",
    "parent.e",
    "name",
    "duration",
    "kind",
    "status",
    "trace:id",
    "span:",
    "event:name",
    "1",
    "0x1p2",
    "1.5",
    "5m",
    "1d250us",
    "09",
    "1e999",
    "true",
    "nil",
    "error",
    "server",
    "minInt",
    "foo",
    "\"x\"",
    "`y`",
    "count()",
    "avg(",
    "by(",
    "select(",
    "coalesce()",
    "rate()",
    "quantile_over_time(",
    "compare({",
    "topk(3)",
    "without",
    "traces()",
    "order by",
    "desc",
    "limit 3",
    "({} | rate())",
    "count_distinct(",
    "with(a=1)",
    "{ .a = 1 }",
    "{}",
    "({} | {})",
    "\u{a0}",
    "\u{FEFF}",
    "é",
    "\0",
];
