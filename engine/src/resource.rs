//! The contract between the engine and every resource type.
//!
//! Authors write [`Resource`] with their own types; the engine sees [`AnyResource`] through one blanket impl. Every
//! method may be called again after a crash with the same arguments and must then converge.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::cx::Cx;
use crate::fault::{Class, Fault};
use crate::finding::Finding;
use crate::info::{Kind, Traits, TypeInfo};
use crate::tree::Tree;

/// What reality holds.
#[derive(Clone, Debug)]
pub struct Live<A> {
    /// The provider's own id; what `read` and `delete` are called with later.
    pub id: String,
    /// What others may refer to. Secrets are in it, read live.
    pub attrs: A,
    /// Spec fields as reality has them, normalised to the spelling of a spec; those that cannot be read are left
    /// out and then not compared. In place of a secret stands the mask if it is what is wanted, else any other text.
    pub fields: IndexMap<String, Json>,
}

/// What an act brought about.
#[derive(Clone, Debug)]
pub struct Done<A> {
    /// The provider's own id; for runs any stable name of what was made.
    pub id: String,
    pub attrs: A,
    /// Stored beside the attributes, not offered to others: what later checks and the closing need. No secrets.
    pub memory: Json,
}

/// What the state remembers of a resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Remembered {
    pub id: String,
    /// The fields it was last acted on with; secrets masked, whole resources reduced to `$address` and `$id`.
    #[schemars(with = "Json")]
    pub inputs: Tree,
    /// Attributes without the secret ones.
    #[schemars(with = "Json")]
    pub attrs: Tree,
    #[schemars(with = "Json")]
    pub memory: Tree,
}

/// What an act is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Create,
    Update,
    Run,
    Delete,
    /// Of a scope.
    Open,
}

/// One act.
#[derive(Debug)]
pub struct Change<S> {
    pub verb: Verb,
    /// What is wanted, complete.
    pub want: S,
    /// For `Update`: what is there, and which fields differ. For `Run`: what the last time remembered.
    pub before: Option<Remembered>,
    /// For `Update`: the fields that differ.
    pub fields: Vec<String>,
    /// An earlier attempt at the same act that was cut short; clean up after it, or take it up.
    pub prior: Option<Intent>,
    /// `--confirm ADDRESS=NAME` given on this day for addresses of this act, as `(address, name)`.
    pub confirmed: Vec<(String, String)>,
}

/// An act that was begun: the journal's record, with all notes made under it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    pub verb: Verb,
    /// The fields it was begun with, as stored.
    #[schemars(with = "Json")]
    pub inputs: Tree,
    /// When, RFC 3339.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// Everything noted since, merged key by key.
    pub notes: Json,
    /// What is to be restored or cleaned up from the time before, if the engine knew it.
    #[serde(default)]
    pub before: Option<Remembered>,
}

/// What became of an act that was cut short.
#[derive(Clone, Debug)]
pub enum Settled<A> {
    /// It happened, and this is it.
    Done(Done<A>),
    /// It goes on elsewhere; `act` takes it up again with the intent. Says what: "restore r003".
    Running(String),
    /// It did not happen, or failed for good; `act` starts over and cleans up. Says what is known.
    Not(String),
}

