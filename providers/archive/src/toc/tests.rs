//! Random tables of contents there and back, garbage, and what may be changed in one.

use proptest::prelude::*;

use super::*;
use crate::entry::Text;
use crate::header::Compression;

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        Just(Text::NONE),
        "\\PC{0,12}".prop_map(Text::from),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Text::from),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    prop_oneof![
        Just(Section::None),
        Just(Section::PreData),
        Just(Section::Data),
        Just(Section::PostData)
    ]
}

fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![Just(Offset::Unknown), any::<u64>().prop_map(Offset::At), Just(Offset::NoData)]
}

prop_compose! {
    fn entry()(
        (id, catalog, section, offset) in (1..i32::MAX, any::<(u32, u32)>(), section(), offset()),
        texts in prop::array::uniform10(text()),
        relkind in any::<i32>(),
        dependencies in prop::collection::vec(any::<i32>(), 0..4),
    ) -> Entry {
        let [tag, desc, definition, drop, copy, namespace, tablespace, access_method, owner, with_oids] = texts;
        Entry {
            id, catalog, tag, desc, section, definition, drop, copy, namespace, tablespace, access_method, relkind,
            owner, with_oids, dependencies, offset,
        }
    }
}

prop_compose! {
    fn toc()(
        version in prop_oneof![Just(Version::V1_14), Just(Version::V1_15), Just(Version::V1_16)],
        level in 1..=9,
        kind in 0..4,
        made_at in any::<[i32; 7]>(),
        texts in prop::array::uniform3(text()),
        mut entries in prop::collection::vec(entry(), 0..6),
    ) -> Toc {
        let new = version > Version::V1_14;
        let compression = match kind {
            0 => Compression::None,
            2 if new => Compression::Lz4,
            3 if new => Compression::Zstd,
            _ => Compression::Zlib { level: if new { -1 } else { level } },
        };
        let mut seen = BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.id));
        for entry in &mut entries {
            entry.relkind = if version == Version::V1_16 { entry.relkind } else { 0 };
        }
        let [database, server_version, pg_dump_version] = texts;
        let header =
            Header { version, compression, made_at, database, server_version, pg_dump_version };
        Toc { header, entries }
    }
}

proptest! {
    #[test]
    fn there_and_back(toc in toc(), behind in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut bytes = toc.to_bytes().expect("memory");
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        let mut rest = &bytes[..];
        prop_assert_eq!(&Toc::read(&mut rest).expect("what was written"), &toc);
        prop_assert_eq!(rest, &behind[..], "nothing behind it is read");

        // Every shorter piece is known to be one.
        for end in 5..length {
            let error = Toc::read(&mut &bytes[..end]).expect_err("a piece");
            prop_assert!(matches!(error, ArchiveError::Short { .. }), "{} of {}: {}", end, length, error);
        }
    }

    #[test]
    fn offsets_do_not_change_its_length(mut toc in toc(), at in any::<u64>()) {
        let before = toc.to_bytes().expect("memory").len();
        let places = toc.entries.iter().map(|entry| (entry.id, at)).collect();
        let without: Vec<bool> = toc.entries.iter().map(|entry| !entry.has_data()).collect();
        toc.place(&places);
        for (entry, without) in toc.entries.iter().zip(without) {
            let expected = if without { Offset::NoData } else { Offset::At(at) };
            prop_assert_eq!(entry.offset, expected);
        }
        prop_assert_eq!(toc.to_bytes().expect("memory").len(), before);
    }

    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Toc::read(&mut &bytes[..]).is_err());
    }

    /// Nothing but an answer is asked for: no panic, no memory beyond what is there.
    #[test]
    fn damage_is_survived(
        toc in toc(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = toc.to_bytes().expect("memory");
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // What can be read is one that can be changed, and written again.
        let Ok(mut read) = Toc::read(&mut &bytes[..]) else { return Ok(()) };
        for entry in &read.entries {
            let _either = (crate::columns(&entry.copy), large_objects(&read, entry));
        }
        if read.convert(Version::V1_14).is_ok() {
            let written = read.to_bytes().expect("a version that it can say");
            prop_assert_eq!(Toc::read(&mut &written[..]).expect("what was written"), read);
        }
    }
}

fn named(id: i32, desc: &str, tag: &str) -> Entry {
    let mut entry = Entry::statement(id, Section::PreData, tag, "");
    entry.desc = desc.into();
    entry
}

fn of(version: Version, entries: Vec<Entry>) -> Toc {
    let header = Header {
        version,
        compression: Compression::None,
        made_at: [0; 7],
        database: "d".into(),
        server_version: "15".into(),
        pg_dump_version: "17".into(),
    };
    Toc { header, entries }
}

fn listed(toc: &Toc) -> Vec<String> {
    toc.entries.iter().map(|entry| format!("{} {}", entry.id, entry.shown())).collect()
}

