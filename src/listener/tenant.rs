//! Whose request it is: the header `X-Scope-OrgID`.

use http::HeaderMap;

use crate::failure::{Failure, Kind};
use crate::tenant::{TenantId, TenantIdError};

/// The header, and the gRPC metadata key, that names the tenant.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// Most tenants in one query. Each costs a plan and its own reads; the header's own size allows no more than a few hundred.
const TENANTS_MAX: usize = 64;

/// The one tenant of a request. Without multi-tenancy the header is not looked at.
///
/// # Errors
/// `no org id` ([`Kind::Unauthenticated`]) if the header is missing or empty; the broken rule ([`Kind::Invalid`]) if it holds
/// anything but one tenant id.
pub fn tenant(headers: &HeaderMap, multitenancy: bool) -> Result<TenantId, Failure> {
    if !multitenancy {
        return Ok(TenantId::single());
    }
    parse(header_of(headers)?)
}

/// The tenants of a query, `a|b|c` in the header: sorted, each once, at least one.
///
/// # Errors
/// As [`tenant`]; also when there are more than 64.
pub fn tenants(headers: &HeaderMap, multitenancy: bool) -> Result<Vec<TenantId>, Failure> {
    if !multitenancy {
        return Ok(vec![TenantId::single()]);
    }
    let ids = header_of(headers)?.split('|').map(parse).collect::<Result<Vec<_>, _>>();
    let mut ids = ids?;
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > TENANTS_MAX {
        return Err(Failure::invalid(format!(
            "a query of {} tenants, at most {TENANTS_MAX} are allowed",
            ids.len()
        )));
    }
    Ok(ids)
}

fn header_of(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut values = headers.get_all(TENANT_HEADER).iter();
    let Some(value) = values.next() else { return Err(no_org_id()) };
    if values.next().is_some() {
        return Err(Failure::invalid("X-Scope-OrgID is given more than once"));
    }
    value.to_str().map_err(|_| Failure::invalid("X-Scope-OrgID has characters outside ASCII"))
}

fn parse(id: &str) -> Result<TenantId, Failure> {
    TenantId::parse(id).map_err(|error| match error {
        TenantIdError::Empty => no_org_id(),
        error => Failure::invalid(error),
    })
}

fn no_org_id() -> Failure {
    Failure::new(Kind::Unauthenticated, TenantIdError::Empty)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TENANT_HEADER, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn without_multitenancy_the_header_is_not_looked_at() {
        for values in [&[][..], &["a"], &["a/b"], &["a", "b"]] {
            assert_eq!(tenant(&headers(values), false), Ok(TenantId::single()));
            assert_eq!(tenants(&headers(values), false), Ok(vec![TenantId::single()]));
        }
    }

    #[test]
    fn a_missing_tenant_is_unauthenticated_and_a_bad_one_invalid() {
        for (values, kind, text) in [
            (&[][..], Kind::Unauthenticated, "no org id"),
            (&[""], Kind::Unauthenticated, "no org id"),
            (&["a/b"], Kind::Invalid, "tenant ID 'a/b' contains unsupported character '/'"),
            (&["a", "b"], Kind::Invalid, "X-Scope-OrgID is given more than once"),
            (&["ü"], Kind::Invalid, "X-Scope-OrgID has characters outside ASCII"),
        ] {
            let expected = Failure::new(kind, text);
            assert_eq!(tenant(&headers(values), true), Err(expected.clone()), "{values:?}");
            assert_eq!(tenants(&headers(values), true), Err(expected), "{values:?}");
        }
        let one = tenant(&headers(&["a|b"]), true).unwrap_err();
        assert_eq!(one.message, "tenant ID 'a|b' contains unsupported character '|'");
    }

    #[test]
    fn several_tenants_are_sorted_and_each_once() {
        let found = tenants(&headers(&["b|a|b"]), true).unwrap();
        assert_eq!(found.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let many = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join("|");
        let refused = tenants(&headers(&[&many]), true).unwrap_err();
        assert_eq!(refused.message, "a query of 65 tenants, at most 64 are allowed");
    }
}
