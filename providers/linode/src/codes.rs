//! The codes of this provider's findings: code, title, explanation.

/// Each code with its title and what to do about it.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        "PGF1401",
        "the database is not active",
        "Linode works on the database (an update, a resize, a migration) or it is degraded. Connections may break. Wait \
         until its status is `active`.",
    ),
    (
        "PGF1402",
        "how far back the backups reach",
        "Linode keeps backups by itself; this is the oldest time to which the source could be restored, should anything \
         go wrong. Nothing needs to be done.",
    ),
    (
        "PGF1403",
        "no backup is proved",
        "Linode tells no time to which the source could be restored. pgferry does not write to it, but make a backup of \
         your own before you move anything.",
    ),
    (
        "PGF1411",
        "encrypted at rest by statement",
        "Nothing in an answer of the store proves encryption. Akamai states that all buckets on E2 and E3 endpoints are \
         encrypted at rest by default (rolled out between 2026-10-06 and 2026-11-16).",
    ),
    (
        "PGF1412",
        "encryption at rest is not known",
        "`encryption: required` asks for a bucket that is encrypted at rest. E0 and E1 endpoints are not; use \
         `endpoint_type: E3`, in a region that has it.",
    ),
    (
        "PGF1413",
        "the endpoint is not set up yet",
        "The region is announced, but its S3 endpoint has no address. Choose another region or `endpoint_type`.",
    ),
    (
        "PGF1414",
        "a bucket that strangers can use",
        "A dump holds all data of the database. Leave out `acl`, or set it to `private`.",
    ),
    (
        "PGF1415",
        "no such endpoint in the region",
        "The region has no Object Storage, or none of that generation. The message lists what it has.",
    ),
];