#[test]
fn groups_of_large_objects_become_single_ones() {
    let mut group = named(5, "BLOB METADATA", "10..3000000000");
    group.definition = "10\n12\n3000000000\n".into();
    group.owner = "o".into();
    let mut contents = named(6, "BLOBS", "10..3000000000");
    contents.dependencies = vec![5];
    contents.offset = Offset::At(99);
    let comment = named(7, "COMMENT", "LARGE OBJECT 12");
    let mut table = named(8, "TABLE", "t");
    table.relkind = 114;
    let mut rights = named(9, "ACL", "LARGE OBJECTS 10..3000000000");
    rights.definition = "GRANT SELECT ON LARGE OBJECT 10 TO \"a ON LARGE OBJECT 10 \";\nGRANT ALL ON LARGE OBJECT 10 TO b;\n".into();
    rights.dependencies = vec![5];
    let mut toc = of(Version::V1_16, vec![group, contents, comment, table, rights]);
    assert_eq!(large_objects(&toc, &toc.entries[1]).expect("numbers"), [10, 12, 3_000_000_000]);

    toc.convert(Version::V1_14).expect("converted");
    assert_eq!(
        listed(&toc),
        [
            "5 BLOB 10",
            "10 BLOB 12",
            "11 BLOB 3000000000",
            "6 BLOBS 10..3000000000",
            "7 COMMENT LARGE OBJECT 12",
            "8 TABLE t",
            "9 ACL LARGE OBJECT 10",
            "12 ACL LARGE OBJECT 12",
            "13 ACL LARGE OBJECT 3000000000",
        ]
    );
    let right = toc.entry(12).expect("rights on the second object");
    assert!(
        right.definition
            == *"GRANT SELECT ON LARGE OBJECT 12 TO \"a ON LARGE OBJECT 10 \";\nGRANT ALL ON LARGE OBJECT 12 TO b;\n"
    );
    assert_eq!(right.dependencies, [10]);
    let last = toc.entry(11).expect("the last object");
    assert!(last.definition == *"SELECT pg_catalog.lo_create('3000000000');\n");
    assert!(last.drop == *"SELECT pg_catalog.lo_unlink('3000000000');\n");
    assert!(last.owner == *"o" && last.catalog.1 == 3_000_000_000);
    assert_eq!(toc.entry(6).expect("contents").offset, Offset::Unknown);
    assert_eq!(toc.entry(8).expect("a table").relkind, 0);
    assert_eq!(Toc::read(&mut &toc.to_bytes().expect("memory")[..]).expect("read"), toc);
}

#[test]
fn conversions_that_are_refused() {
    let mut empty = named(5, "BLOB METADATA", "1..2");
    empty.definition = "\n".into();
    let mut zstd = of(Version::V1_16, vec![]);
    zstd.header.compression = Compression::Zstd;
    let said = |toc: &Toc, version| toc.clone().convert(version).expect_err("refused").to_string();
    assert_eq!(
        said(&of(Version::V1_16, vec![empty]), Version::V1_15),
        "the archive is damaged: BLOB METADATA 1..2 lists no large objects"
    );
    assert_eq!(
        said(&zstd, Version::V1_14),
        "the archive is of another kind: version 1.14 knows no Zstd"
    );
    let mut old = of(Version::V1_14, vec![named(6, "TABLE", "t")]);
    old.convert(Version::V1_15).expect("its header can say more");
    old.header.compression = Compression::Zstd;
    assert_eq!(Toc::read(&mut &old.to_bytes().expect("memory")[..]).expect("read"), old);
    assert_eq!(
        said(&of(Version::V1_14, vec![]), Version::V1_16),
        "the archive is of another kind: it has version 1.14, which does not become 1.16"
    );
}

#[test]
fn entries_are_added_dropped_and_rearranged() {
    let mut encoding = named(1, "ENCODING", "ENCODING");
    encoding.definition = "SET client_encoding = 'LATIN1';\n".into();
    let entries = vec![
        encoding,
        named(2, "SEARCHPATH", "SEARCHPATH"),
        named(3, "TABLE", "a"),
        named(4, "TABLE DATA", "a"),
        named(5, "SEQUENCE SET", "s"),
        named(6, "TABLE DATA", "b"),
        named(7, "COMMENT", "EXTENSION x"),
    ];
    let mut toc = of(Version::V1_14, entries);
    assert_eq!(toc.encoding(), Some("LATIN1"));
    toc.entries[2].owner = "somebody".into();
    toc.drop_entries(|entry| {
        entry.desc == *"COMMENT" && entry.tag.shown().starts_with("EXTENSION ")
    });
    toc.blank_owners();
    toc.rearrange(|entry| entry.desc == *"TABLE DATA", |entry| std::cmp::Reverse(entry.id));
    toc.put_first("settings", "SET maintenance_work_mem = '1GB';\n").expect("added");
    toc.put_last("statistics", "ANALYZE;\n").expect("added");
    assert_eq!(
        listed(&toc),
        [
            "1 ENCODING ENCODING",
            "2 SEARCHPATH SEARCHPATH",
            "7 PGFERRY settings",
            "3 TABLE a",
            "6 TABLE DATA b",
            "5 SEQUENCE SET s",
            "4 TABLE DATA a",
            "8 PGFERRY statistics",
        ]
    );
    assert!(toc.entry(3).expect("the table").owner == *"");
}

#[test]
fn an_entry_whose_number_is_taken_is_damage() {
    let toc = of(Version::V1_14, vec![named(2, "TABLE", "a"), named(2, "TABLE", "b")]);
    let error = Toc::read(&mut &toc.to_bytes().expect("memory")[..]).expect_err("twice the same");
    assert_eq!(error.to_string(), "the archive is damaged: two entries are number 2");
}
