//! `pg_dump`'s custom archive (`-Fc`), as bytes: reads versions 1.14 to 1.16, writes each of them.
//!
//! An archive is a header, a table of contents and blocks of data, back to back. This crate takes bytes in and gives
//! bytes out, over `Read` and `Write`; it knows no file, no network, no clock and no SQL beyond the one statement that
//! names the columns of a table's data. Tested by round trips of random archives, by garbage (more of it in
//! `fuzz`), and in the tests of `postgres.dump` with the real `pg_dump` and `pg_restore`.
//!
//! Source of every fact about the format: PostgreSQL 15–18, `pg_backup_archiver.c` and `pg_backup_custom.c`.

pub mod block;
mod columns;
pub mod deflate;
mod downgrade;
mod entry;
mod error;
pub mod frame;
pub mod frames;
mod header;
mod primitive;
mod toc;

pub use columns::columns;
pub use downgrade::{group_numbers, is_group_right, rights_on};
pub use entry::{Entry, Offset, Section, Text};
pub use error::ArchiveError;
pub use header::{Compression, Header, Version};
pub use toc::{Toc, large_objects};
