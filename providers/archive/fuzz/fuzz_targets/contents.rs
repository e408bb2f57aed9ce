//! Whatever is read as a table of contents can be written, comes back the same, and can be changed as we change one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pgferry_archive::{Toc, Version, columns, large_objects};

fuzz_target!(|bytes: &[u8]| {
    let Ok(toc) = Toc::read(&mut &bytes[..]) else { return };
    let written = toc.to_bytes().expect("what was read can be written");
    assert_eq!(Toc::read(&mut &written[..]).expect("what was written can be read"), toc);
    for entry in &toc.entries {
        let _is_a_copy = columns(&entry.copy);
        let _lists_some = large_objects(&toc, entry);
    }
    for version in [Version::V1_14, Version::V1_15, Version::V1_16] {
        let mut changed = toc.clone();
        if changed.convert(version).is_err() {
            continue;
        }
        changed.drop_entries(|entry| entry.desc == *"COMMENT");
        changed.blank_owners();
        changed.rearrange(|entry| entry.has_data(), |entry| std::cmp::Reverse(entry.id));
        if changed.put_first("first", "").is_ok() && changed.put_last("last", "").is_ok() {
            let written = changed.to_bytes().expect("what was converted can be written");
            assert_eq!(Toc::read(&mut &written[..]).expect("read again"), changed);
        }
    }
});
