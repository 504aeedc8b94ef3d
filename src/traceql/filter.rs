//! Conditions over a whole batch at once: one bit per span, event or link.

use arrow::buffer::BooleanBuffer;
use traceql_grammar::ast::Static;

use super::leaf;
use super::plan::{Check, Expr, Owner, Test};
use super::rows::Rows;
use super::value::{Compare, Val};

impl<'a> Rows<'a> {
    /// Where the expression is true. Bits outside `within` may be anything, so that costly tests can leave them out.
    pub(super) fn truth(
        &self,
        expr: &'a Expr,
        owner: Owner,
        within: Option<&BooleanBuffer>,
    ) -> BooleanBuffer {
        let count = self.count(owner);
        match expr {
            Expr::Constant(Static::Bool(true)) => BooleanBuffer::new_set(count),
            Expr::Constant(_) => BooleanBuffer::new_unset(count),
            Expr::Field(field) => {
                let check = Check::Compare(Compare::Eq, Static::Bool(true));
                leaf::mask(self, &Test { field: field.clone(), check }, owner, within)
            }
            Expr::Test(test) => leaf::mask(self, test, owner, within),
            Expr::Not(inner) => self.falsity(inner, owner, within),
            Expr::And(items) => self.conjunction(items, owner, within),
            Expr::Or(items) => {
                let none = BooleanBuffer::new_unset(count);
                items.iter().fold(none, |any, item| &any | &self.truth(item, owner, within))
            }
            Expr::Exists { expr, present } => match &**expr {
                Expr::Field(field) => {
                    let there = leaf::presence(self, field, owner, within);
                    if *present { there } else { !&there }
                }
                _ => self.row_by_row(expr, owner, within, |value| value.is_nil() != *present),
            },
            Expr::Each { owner: each, expr } if owner == Owner::Span => {
                let bits = self.truth(expr, *each, None);
                self.rows_with_any(&bits, *each)
            }
            Expr::Each { .. } | Expr::Neg(_) | Expr::Binary { .. } => {
                self.row_by_row(expr, owner, within, |value| value == Val::Bool(true))
            }
        }
    }

    /// Where the expression is false, which is not where it is missing.
    fn falsity(
        &self,
        expr: &'a Expr,
        owner: Owner,
        within: Option<&BooleanBuffer>,
    ) -> BooleanBuffer {
        match expr {
            Expr::Field(field) => {
                let check = Check::Compare(Compare::Eq, Static::Bool(false));
                leaf::mask(self, &Test { field: field.clone(), check }, owner, within)
            }
            Expr::Not(inner) => self.truth(inner, owner, within),
            boolean if boolean.is_boolean() => !&self.truth(boolean, owner, within),
            other => self.row_by_row(other, owner, within, |value| value == Val::Bool(false)),
        }
    }

    /// Left to right; what is false already is not looked at again.
    fn conjunction(
        &self,
        items: &'a [Expr],
        owner: Owner,
        within: Option<&BooleanBuffer>,
    ) -> BooleanBuffer {
        let mut all: Option<BooleanBuffer> = within.cloned();
        for item in items {
            if all.as_ref().is_some_and(|all| !all.has_true()) {
                break;
            }
            let bits = self.truth(item, owner, all.as_ref());
            all = Some(all.map_or_else(|| bits.clone(), |all| &all & &bits));
        }
        all.unwrap_or_else(|| BooleanBuffer::new_set(self.count(owner)))
    }

    fn row_by_row(
        &self,
        expr: &'a Expr,
        owner: Owner,
        within: Option<&BooleanBuffer>,
        test: impl Fn(Val<'_>) -> bool,
    ) -> BooleanBuffer {
        BooleanBuffer::collect_bool(self.count(owner), |index| {
            within.is_none_or(|within| within.value(index))
                && test(self.eval(expr, self.place(owner, index)))
        })
    }

    /// The spans one of whose events (or links) is marked.
    fn rows_with_any(&self, bits: &BooleanBuffer, owner: Owner) -> BooleanBuffer {
        let mut marks = vec![0_u8; self.batch.rows().div_ceil(8)];
        if bits.has_true() {
            let rows = self.rows_of(owner);
            for index in bits.set_indices() {
                leaf::set(&mut marks, rows[index] as usize);
            }
        }
        BooleanBuffer::new(marks.into(), 0, self.batch.rows())
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
