//! Jaeger's service performance monitoring: latencies, calls and errors of services over time, computed from spans by TraceQL.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, request};
use serde_json::{Value, json};

use super::super::Shared;
use super::super::found::answered;
use super::super::wanted::service_is;
use super::legacy::{Refused, service_name};
use super::params::{millis, nanos};
use crate::api::{Api, Call, Params, with_cost};
use crate::failure::{Failure, Kind};
use crate::querier::{Cost, MetricsRequest};
use crate::trace::Value as Attribute;
use crate::traceql::Slots;

/// How far back is looked if the request does not say.
const BACK: Duration = Duration::from_hours(1);

/// The length of a slot if the request does not say, and the shortest one.
const STEP: Duration = Duration::from_secs(5);
const STEP_MIN: Duration = Duration::from_millis(1);

/// Most steps in an answer if the configuration sets no bound.
const STEPS_MAX: u64 = 10_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// A quantile, from 0 to 1.
    Latencies(f64),
    Calls,
    Errors,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    metric: Metric,
    services: Vec<String>,
    by_operation: bool,
    /// In TraceQL's words.
    kinds: Vec<&'static str>,
    /// Unix nanoseconds.
    start: u64,
    end: u64,
    /// Nanoseconds.
    step: u64,
}

/// Labels in the order of the answer, and samples by milliseconds; NaN where there is nothing to tell.
type Series = BTreeMap<Vec<String>, BTreeMap<u64, f64>>;

/// `/api/metrics/{latencies,calls,errors,minstep}`.
pub(super) async fn answer(
    State(api): Shared,
    Path(metric): Path<String>,
    request: request::Parts,
) -> Result<Response, Refused> {
    let call = api.enter(&request)?;
    let metric = match metric.as_str() {
        "latencies" => Metric::Latencies(quantile(&call.params)?),
        "calls" => Metric::Calls,
        "errors" => Metric::Errors,
        "minstep" => {
            let millis = STEP_MIN.as_millis();
            let envelope =
                json!({"data": millis, "total": 0, "limit": 0, "offset": 0, "errors": null});
            return Ok(answered(&envelope));
        }
        _ => return Ok((StatusCode::NOT_FOUND, "404 page not found\n").into_response()),
    };
    let asked = asked(metric, &call.params, api.now())?;
    let (series, cost) = asked.series(&api, &call).await?;
    Ok(with_cost(answered(&asked.family(&series)), &cost))
}

fn quantile(params: &Params) -> Result<f64, Failure> {
    let text = params.get("quantile").ok_or_else(|| {
        Failure::invalid("unable to parse param 'quantile': it is required, from 0 to 1")
    })?;
    let quantile = text.parse::<f64>().ok().filter(|quantile| (0.0..=1.0).contains(quantile));
    quantile.ok_or_else(|| {
        Failure::invalid(format!("unable to parse param 'quantile': {text:?} is not from 0 to 1"))
    })
}

fn asked(metric: Metric, params: &Params, now: u64) -> Result<Asked, Failure> {
    let services: Vec<String> = params.all("service").map(str::to_owned).collect();
    if services.is_empty() {
        return Err(Failure::invalid(
            "unable to parse param 'service': please provide at least one service name",
        ));
    }
    let kinds: Result<Vec<_>, _> = params.all("spanKind").map(kind).collect();
    let mut kinds = kinds?;
    if kinds.is_empty() {
        kinds.push("server");
    }
    let end = millis(params, "endTs")?.unwrap_or(now);
    let back = millis(params, "lookback")?.unwrap_or(nanos(BACK));
    let step = millis(params, "step")?.unwrap_or(nanos(STEP));
    if back == 0 || step == 0 {
        return Err(Failure::invalid("lookback and step must be greater than 0"));
    }
    let by_operation = match params.get("groupByOperation") {
        None | Some("false") => false,
        Some("true") => true,
        Some(text) => {
            let text = format!("unable to parse param 'groupByOperation': {text:?}");
            return Err(Failure::invalid(text));
        }
    };
    Ok(Asked { metric, services, by_operation, kinds, start: end.saturating_sub(back), end, step })
}

fn kind(text: &str) -> Result<&'static str, Failure> {
    let lower = text.to_ascii_lowercase();
    let word = lower.strip_prefix("span_kind_").unwrap_or(&lower);
    let known = ["server", "client", "producer", "consumer", "internal", "unspecified"];
    known.into_iter().find(|known| *known == word).ok_or_else(|| {
        Failure::invalid(format!(
            "unable to parse param 'spanKind': unsupported span kind: {text:?}"
        ))
    })
}

impl Asked {
    async fn series(&self, api: &Api, call: &Call) -> Result<(Series, Cost), Failure> {
        let all = self.filter();
        match self.metric {
            Metric::Latencies(quantile) => {
                let query = format!("{{ {all} }} | quantile_over_time(duration, {quantile:?})");
                let (mut series, cost) = self.computed(api, call, query).await?;
                // A slot without spans has no latency; others are told in milliseconds.
                for value in series.values_mut().flat_map(BTreeMap::values_mut) {
                    *value = if *value == 0.0 { f64::NAN } else { *value * 1e3 };
                }
                Ok((series, cost))
            }
            Metric::Calls => self.computed(api, call, format!("{{ {all} }} | rate()")).await,
            Metric::Errors => {
                let calls = format!("{{ {all} }} | rate()");
                let (mut series, mut cost) = self.computed(api, call, calls).await?;
                let errors = format!("{{ {all} && status = error }} | rate()");
                let (errors, more) = self.computed(api, call, errors).await?;
                cost.add(more);
                for (labels, samples) in &mut series {
                    let failed = errors.get(labels);
                    for (time, calls) in samples {
                        let failed = failed.and_then(|failed| failed.get(time)).copied();
                        *calls = failed.unwrap_or(0.0) / *calls;
                    }
                }
                Ok((series, cost))
            }
        }
    }