/// A type of resource. Methods that its kind does not need keep their defaults.
pub trait Resource: Send + Sync + 'static {
    /// `provider.noun`.
    const TYPE: &'static str;
    const KIND: Kind;
    const TRAITS: Traits = Traits::DEFAULT;
    /// What people write. Field annotations: `#[schemars(extend("x-change" = "identity"))]` and `replaces`,
    /// `creation_only`, `volatile`, `guard`; nothing means updated in place.
    type Spec: DeserializeOwned + JsonSchema + Send + Sync;
    /// What others may refer to; secrets typed as [`crate::secret::Secret`].
    type Attrs: Serialize + JsonSchema + Send + Sync;

    /// Looks by natural key, before creating. `want` may hold unknowns. Absent is `None`.
    fn find(
        &self,
        _cx: &Cx,
        _want: &Tree,
    ) -> impl Future<Output = Result<Option<Live<Self::Attrs>>, Fault>> + Send {
        async { Ok(None) }
    }

    /// Looks at what is remembered (managed), or looks it up (lookup: `remembered` is `None`). Absent is `None`.
    fn read(
        &self,
        _cx: &Cx,
        _want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> impl Future<Output = Result<Option<Live<Self::Attrs>>, Fault>> + Send {
        async { Ok(None) }
    }

    /// Writes out a field that is defined by something else (`like: ${source}`) as plain fields of the same spec
    /// (`names: […]`); resolved once a run and remembered. `None`: nothing to expand.
    fn expand(
        &self,
        _cx: &Cx,
        _want: &Tree,
    ) -> impl Future<Output = Result<Option<IndexMap<String, Json>>, Fault>> + Send {
        async { Ok(None) }
    }

    /// Reads the facts that [`Resource::judge`] needs. Called when there is work, at plan where the inputs are known,
    /// at the gate where they are not. `want` may hold unknowns (what only runs and scopes bring).
    /// `Ok(None)`: something it needs is not known yet; the gate asks again.
    fn inspect(
        &self,
        _cx: &Cx,
        _want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> impl Future<Output = Result<Option<Json>, Fault>> + Send {
        async { Ok(Some(Json::Null)) }
    }

    /// Findings of the preflight. Pure: no clock, no world. `confirmed` are names given by `--confirm`.
    fn judge(_want: &Tree, _facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        Vec::new()
    }

    /// How many bytes a run would move or compare, from the same facts: what [`Cx::moved`] will say if nothing changes
    /// until then. `None`: that is not known before. Pure.
    fn size(_facts: &Json) -> Option<u64> {
        None
    }

    /// Creates, updates or runs.
    fn act(
        &self,
        _cx: &Cx,
        _change: Change<Self::Spec>,
    ) -> impl Future<Output = Result<Done<Self::Attrs>, Fault>> + Send {
        async { Err(Fault::bug(format!("`{}` cannot act", Self::TYPE))) }
    }

    /// What became of an act that was cut short. Reads only.
    fn settle(
        &self,
        _cx: &Cx,
        _intent: &Intent,
    ) -> impl Future<Output = Result<Settled<Self::Attrs>, Fault>> + Send {
        async { Ok(Settled::Not("nothing is known of it".to_owned())) }
    }

    /// Why what a finished run filled ([`Traits::fills`]) is no longer there, so that it is to be done again: a database
    /// that was dropped and made again. `None`: it is, or nobody noted which one it was. `want` has that field alone.
    fn lost(
        &self,
        _cx: &Cx,
        _want: &Tree,
        _remembered: &Remembered,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        async { Ok(None) }
    }

    /// Deletes what is remembered. Already gone is success.
    fn delete(
        &self,
        _cx: &Cx,
        _remembered: &Remembered,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        async { Ok(()) }
    }

    /// Removes staging that has served, with what is still at hand: the key it was made with is open. Already gone is
    /// success, and half gone no hindrance.
    fn remove_after_use(
        &self,
        cx: &Cx,
        _want: Self::Spec,
        remembered: &Remembered,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        self.delete(cx, remembered)
    }

    /// Deletes for good what a lookup leads to, on a person's command: the source that a migration has left. `name` is
    /// what the person calls it, and must be its name. Already gone is success.
    fn retire(
        &self,
        _cx: &Cx,
        _remembered: &Remembered,
        _name: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        async {
            Err(Fault::new(
                Class::Rejected,
                format!("a `{}` cannot be retired by pgferry", Self::TYPE),
            )
            .help("delete it where it is hosted"))
        }
    }

    /// Opens a scope. `prior` is the intent of an opening found half-done or still open after a crash: adopt it.
    /// What `close` needs goes to the journal by [`Cx::note`] before the first change. One that was open, as a note at the
    /// end of the opening says, and is not any more is [`Class::Gone`]: what was done under it may be out of date.
    fn open(
        &self,
        _cx: &Cx,
        _want: Self::Spec,
        _prior: Option<&Intent>,
    ) -> impl Future<Output = Result<Done<Self::Attrs>, Fault>> + Send {
        async { Err(Fault::bug(format!("`{}` cannot be opened", Self::TYPE))) }
    }

    /// Closes a scope with nothing but what was noted (`intent.notes`), maybe in another process. Already closed is
    /// success. A secret it needs cannot be noted: [`Cx::reread`] reads the resource anew that has it.
    fn close(&self, _cx: &Cx, _intent: &Intent) -> impl Future<Output = Result<(), Fault>> + Send {
        async { Ok(()) }
    }

    /// How a person closes it without pgferry: commands, as noted values stand in them. `None`: nothing was changed yet.
    fn by_hand(_intent: &Intent) -> Option<String> {
        None
    }
}

/// The type as data, for the catalogue.
pub fn info<R: Resource>() -> TypeInfo {
    let schema = |schema: schemars::Schema| schema.to_value();
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let generator = settings.into_generator();
    TypeInfo {
        name: R::TYPE,
        kind: R::KIND,
        traits: R::TRAITS,
        spec: schema(generator.clone().into_root_schema_for::<R::Spec>()),
        attrs: schema(generator.into_root_schema_for::<R::Attrs>()),
    }
}

/// [`Resource`] with its types erased; method by method the same.
pub trait AnyResource: Send + Sync {
    fn type_name(&self) -> &'static str;
    fn find<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
    ) -> BoxFuture<'a, Result<Option<Live<Tree>>, Fault>>;
    fn read<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: Option<&'a Remembered>,
    ) -> BoxFuture<'a, Result<Option<Live<Tree>>, Fault>>;
    fn expand<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
    ) -> BoxFuture<'a, Result<Option<IndexMap<String, Json>>, Fault>>;
    fn inspect<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: Option<&'a Remembered>,
    ) -> BoxFuture<'a, Result<Option<Json>, Fault>>;
    fn judge(&self, want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding>;
    fn size(&self, facts: &Json) -> Option<u64>;
    fn act<'a>(
        &'a self,
        cx: &'a Cx,
        change: Change<Tree>,
    ) -> BoxFuture<'a, Result<Done<Tree>, Fault>>;
    fn settle<'a>(
        &'a self,
        cx: &'a Cx,
        intent: &'a Intent,
    ) -> BoxFuture<'a, Result<Settled<Tree>, Fault>>;
    fn lost<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<Option<String>, Fault>>;
    fn delete<'a>(
        &'a self,
        cx: &'a Cx,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    fn remove_after_use<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    fn retire<'a>(
        &'a self,
        cx: &'a Cx,
        remembered: &'a Remembered,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    fn open<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        prior: Option<&'a Intent>,
    ) -> BoxFuture<'a, Result<Done<Tree>, Fault>>;
    fn close<'a>(&'a self, cx: &'a Cx, intent: &'a Intent) -> BoxFuture<'a, Result<(), Fault>>;
    fn by_hand(&self, intent: &Intent) -> Option<String>;
}

