//! What one question may take: the settings of all questions with the limits of the tenants that it asks over them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::times::print_go;
use super::{Api, Call, Config};
use crate::failure::{Failure, Kind};
use crate::runtime::Turn;
use crate::tenant::{Read, TenantId};

/// The settings for a question to tenants with these limits.
pub(super) fn config_of(config: &Config, read: &Read) -> Config {
    let shorter = |own: Duration, common: Duration| if own.is_zero() { common } else { own };
    let mut config = config.clone();
    config.max_duration = shorter(read.max_search_duration, config.max_duration);
    config.metrics.max_duration = shorter(read.max_metrics_duration, config.metrics.max_duration);
    config.left_pad_trace_ids |= read.left_pad_trace_ids;
    config
}

impl Api {
    /// Waits for the turn of a question to these tenants.
    pub(crate) async fn turn(&self, call: &Call) -> Turn {
        let names: Vec<&str> = call.tenants.iter().map(TenantId::as_str).collect();
        self.turns.take(&names.join("|")).await
    }

    /// Waits for a turn and then for an answer, but not for ever.
    pub(crate) async fn within<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.in_time(Box::pin(self.in_turn(call, answer))).await
    }

    /// As [`Api::within`], for a trace by its id.
    pub(crate) async fn within_lookup<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = (self.config.trace_by_id_timeout, "querier.trace_by_id.query_timeout");
        self.limited(limit, Box::pin(self.in_turn(call, answer))).await
    }

    /// Waits for an answer that takes its turn itself.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = (self.config.search_timeout, "querier.search.query_timeout");
        self.limited(limit, answer).await
    }

    async fn in_turn<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let _turn = self.turn(call).await;
        answer.await
    }

    async fn limited<T>(
        &self,
        own: (Duration, &str),
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let common = (self.config.api_timeout, "query_frontend.api_timeout");
        let limits = [own, common].into_iter().filter(|(time, _)| !time.is_zero());
        let Some((time, key)) = limits.min_by_key(|(time, _)| *time) else { return answer.await };
        tokio::time::timeout(time, answer).await.unwrap_or_else(|_| {
            let text = "unable to process request in the configured timeout";
            Err(Failure::new(Kind::Timeout, format!("{text} ({key}: {time:?})")))
        })
    }
}

impl Call {
    /// Refuses a list of names or values that is too long to be told.
    pub(crate) fn check_list<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Failure> {
        let max = self.read.max_bytes_per_tag_values_query;
        let bytes: u64 = texts.into_iter().map(|text| text.len() as u64).sum();
        if max == 0 || bytes <= max {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "the list has {bytes} bytes, at most {max} are told (overrides: read.max_bytes_per_tag_values_query): ask for \
             fewer with a filter or a limit"
        )))
    }

    /// Refuses a range of time (Unix nanoseconds) that is longer than the tenants allow for searches. For questions that
    /// have no bound in common.
    pub(crate) fn check_search(&self, window: &RangeInclusive<u64>) -> Result<(), Failure> {
        check(window, self.read.max_search_duration, "read.max_search_duration")
    }

    /// As [`Call::check_search`], for metrics.
    pub(crate) fn check_metrics(&self, window: &RangeInclusive<u64>) -> Result<(), Failure> {
        check(window, self.read.max_metrics_duration, "read.max_metrics_duration")
    }
}

fn check(window: &RangeInclusive<u64>, max: Duration, key: &str) -> Result<(), Failure> {
    let asked = Duration::from_nanos(window.end().saturating_sub(*window.start()));
    if max.is_zero() || asked <= max {
        return Ok(());
    }
    let (asked, max) = (print_go(asked), print_go(max));
    Err(Failure::invalid(format!("a time range of {asked} exceeds {max} (overrides: {key})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_bounds_go_before_those_of_all() {
        let config = Config::default();
        assert_eq!(config_of(&config, &Read::default()), config);
        let read = Read {
            max_search_duration: Duration::from_hours(1),
            max_metrics_duration: Duration::from_hours(500),
            left_pad_trace_ids: true,
            ..Read::default()
        };
        let own = config_of(&config, &read);
        assert_eq!(own.max_duration, Duration::from_hours(1));
        assert_eq!(own.metrics.max_duration, Duration::from_hours(500));
        assert!(own.left_pad_trace_ids);
    }

    #[test]
    fn a_range_is_refused_with_the_setting() {
        let hour = Duration::from_hours(1);
        let window = |seconds: u64| 0..=seconds * 1_000_000_000;
        assert_eq!(check(&window(3600), hour, "k"), Ok(()));
        assert_eq!(check(&window(u64::MAX / 2_000_000_000), Duration::ZERO, "k"), Ok(()));
        let text = check(&window(3601), hour, "k").unwrap_err().message;
        assert_eq!(text, "a time range of 1h0m1s exceeds 1h0m0s (overrides: k)");
    }
}
