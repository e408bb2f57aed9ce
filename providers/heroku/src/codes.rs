//! The codes of this provider's findings: code, title, explanation.

/// Each code with its title and what to do about it.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        "PGF1501",
        "a plan that cannot be restored into",
        "Restores by URL work on the essential, standard, premium and private tiers. Shield has no backups, Advanced is \
         another product with another interface, and older plans are no longer sold.",
    ),
    (
        "PGF1502",
        "no such plan",
        "Heroku does not know the plan. `heroku addons:plans heroku-postgresql` lists them.",
    ),
    (
        "PGF1503",
        "a plan of another tier",
        "Within a tier a plan changes in place. Between tiers the data must move: declare a second `heroku.addon`, point \
         `into`, `for` and the attachment at it, and change `run:`. The old add-on stays until you remove it.",
    ),
    (
        "PGF1504",
        "another version of Postgres",
        "The version of an add-on is chosen when it is made. Declare a second `heroku.addon` with the new `version`, \
         point `into` and `for` at it, and change `run:`.",
    ),
    ("PGF1505", "the price of a plan", "As Heroku tells it today. Nothing needs to be done."),
    (
        "PGF1506",
        "certificates that cannot be verified",
        "Heroku Postgres encrypts connections, but its certificates do not name its hosts, so nobody can verify them. \
         `tls: require` is the most that works.",
    ),
    (
        "PGF1507",
        "the account is not verified",
        "Heroku refuses paid add-ons to accounts without a verified payment method. Add one on the account page.",
    ),
    (
        "PGF1508",
        "the add-on's config var exists",
        "The new add-on would overwrite a config var of the app. Leave out `as`, and attach it with a \
         `heroku.attachment` whose `confirm` names the app.",
    ),
    (
        "PGF1511",
        "the restore's guard names another app",
        "A restore replaces all data of the target. `confirm` must be the name of the app that the add-on belongs to, \
         written by a person who knows it.",
    ),
    (
        "PGF1512",
        "the target is no database of Heroku's",
        "`heroku.restore` asks Heroku to do the work, which it does for its own add-ons only.",
    ),
    (
        "PGF1513",
        "another transfer is in progress",
        "Heroku runs one transfer a database. Wait for the other one, or cancel it with `heroku pg:backups:cancel`.",
    ),
    (
        "PGF1514",
        "the life of the signed URL",
        "`expires_in` is from 1 minute to 7 days. Heroku may wait before it fetches the dump: give it hours.",
    ),
    (
        "PGF1515",
        "the database that is restored into is in use by another app",
        "A restore empties the database first. An app that reads it meanwhile finds nothing, and what it writes is lost \
         with the rest. Put that app into maintenance for as long, or restore into another add-on.",
    ),
    (
        "PGF1516",
        "the archive is compressed by zstd",
        "Heroku restores by a `pg_restore` of its own, and nothing tells whether it was built with zstd. One that was not \
         restores no rows, and calls that a warning. Leave `compression` out at the dump, which takes zlib then, or restore \
         by `postgres.restore`, which reads both.",
    ),
    (
        "PGF1521",
        "a config var would be overwritten",
        "The app reads another database under this name. `confirm` must be the name of the app, written by a person who \
         knows that it will read the new one from then on.",
    ),
    (
        "PGF1522",
        "a config var is overwritten",
        "As the spec's `confirm` allows. The way back is the release that the message names.",
    ),
    (
        "PGF1523",
        "another migration of pgferry has cut over there",
        "The app reads an add-on that pgferry made, under a state that is not this one: a cutover would point the live app \
         away from it, to what was copied from the source, and leave behind what users have written since. Mostly the \
         state was lost, or a job of CI began without it: find it, and name it with `state:` or `--state`. If this \
         cutover is meant all the same, say so today with `--confirm ADDRESS=APP`; the spec's `confirm` does not count.",
    ),
    (
        "PGF1531",
        "there is no such app",
        "A window needs an app that is there. Check its name and the token's account.",
    ),
    (
        "PGF1532",
        "no such process type",
        "`stop` lists process types of the app, such as `worker`. A type that is not there cannot be stopped, so its \
         writes would go on.",
    ),
    (
        "PGF1533",
        "the app is in maintenance already",
        "It stays so when the window closes, since pgferry puts back what was before.",
    ),
    (
        "PGF1541",
        "a config var of an add-on",
        "What an add-on brings to an app, such as `DATABASE_URL`, follows the add-on; Heroku refuses to set it by hand. \
         Point the name at another add-on with a `heroku.attachment`, or take it out of `values`.",
    ),
    (
        "PGF1542",
        "config vars are overwritten",
        "They have other values now, which are not told. The way back is the release that the message names.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_there_once() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