fn decode<T: DeserializeOwned>(type_name: &str, want: &Tree) -> Result<T, Fault> {
    want.to_typed().map_err(|cause| {
        Fault::new(Class::Rejected, format!("reading the fields of a `{type_name}`")).because(cause)
    })
}

fn tree<A: Serialize>(attrs: &A) -> Result<Tree, Fault> {
    Tree::from_typed(attrs)
        .map_err(|cause| Fault::bug("attributes that do not serialise").because(cause))
}

fn live<A: Serialize>(live: Option<Live<A>>) -> Result<Option<Live<Tree>>, Fault> {
    live.map(|l| Ok(Live { id: l.id, attrs: tree(&l.attrs)?, fields: l.fields })).transpose()
}

fn done<A: Serialize>(done: Done<A>) -> Result<Done<Tree>, Fault> {
    Ok(Done { id: done.id, attrs: tree(&done.attrs)?, memory: done.memory })
}

impl<R: Resource> AnyResource for R {
    fn type_name(&self) -> &'static str {
        R::TYPE
    }
    fn find<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
    ) -> BoxFuture<'a, Result<Option<Live<Tree>>, Fault>> {
        Box::pin(async move { live(Resource::find(self, cx, want).await?) })
    }
    fn read<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: Option<&'a Remembered>,
    ) -> BoxFuture<'a, Result<Option<Live<Tree>>, Fault>> {
        Box::pin(async move { live(Resource::read(self, cx, want, remembered).await?) })
    }
    fn expand<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
    ) -> BoxFuture<'a, Result<Option<IndexMap<String, Json>>, Fault>> {
        Box::pin(Resource::expand(self, cx, want))
    }
    fn inspect<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: Option<&'a Remembered>,
    ) -> BoxFuture<'a, Result<Option<Json>, Fault>> {
        Box::pin(Resource::inspect(self, cx, want, remembered))
    }
    fn judge(&self, want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        R::judge(want, facts, confirmed)
    }
    fn size(&self, facts: &Json) -> Option<u64> {
        R::size(facts)
    }
    fn act<'a>(
        &'a self,
        cx: &'a Cx,
        change: Change<Tree>,
    ) -> BoxFuture<'a, Result<Done<Tree>, Fault>> {
        Box::pin(async move {
            let Change { verb, want, before, fields, prior, confirmed } = change;
            let want = decode(R::TYPE, &want)?;
            done(
                Resource::act(self, cx, Change { verb, want, before, fields, prior, confirmed })
                    .await?,
            )
        })
    }
    fn settle<'a>(
        &'a self,
        cx: &'a Cx,
        intent: &'a Intent,
    ) -> BoxFuture<'a, Result<Settled<Tree>, Fault>> {
        Box::pin(async move {
            Ok(match Resource::settle(self, cx, intent).await? {
                Settled::Done(it) => Settled::Done(done(it)?),
                Settled::Running(what) => Settled::Running(what),
                Settled::Not(why) => Settled::Not(why),
            })
        })
    }
    fn lost<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        Box::pin(Resource::lost(self, cx, want, remembered))
    }
    fn delete<'a>(
        &'a self,
        cx: &'a Cx,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(Resource::delete(self, cx, remembered))
    }
    fn remove_after_use<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        remembered: &'a Remembered,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            Resource::remove_after_use(self, cx, decode(R::TYPE, want)?, remembered).await
        })
    }
    fn retire<'a>(
        &'a self,
        cx: &'a Cx,
        remembered: &'a Remembered,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(Resource::retire(self, cx, remembered, name))
    }
    fn open<'a>(
        &'a self,
        cx: &'a Cx,
        want: &'a Tree,
        prior: Option<&'a Intent>,
    ) -> BoxFuture<'a, Result<Done<Tree>, Fault>> {
        Box::pin(
            async move { done(Resource::open(self, cx, decode(R::TYPE, want)?, prior).await?) },
        )
    }
    fn close<'a>(&'a self, cx: &'a Cx, intent: &'a Intent) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(Resource::close(self, cx, intent))
    }
    fn by_hand(&self, intent: &Intent) -> Option<String> {
        R::by_hand(intent)
    }
}

/// A provider with its settings in place.
pub type Connected = Vec<Arc<dyn AnyResource>>;

/// One provider of this build: what it is, and how to connect it.
pub struct Provider {
    pub info: crate::info::ProviderInfo,
    /// Takes the settings of the spec (`Tree::Map`, empty where left out) and the environment. Makes no request:
    /// wrong or missing credentials are reported here only where that can be seen without asking the service.
    pub connect: fn(&Tree, &std::collections::BTreeMap<String, String>) -> Result<Connected, Fault>,
}
