//! Lists by the `Range` header: `Range: name ]last..; max=200, order=desc`, 206 and `Next-Range` when there is more.
//!
//! Tested here.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::refusal::Refusal;

#[derive(Debug, PartialEq, Eq)]
struct Range {
    property: String,
    /// The last value of the page before.
    after: Option<String>,
    max: usize,
    descending: bool,
}

impl Range {
    fn parse(text: Option<&str>, allowed: &[&str]) -> Option<Self> {
        let Some(text) = text else {
            return Some(Self {
                property: (*allowed.first()?).to_owned(),
                after: None,
                max: 200,
                descending: false,
            });
        };
        let (span, options) = text.split_once(';').unwrap_or((text, ""));
        let (property, interval) = span.trim().split_once(' ').unwrap_or((span.trim(), ".."));
        if !allowed.contains(&property) {
            return None;
        }
        let start = interval.split("..").next().unwrap_or_default().trim().trim_start_matches('[');
        let after = start.strip_prefix(']').map(str::to_owned);
        let option = |name: &str| {
            options
                .split([',', ';'])
                .find_map(|option| option.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let max = option("max")
            .map_or(Ok(200), str::parse)
            .ok()
            .filter(|max| (1..=1000).contains(max))?;
        Some(Self {
            property: property.to_owned(),
            after,
            max,
            descending: option("order") == Some("desc"),
        })
    }
}

/// The value of a property as clients see it.
fn plain(item: &Value, property: &str) -> String {
    match &item[property] {
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// The same value in a form that sorts numbers by size.
fn sortable(item: &Value, property: &str) -> String {
    let plain = plain(item, property);
    if item[property].is_number() { format!("{plain:0>12}") } else { plain }
}

/// One page of `items` as the request's `Range` asks for; by the first of `properties` if it does not say.
pub(super) fn page(headers: &HeaderMap, properties: &[&str], mut items: Vec<Value>) -> Response {
    let asked = headers.get("range").and_then(|range| range.to_str().ok());
    let Some(range) = Range::parse(asked, properties) else {
        let refusal = Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "requested_range_not_satisfiable",
            "Cannot satisfy the range.",
        );
        return refusal.into_response();
    };
    items.sort_by_cached_key(|item| sortable(item, &range.property));
    if range.descending {
        items.reverse();
    }
    if let Some(after) = &range.after {
        let passed = items.iter().position(|item| plain(item, &range.property) == *after);

        items.drain(..passed.map_or(0, |position| position + 1));
    }
    let more = items.len() > range.max;
    items.truncate(range.max);
    let edge =
        |item: Option<&Value>| item.map(|item| plain(item, &range.property)).unwrap_or_default();
    let (first, last) = (edge(items.first()), edge(items.last()));
    let status = if more { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, Json(items)).into_response();
    let mut put = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    };
    put("accept-ranges", properties.join(", "));
    put("content-range", format!("{} {first}..{last}", range.property));
    if more {
        let order = if range.descending { ", order=desc" } else { "" };
        put("next-range", format!("{} ]{last}..; max={}{order}", range.property, range.max));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(range: &str) -> (StatusCode, Option<String>) {
        let headers = HeaderMap::from_iter([(
            "range".parse().unwrap(),
            HeaderValue::from_str(range).unwrap(),
        )]);
        let items = (1..=12).map(|version| json!({ "version": version })).collect();
        let response = page(&headers, &["version"], items);
        let next =
            response.headers().get("next-range").map(|next| next.to_str().unwrap().to_owned());
        (response.status(), next)
    }

    #[test]
    fn pages_follow_one_another() {
        assert_eq!(
            ask("version ..; max=5"),
            (StatusCode::PARTIAL_CONTENT, Some("version ]5..; max=5".into()))
        );
        assert_eq!(ask("version ]5..; max=5").1, Some("version ]10..; max=5".into()));
        assert_eq!(ask("version ]10..; max=5"), (StatusCode::OK, None));
        assert_eq!(
            ask("version ..; order=desc,max=1").1,
            Some("version ]12..; max=1, order=desc".into())
        );
        assert_eq!(ask("colour ..").0, StatusCode::RANGE_NOT_SATISFIABLE);
    }
}
