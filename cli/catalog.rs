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

/// What is known of them offline.
pub(crate) fn catalog() -> Catalog {
    Catalog { providers: providers().into_iter().map(|provider| provider.info).collect() }
}