    fn filter(&self) -> String {
        let services: Vec<String> =
            self.services.iter().map(|service| service_is(service)).collect();
        let kinds: Vec<String> = self.kinds.iter().map(|kind| format!("kind = {kind}")).collect();
        format!("({}) && ({})", services.join(" || "), kinds.join(" || "))
    }

    async fn computed(
        &self,
        api: &Api,
        call: &Call,
        query: String,
    ) -> Result<(Series, Cost), Failure> {
        call.check_metrics(&(self.start..=self.end))?;
        let steps_max = match api.config.metrics.max_intervals as u64 {
            0 => STEPS_MAX,
            max => max,
        };
        if (self.end - self.start) / self.step > steps_max {
            let text = format!("step is too small: at most {steps_max} steps are allowed");
            return Err(Failure::invalid(text));
        }
        let operation = if self.by_operation { ", name" } else { "" };
        let request = MetricsRequest {
            query: format!("{query} by (resource.service.name{operation})"),
            slots: Slots::of_range_until(self.start, self.end, self.step, api.now()),
            exemplars: 0,
            exemplars_max: 0,
            max_series: 0,
        };
        let found =
            api.within(call, Box::pin(api.parts.querier.metrics(&call.tenants, request))).await?;
        if found.is_cut {
            return Err(Failure::new(Kind::Internal, "an answer in part"));
        }
        let labels = |labels: &[(String, Attribute)]| {
            let text = |name: &str| match labels.iter().find(|(label, _)| label == name) {
                Some((_, Attribute::String(text))) => text.clone(),
                _ => String::new(),
            };
            let mut values = vec![service_name(&text("resource.service.name")).to_owned()];
            if self.by_operation {
                values.push(text("name"));
            }
            values
        };
        let mut series = Series::new();
        for one in found.series {
            series.entry(labels(&one.labels)).or_default().extend(one.samples);
        }
        Ok((series, found.cost))
    }

    /// The answer: what Prometheus calls a metric family.
    fn family(&self, series: &Series) -> Value {
        let (name, help) = match self.metric {
            Metric::Latencies(quantile) => {
                ("latencies", format!("{quantile}th quantile latency, grouped by service"))
            }
            Metric::Calls => ("call_rate", "calls/sec, grouped by service".to_owned()),
            Metric::Errors => {
                ("error_rate", "error rate, computed as a fraction of errors/sec over calls/sec, grouped by service".to_owned())
            }
        };
        let (grouped, more) =
            if self.by_operation { ("_operation", " & operation") } else { ("", "") };
        let metric = |(labels, samples): (&Vec<String>, &BTreeMap<u64, f64>)| {
            let labels = ["service_name", "operation"].iter().zip(labels);
            let labels = labels.map(|(name, value)| json!({"name": name, "value": value}));
            json!({
                "labels": labels.collect::<Vec<_>>(),
                "metricPoints": samples.iter().map(point).collect::<Vec<_>>(),
            })
        };
        json!({
            "name": format!("service{grouped}_{name}"),
            "type": "GAUGE",
            "help": format!("{help}{more}"),
            "metrics": series.iter().map(metric).collect::<Vec<_>>(),
        })
    }
}

fn point((millis, value): (&u64, &f64)) -> Value {
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(*millis);
    let value = if value.is_finite() { json!(value) } else { json!("NaN") };
    json!({
        "gaugeValue": {"doubleValue": value},
        "timestamp": humantime::format_rfc3339(time).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Asked, String> {
        let params = Params::of(&format!("/x?{text}").parse().unwrap());
        asked(Metric::Calls, &params, 1_000_000_000_000).map_err(|failure| failure.message)
    }

    #[test]
    fn what_the_monitor_page_asks_is_read() {
        let text = "service=a&service=b&groupByOperation=true&endTs=1000000&lookback=600000&step=60000\
            &ratePer=600000&spanKind=server&spanKind=SPAN_KIND_CLIENT";
        let expected = Asked {
            metric: Metric::Calls,
            services: vec!["a".to_owned(), "b".to_owned()],
            by_operation: true,
            kinds: vec!["server", "client"],
            start: 400_000_000_000,
            end: 1_000_000_000_000,
            step: 60_000_000_000,
        };
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(
            expected.filter(),
            r#"(resource.service.name = "a" || resource.service.name = "b") && (kind = server || kind = client)"#
        );
        assert_eq!(read("service=a").unwrap().kinds, ["server"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, expected) in [
            ("", "please provide at least one service name"),
            ("service=a&spanKind=odd", "unsupported span kind: \"odd\""),
            ("service=a&step=0", "must be greater than 0"),
            ("service=a&groupByOperation=x", "groupByOperation"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn a_gap_is_a_text() {
        let point = point((&1_790_000_000_500, &f64::NAN));
        assert_eq!(
            point,
            json!({"gaugeValue": {"doubleValue": "NaN"}, "timestamp": "2026-09-21T14:13:20.500000000Z"})
        );
    }
}
