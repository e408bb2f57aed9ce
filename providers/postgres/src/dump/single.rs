//! A dump by `pg_dump` alone: its output, passed on as it is.
//!
//! Tested in `tests/dump.rs`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_objects::Uploader;

use super::destination::final_fault;
use super::process::Process;
use super::progress::Meter;

/// Passes the archive on until its end; gives its version.
pub(super) async fn stream(
    cx: &Cx,
    process: &mut Process,
    uploader: &mut Uploader,
    mut meter: Meter,
) -> Result<String, Fault> {
    let mut head = Vec::new();
    loop {
        let chunk = tokio::select! {
            chunk = process.next() => chunk?,
            () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
        };
        let Some(chunk) = chunk else { break };
        if head.len() < HEAD {
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
        }
        tokio::select! {
            written = uploader.write(chunk) => written.map_err(final_fault)?,
            () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
        }
        meter.tell(cx, uploader.received());
    }
    let said = tokio::select! {
        ended = process.end() => ended?,
        () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
    };
    if !said.is_empty() {
        cx.warn(format!("`pg_dump` succeeded, and says: {}", said.join("\n  ")));
    }
    meter.end(cx, uploader.received());
    archive_version(&head)
}

/// `PGDMP` and three bytes of version (`ReadHead` in pg_backup_archiver.c).
const HEAD: usize = 8;

fn archive_version(head: &[u8]) -> Result<String, Fault> {
    match head {
        [b'P', b'G', b'D', b'M', b'P', major, minor, _] => Ok(format!("{major}.{minor}")),
        _ => {
            Err(Fault::failed("`pg_dump` wrote no archive: its output does not begin with `PGDMP`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_tell_their_version() {
        assert_eq!(archive_version(b"PGDMP\x01\x0e\x00").expect("an archive"), "1.14");
        assert!(archive_version(b"-- plain").is_err());
        assert!(archive_version(b"PGD").is_err());
    }
}
