//! The texts of an archive's table of contents, as UTF-8 whatever their encoding: the server knows them all.
//!
//! Tested in `tests/restore.rs` with an archive in Latin 1.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_archive::{Entry as Line, Text, Toc};
use pgferry_engine::fault::Fault;

use crate::connect::Session;

/// Texts that are not ASCII, by their bytes.
pub(super) struct Texts(BTreeMap<Vec<u8>, String>);

impl Texts {
    /// Has `session` read those of `toc`, where they are not UTF-8.
    ///
    /// # Errors
    /// The server does not know the encoding, or a text is none in it.
    pub(super) async fn of(toc: &Toc, session: &Session) -> Result<Self, Fault> {
        let encoding = toc.encoding().unwrap_or("UTF8");
        let odd: BTreeSet<&[u8]> = toc
            .entries
            .iter()
            .flat_map(|entry| {
                let Line { tag, definition, drop, copy, namespace, owner, .. } = entry;
                [tag, definition, drop, copy, namespace, owner]
            })
            .filter_map(Text::bytes)
            .filter(|bytes| !bytes.is_ascii())
            .collect();
        if matches!(encoding, "UTF8" | "SQL_ASCII") {
            let read =
                |bytes: &[u8]| Some((bytes.to_vec(), str::from_utf8(bytes).ok()?.to_owned()));
            let known: Option<BTreeMap<_, _>> = odd.into_iter().map(read).collect();
            return known.map(Self).ok_or_else(|| {
                Fault::failed("reading the archive's names: they are in no known encoding")
            });
        }
        let odd: Vec<&[u8]> = odd.into_iter().collect();
        let statement = "select convert_from(b, $2) from unnest($1::bytea[]) with ordinality as t (b, n) order by n";
        let rows = session
            .query(statement, &[&odd, &encoding])
            .await
            .map_err(|cause| session.fault(&format!("reading names in {encoding}"), cause))?;
        let known = odd.iter().zip(&rows).map(|(bytes, row)| (bytes.to_vec(), row.get(0)));
        Ok(Self(known.collect()))
    }

    /// Of an archive in plain ASCII.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// `text` as UTF-8; empty if there is none.
    pub(super) fn read(&self, text: &Text) -> String {
        let bytes = text.bytes().unwrap_or_default();
        match str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => text.to_owned(),
            _ => self.0.get(bytes).cloned().unwrap_or_default(),
        }
    }
}
