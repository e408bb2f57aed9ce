//! What is right, what was seen, and whether they agree.

use serde::Deserialize;

use super::super::stage::project::Ended;

/// What comes of a way; without anything: equal and proved.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Outcome {
    /// The plan is an error of this code, and nothing is done.
    refused: Option<String>,
    /// The apply fails and says this.
    fails: Option<String>,
    /// Texts that the plan or the apply says.
    told: Vec<String>,
    /// Texts that neither may say.
    unsaid: Vec<String>,
    /// Entries that the target lacks, and that must be told: beginnings of `TYPE schema.name`, or `*` and what is within.
    without: Vec<String>,
    /// A query to the target, and its answer.
    then: Option<Then>,
    /// What comes of it for now, in place of what is right.
    today: Option<Box<Self>>,
    /// Why that is so, and which part of the program has to change.
    #[allow(dead_code, reason = "for those who read")]
    because: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Then {
    pub(crate) ask: String,
    pub(crate) says: String,
}

/// What was seen of a way.
pub(crate) struct Seen {
    /// With what another client of its pooler met afterwards.
    pub(crate) plan: Ended,
    /// None where the plan was an error.
    pub(crate) apply: Option<Ended>,
    /// Of the target from the source, as `pg_dump` writes both.
    pub(crate) differences: Vec<String>,
    /// The answer to [`Outcome::then`].
    pub(crate) answer: Option<String>,
}

impl Seen {
    fn text(&self) -> String {
        self.plan.text() + &self.apply.as_ref().map(Ended::text).unwrap_or_default()
    }
}

impl Outcome {
    /// Whether the rows and objects of both sides are to be read.
    pub(crate) fn moves(&self) -> bool {
        let here = self.refused.is_none() && self.fails.is_none();
        here || self.today.as_ref().is_some_and(|today| today.moves())
    }

    pub(crate) fn then(&self) -> Option<&Then> {
        self.then.as_ref()
    }

    /// What is wrong, if anything.
    pub(crate) fn judge(&self, seen: &Seen) -> Result<(), String> {
        let right = self.is_met_by(seen);
        match (&self.today, right) {
            (None, right) => right,
            (Some(_), Ok(())) => Err("it has its right outcome: take `today` out".into()),
            (Some(today), Err(_)) => {
                today.is_met_by(seen).map_err(|what| format!("not as `today` says: {what}"))
            }
        }
    }

    fn is_met_by(&self, seen: &Seen) -> Result<(), String> {
        let said = seen.text();
        if let Some(text) = self.told.iter().find(|text| !said.contains(text.as_str())) {
            return Err(format!("it did not say `{text}`:\n{said}"));
        }
        if let Some(text) = self.unsaid.iter().find(|text| said.contains(text.as_str())) {
            return Err(format!("it said `{text}`:\n{said}"));
        }
        if let Some(code) = &self.refused {
            let refusal = format!("error[{code}]");
            let is_refused = seen.apply.is_none() && said.contains(&refusal);
            return is_refused
                .then_some(())
                .ok_or_else(|| format!("the plan is no `{refusal}`:\n{said}"));
        }
        let Some(apply) = &seen.apply else { return Err(format!("the plan failed:\n{said}")) };
        if let Some(text) = &self.fails {
            let fails = apply.status.code() == Some(1) && apply.text().contains(text.as_str());
            return fails.then_some(()).ok_or_else(|| format!("no failure `{text}`:\n{said}"));
        }
        if apply.status.code() != Some(0) {
            return Err(format!("the apply failed:\n{said}"));
        }
        let unexpected = |difference: &&String| {
            !self.without.iter().any(|entry| match entry.strip_prefix("* ") {
                Some(part) => difference.contains(part),
                None => {
                    difference.starts_with(entry.as_str())
                        || difference.starts_with(&format!("missing {entry}"))
                }
            })
        };
        let odd: Vec<&str> =
            seen.differences.iter().filter(unexpected).map(String::as_str).collect();
        if !odd.is_empty() {
            return Err(format!("proved, and not equal:\n  {}\n{said}", odd.join("\n  ")));
        }
        let all_met = self.without.iter().find(|entry| {
            let part = entry.trim_start_matches("* ");
            !seen.differences.iter().any(|difference| difference.contains(part))
        });
        if let Some(entry) = all_met {
            return Err(format!("the target has `{entry}` after all"));
        }
        match (&self.then, &seen.answer) {
            (Some(then), Some(answer)) if then.says != *answer => {
                Err(format!("`{}` says `{answer}`, not `{}`", then.ask, then.says))
            }
            _ => Ok(()),
        }
    }
}
