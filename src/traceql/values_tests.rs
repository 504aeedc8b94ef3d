//! Values of attributes, filtered and not.

use super::*;
use crate::traceql::testing::{batch, projected, span, text, texts};

fn shop() -> Batch {
    batch(&[
        vec![
            span(1, 0).service("web").named("a").status(2).at(100, 10).with("v", text("x")),
            span(2, 1).service("web").named("b").at(100, 10).with("v", Value::Int(1)),
            span(3, 1).named("b").at(100, 10).with("v", texts(&["x", "y"])),
            span(4, 1).named("b").at(100, 10).with("v", Value::Bytes(vec![1])),
        ],
        vec![
            span(5, 0)
                .service("db")
                .named("c")
                .at(900, 10)
                .with("v", Value::Double(30.0))
                .event("e", 1, &[("k", text("one"))])
                .event("e", 2, &[("k", text("two"))]),
        ],
    ])
}

fn values(attribute: &str, filter: &str) -> Vec<(&'static str, String, u64)> {
    let batch = shop();
    let query = compile_values(attribute, filter).unwrap();
    let mut set = ValueSet::default();
    query.collect(&projected(&batch, query.projection()), &(0..=u64::MAX), &|_| true, &mut set);
    let mut values: Vec<_> = set.iter().collect();
    values.sort_unstable();
    values.into_iter().map(|(kind, text, count)| (kind.as_str(), text.to_owned(), count)).collect()
}

#[test]
fn values_have_types_and_counts() {
    let of = |kind, text: &str, count| (kind, text.to_owned(), count);
    let all =
        vec![of("string", "x", 2), of("string", "y", 1), of("int", "1", 1), of("float", "30.0", 1)];
    assert_eq!(values("span.v", ""), all);
    assert_eq!(values(".v", "{ }"), all);
    assert_eq!(
        values("span.v", "{ name = \"b\" }"),
        [of("string", "x", 1), of("string", "y", 1), of("int", "1", 1)]
    );
    let services = [of("string", "", 2), of("string", "db", 1), of("string", "web", 2)];
    assert_eq!(values("resource.service.name", ""), services);
    assert_eq!(
        values("name", "{ resource.service.name = \"web\" && span.gone = "),
        [of("string", "a", 1), of("string", "b", 1)]
    );
    assert_eq!(values("status", ""), [of("keyword", "error", 1), of("keyword", "unset", 4)]);
    assert_eq!(values("event.k", ""), [of("string", "one", 1), of("string", "two", 1)]);
    assert_eq!(values("rootName", "{ status = error }"), [of("string", "a", 1)]);
    assert_eq!(values("duration", "{ status = error }"), [of("duration", "10ns", 1)]);
    assert_eq!(values("span.gone", ""), []);
}

#[test]
fn texts_without_a_column_count_and_missing_messages_do_not() {
    let mut batch = batch(&[vec![
        span(1, 0).with("v", text("in a column")).message("timeout"),
        span(2, 1).with("v", text("beside")),
        span(3, 1).message(""),
    ]]);
    // As a block has a key that is too rare for a column.
    let attribute = batch.attributes.get_mut("v").unwrap();
    attribute.rest.push((2, text("beside")));
    let values = |attribute: &str| {
        let (query, mut set) = (compile_values(attribute, "").unwrap(), ValueSet::default());
        query.collect(&batch, &(0..=u64::MAX), &|_| true, &mut set);
        let mut values: Vec<_> = set.iter().map(|(_, text, n)| (text.to_owned(), n)).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(values("span.v"), [("beside".to_owned(), 2), ("in a column".to_owned(), 1)]);
    assert_eq!(values("statusMessage"), [("timeout".to_owned(), 1)]);
}

#[test]
fn traces_outside_the_window_add_nothing() {
    let query = compile_values("name", "").unwrap();
    let mut set = ValueSet::default();
    query.collect(&shop(), &(800..=1000), &|_| true, &mut set);
    assert_eq!(set.iter().map(|(_, text, _)| text).collect::<Vec<_>>(), ["c"]);
    query.collect(&shop(), &(2000..=3000), &|_| true, &mut set);
    assert_eq!((set.len(), set.bytes()), (1, 1));
}

#[test]
fn what_is_no_attribute_is_refused() {
    for bad in ["", "nonsense", "span.", "parent.x", "span.a = 1"] {
        assert!(compile_values(bad, "").is_err(), "{bad}");
    }
}
