//! The findings of this crate: code, title, and what to do about it.

/// `(code, title, explanation with remedy)`, by code.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        "PGF1100",
        "Versions and size",
        "Tells which versions meet: the source's server, the `pg_dump` that was chosen (the oldest that is at least as \
         new as the source), and the target's server. Nothing needs to be done.",
    ),
    (
        "PGF1101",
        "No pg_dump found",
        "pgferry looks for `pg_dump` in PGFERRY_PG_BIN (and then nowhere else), in PATH, in /usr/lib/postgresql/*/bin \
         and in Homebrew. Install the client programs of the source's version: `apt-get install postgresql-client-16`, \
         `brew install postgresql@16`.",
    ),
    (
        "PGF1102",
        "pg_dump is older than the source",
        "`pg_dump` refuses to dump a server that is newer than itself. Install the client programs of the source's \
         version or a later one.",
    ),
    (
        "PGF1103",
        "The target cannot read the archive",
        "Each `pg_dump` writes one archive format: 12 to 15 write 1.14, 16 writes 1.15, 17 and later write 1.16. A \
         `pg_restore` reads its own format and older ones. Leave out `method: pg_dump`: other dumps are turned into 1.14. \
         Or install the `pg_dump` of the source's own version, or choose a newer target.",
    ),
    (
        "PGF1104",
        "The target is older than the source",
        "A dump may hold what an older server does not understand. Choose a target of the same or a later version.",
    ),
    (
        "PGF1105",
        "The database does not fit the plan",
        "The source takes more room than the target's plan offers, or nearly all of it. Choose a larger plan: an \
         in-place change within the tier is an update of the spec.",
    ),
    (
        "PGF1106",
        "A large database",
        "A move by dump and restore is advised up to 100 GB (up to 20 GB where Heroku's own tools restore it), because \
         writers must stay away until it is done. Plan the window accordingly, or leave old data out.",
    ),
    (
        "PGF1107",
        "A connection pooler lends its sessions",
        "A pooler in transaction or statement mode hands the statements of one client to several server processes: \
         snapshots and settings get lost, and what is set in one session reaches other clients. pgferry sets nothing \
         there and refuses it as source and as target. Give the URL of the server itself, often another port or host \
         name; the message names it where the provider is known. A pool in session mode will do.",
    ),
    (
        "PGF1108",
        "Tables that may not be read",
        "`pg_dump` stops at the first table that its user may not read. Grant SELECT on tables and sequences, use their \
         owner, or leave them out with `exclude_tables`.",
    ),
    (
        "PGF1109",
        "Row security hides rows",
        "With row-level security the user sees only some rows, and a dump would silently be incomplete; `pg_dump` \
         refuses. Use the tables' owner or a role with BYPASSRLS.",
    ),
    (
        "PGF1110",
        "What the target gets in another form, or not at all",
        "Publications, subscriptions and tablespaces never come along. A copy, and an archive that is written `for` a target, \
         leave out what the target's role may not make: event triggers, comments on extensions, security labels without a \
         provider, owners and rights of roles that are not there. A role that is no superuser gives objects to roles that it \
         is a member of, if they may make objects in that schema. For Heroku these are all owners and all rights, since its restore ignores \
         them; so they are without `for`, and with `method: pg_dump`. What is left out belongs to the restoring role, and \
         rights of functions that were taken from everybody come back. Set up on the target what you still need.",
    ),
    (
        "PGF1111",
        "Large objects",
        "Large objects come along with their numbers. Many thousands of them are slow to restore, since each is made on \
         its own.",
    ),
    (
        "PGF1112",
        "Prepared transactions",
        "A prepared transaction is neither committed nor rolled back; its changes are in no dump and it holds locks. End \
         it with COMMIT PREPARED or ROLLBACK PREPARED.",
    ),
    (
        "PGF1113",
        "Long transactions",
        "A transaction that is open while the snapshot is taken may commit changes later that the dump does not hold. \
         Find it in pg_stat_activity and let it end.",
    ),
    (
        "PGF1114",
        "Different encodings",
        "Text is converted while it is restored. Characters that the target's encoding lacks make the restore fail. \
         Choose a target with the source's encoding or with UTF8.",
    ),
    (
        "PGF1115",
        "Different collations",
        "Indexes are built anew on the target, so they are consistent; but ORDER BY on text, and comparisons such as \
         `name > 'm'`, may give another result. Test queries that depend on it, or use COLLATE.",
    ),
    (
        "PGF1116",
        "The server's certificate is not verified",
        "The connection is encrypted, but anybody in between could pose as the server. Give the authority's certificate \
         as `ca_certificate` where the provider has one.",
    ),
    (
        "PGF1117",
        "What the archive does besides",
        "An archive that is written `for` a target sets the session that restores it up for the work: more memory to make \
         indexes (an eighth of the server's, at most 256 MB), and no wait for the disk at each statement, which is made good \
         at the end. Last comes `ANALYZE`, so that queries are planned well from the first minute.",
    ),
    (
        "PGF1118",
        "zstd by `pg_dump`",
        "`compression: zstd` is made by pgferry itself, with `method: parallel`, the default. A `pg_dump` may be built \
         without it, and those before 16 do not know it. Leave `method` or `compression` out.",
    ),
    (
        "PGF1150",
        "pg_dump is older than the source's minor version",
        "Several `pg_dump` of one major version may be installed; pgferry takes one that is at least as new as the source's \
         server. Here there is none. What a later minor version keeps in the catalogue for itself may then be taken for part \
         of an object, as `pg_attver` of PostgreSQL 15.20 is by 15.18 (pgferry takes that one out). Update the client \
         programs, or name the folder of newer ones in PGFERRY_PG_BIN.",
    ),
    (
        "PGF1151",
        "SECURITY DEFINER functions get another owner",
        "Such a function acts with the rights of its owner. The target lacks that role, or the role that restores may not \
         give objects to it, so the function acts as the restoring role: of a superuser, everybody who may run it can \
         do whatever it does without limits. Make the roles on the target before the move and connect as a superuser, or \
         as an ordinary role that is a member of them; or revoke and drop the functions.",
    ),
    (
        "PGF1152",
        "What a database has of its own",
        "Rights on the database itself, its connection limit and comment, settings of roles in it (`ALTER ROLE … IN DATABASE \
         … SET`) and of the roles that own or use something in it are no part of what a copy or dump holds. Settings of the \
         database for everybody come by `postgres.settings`; with `also: [roles, connection_limit, comment]` beside `like` it \
         carries over those of roles in the database, the limit and the comment as well. Set the rest on the target where it \
         is still wanted.",
    ),
    (
        "PGF1160",
        "Too many tables for the server's locks",
        "A dump and a copy hold a lock on every table and sequence from their snapshot to the last row, so that none is emptied \
         or rewritten meanwhile; the `pg_dump` of a proof locks every table of both ends. A server plans for \
         max_locks_per_transaction times the processes it allows (max_connections, max_prepared_transactions, \
         autovacuum_max_workers, max_worker_processes, max_wal_senders) locks of all its users together. It sets memory aside \
         for half of them; for the rest, and for about as many again, there is some as long as nothing else has taken it. \
         Then it refuses with \"out of shared memory\". A warning says that it may, an error that it will. Raise max_locks_per_transaction there, which takes a restart, or have its provider do so.",
    ),
    (
        "PGF1201",
        "The target is not empty",
        "A restore deletes what the target holds. It is refused unless the target is empty or holds nothing but what \
         pgferry's own restore put there, unwritten since. If what is there may be lost, say so for one run with \
         `--confirm ADDRESS=NAME`. What was there before the first run and holds no data (schemas with their rights, foreign \
         servers, languages and the like) stays; what appeared later and is not pgferry's is refused by name. \
         `heroku.restore` drops everything, so it is refused while anything but its own and extensions exists.",
    ),
    (
        "PGF1211",
        "`confirm` does not name the target",
        "A copy or restore replaces what its target holds, so `confirm` must repeat the name of it: of the add-on, the app or the \
         database. Look at both names before you change one.",
    ),
    (
        "PGF1212",
        "Source and target are one database",
        "Both URLs lead to the same database of the same server. A copy empties its target first, so it would delete \
         what it is to copy. Let `into` be another database.",
    ),
    (
        "PGF1213",
        "The target cannot be filled",
        "It is a standby, read only by default, or behind a pooler. Name the server itself, and one that takes writes.",
    ),
    (
        "PGF1214",
        "The target's role may not create",
        "Schemas, or tables in `public`, will be refused to this role, and the copy or restore fails if the source has any. \
         Connect as the database's owner, or grant it CREATE.",
    ),
    (
        "PGF1215",
        "Few sessions are left",
        "A copy takes `jobs` sessions and four more of the source; a copy or restore takes twice `jobs` and two more of the \
         target. With fewer it is slower; without the few more it cannot work. End other sessions, set fewer `jobs`, or raise the limits.",
    ),
    (
        "PGF1301",
        "The target cannot have an extension",
        "The target's server does not offer it, or its provider does not allow it. List it in `exclude` if the \
         application can do without; whatever depends on it will fail to restore.",
    ),
    (
        "PGF1302",
        "Another version of an extension",
        "The target installs another version of the extension than the source has. Usually harmless; see the \
         extension's release notes.",
    ),
    (
        "PGF1303",
        "Extensions to be installed",
        "Tells which extensions are missing on the target and will be installed.",
    ),
    (
        "PGF1311",
        "Settings that are not carried over",
        "The source's server runs with other values than the target's. Settings of the server are not copied by \
         themselves: name those you want in `include`. The diff is printed when the settings are applied.",
    ),
    (
        "PGF1312",
        "A setting the target does not know",
        "The source database sets a parameter that the target's server has not, for example of an extension that is not \
         loaded there. It is listed as unportable. List it in `exclude` to silence this.",
    ),
    (
        "PGF1175",
        "Settings of a role that the target does not have",
        "`postgres.settings` is to carry over what a role has set for itself in the database (`ALTER ROLE … IN DATABASE … \
         SET`), and the target's server has no such role. Make the role there before; else its settings are left out and \
         listed as unportable. Where `roles` names them, that is an error.",
    ),
    (
        "PGF1140",
        "No pg_dump reads both servers",
        "A verification compares what `pg_dump` writes of both databases, and `pg_dump` reads servers up to its own \
         version. Install the client programs of the newer server's version, name their folder in `PGFERRY_PG_BIN`, or \
         set `objects: false` to compare rows and contents alone.",
    ),
    (
        "PGF1321",
        "What the verification leaves out",
        "Tells which tables are not compared because `exclude_tables` names them, and which comparisons are switched off.",
    ),
    (
        "PGF1331",
        "A database that this role may not freeze",
        "Only the owner of a database and superusers may set what its sessions begin with. Let the source's URL name the \
         owner, or make the role a member of it.",
    ),
    (
        "PGF1332",
        "Sessions that cannot be ended",
        "A session keeps the settings it began with, so who is connected when a database is frozen goes on writing until \
         it reconnects. To end the sessions of other roles, the role needs their rights or `pg_signal_backend`.",
    ),
    (
        "PGF1333",
        "Sessions of superusers",
        "Nobody but a superuser may end them. With a hosting provider they are its own watchers, which write nothing of \
         yours. Should one write, the verification notices it and nothing is cut over.",
    ),
    (
        "PGF1334",
        "A role that a freeze does not reach",
        "What a role has set for itself, everywhere or in this database, wins over what the database has set. Take the \
         role's own `default_transaction_read_only` back for the time of the move.",
    ),
    (
        "PGF1335",
        "A standby cannot be frozen",
        "A standby repeats its primary and takes no settings of its own. Look up the primary instead.",
    ),
    (
        "PGF1336",
        "The database is read only already",
        "It stays so when the freeze ends, since pgferry puts back what was before.",
    ),
];
