//! The providers of this build.

use pgferry_engine::info::Catalog;
use pgferry_engine::resource::Provider;

/// Every provider, in the order of the documentation.
pub(crate) fn providers() -> Vec<Provider> {
    vec![
        pgferry_linode::provider(),
        pgferry_heroku::provider(),
        pgferry_postgres::provider(),
        pgferry_core::provider(),
    ]
}

/// Every code of a diagnostic or finding: code, title, explanation.
pub(crate) fn codes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let tables = [
        pgferry_engine::codes::CODES,
        pgferry_linode::CODES,
        pgferry_heroku::CODES,
        pgferry_postgres::codes::CODES,
    ];
    tables.into_iter().flatten().copied()
}

/// What is known of them offline.
pub(crate) fn catalog() -> Catalog {
    Catalog { providers: providers().into_iter().map(|provider| provider.info).collect() }
}
