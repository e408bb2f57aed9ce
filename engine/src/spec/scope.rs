//! What names mean in one spec: variables, environment, resources and the attributes of their types.
//!
//! Everything here answers questions; nothing reads the file. References are looked up once each, in constant time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value as Json;

use crate::address::Address;
use crate::check::shape::{Kinds, Shape, flag, mentions_secret};
use crate::diag::{Diagnostic, Source, Span, did_you_mean, listed, suggestion};
use crate::expr::{self, Malformed, Piece};
use crate::info::TypeInfo;
use crate::spec::for_each::{self, Instances};
use crate::template::{Reference, Step};
use crate::tree::Tree;

/// A variable with its value.
pub(crate) struct Variable {
    /// `None`: it has none, which is already reported.
    pub(crate) value: Option<Tree>,
    /// Where its value stands in the file, if it is the default.
    pub(crate) default: Option<Span>,
}

/// A block under `resources:`.
pub(crate) struct Declared<'a> {
    /// `None`: its type is unknown, which is already reported.
    pub(crate) info: Option<&'a TypeInfo>,
    /// Of a block with `for_each`.
    pub(crate) instances: Option<Instances>,
    /// Of a block without, shared by all that refer to it.
    pub(crate) address: Address,
}

impl Declared<'_> {
    /// The address of the block called `name`, or of its instance with this key.
    pub(crate) fn address(&self, name: &str, key: Option<&str>) -> Address {
        let Some(key) = key else { return self.address.clone() };
        let known = self.instances.as_ref().and_then(|instances| instances.keys.get(key));
        known.cloned().unwrap_or_else(|| for_each::address(name, key))
    }
}

/// The names of a spec.
pub(crate) struct Scope<'a> {
    pub(crate) source: &'a Source,
    pub(crate) types: BTreeMap<&'static str, &'a TypeInfo>,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) resources: FxHashMap<Arc<str>, Declared<'a>>,
    /// Paths of references, each once.
    pub(crate) paths: RefCell<FxHashSet<Arc<[Step]>>>,
    /// What was read in the texts of the present block, which are the same for each of its instances.
    pub(crate) read: RefCell<FxHashMap<String, Rc<Read>>>,
    /// Names that hints may still look at. A hint looks at every name, so a spec of a hundred thousand resources with
    /// as many mistakes gets hints for the first of them only.
    pub(crate) patience: Cell<usize>,
}

/// What [`Scope::patience`] begins with.
pub(crate) const PATIENCE: usize = 3_000_000;

/// What a reference leads to.
pub(crate) struct Target<'a> {
    /// `None`: nothing is known of it.
    pub(crate) shape: Option<Shape<'a>>,
    pub(crate) root: Option<&'a Json>,
    pub(crate) secret: bool,
    /// Whether it is secret is decided by what is put into the resource (`core.value`).
    pub(crate) passes: bool,
}

impl Target<'_> {
    const UNKNOWN: Self = Self { shape: None, root: None, secret: false, passes: false };

    /// The kinds of value that it may have.
    pub(crate) fn kinds(&self) -> Kinds {
        self.shape.as_ref().map_or(Kinds::ANY, Shape::kinds)
    }
}

/// The pieces of a text, and what is malformed in it.
pub(crate) type Read = (Vec<Piece>, Vec<Malformed>);

impl<'a> Scope<'a> {
    /// What [`expr::parse`] makes of `text`, which is `repeated` for other instances of the same block.
    pub(crate) fn pieces(&self, text: &str, repeated: bool) -> Rc<Read> {
        if !repeated {
            return Rc::new(expr::parse(text));
        }
        let mut read = self.read.borrow_mut();
        if let Some(known) = read.get(text) {
            return Rc::clone(known);
        }
        let new = Rc::new(expr::parse(text));
        read.insert(text.to_owned(), Rc::clone(&new));
        new
    }

    /// A path of a reference, shared with all others that are the same.
    pub(crate) fn path(&self, steps: &[Step]) -> Arc<[Step]> {
        let mut paths = self.paths.borrow_mut();
        if let Some(known) = paths.get(steps) {
            return Arc::clone(known);
        }
        let new: Arc<[Step]> = steps.into();
        paths.insert(Arc::clone(&new));
        new
    }

    /// The type of the resource that `reference` begins with, if that is known.
    pub(crate) fn info(&self, reference: &Reference) -> Option<&'a TypeInfo> {
        self.resources.get(reference.address.name())?.info
    }

    /// Whether a hint may still look at `number` names.
    fn is_patient(&self, number: usize) -> bool {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(number));
        left >= number
    }

    /// Names of resources, in order, for a hint; none once there were too many hints.
    fn names(&self) -> Vec<&str> {
        if !self.is_patient(self.resources.len()) {
            return Vec::new();
        }
        let mut names: Vec<&str> = self.resources.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    /// Where `reference` leads.
    ///
    /// # Errors
    /// The resource, attribute, member or element is not there.
    pub(crate) fn target(&self, reference: &Reference) -> Result<Target<'a>, Box<Diagnostic>> {
        let name = reference.address.name();
        let Some(declared) = self.resources.get(name) else {
            return Err(Box::new(self.no_resource(name, reference.span)));
        };
        if let Some(mistake) = self.wrong_instance(name, reference, declared) {
            return Err(Box::new(mistake));
        }
        let name = reference.address.as_str();
        let Some(info) = declared.info else { return Ok(Target::UNKNOWN) };
        match reference.path.split_first() {
            None => Ok(Target::UNKNOWN),
            Some((Step::Index(_), _)) => Err(Box::new(
                Diagnostic::error("PGF0113", format!("`{name}` has attributes, not elements"))
                    .at(reference.span, "a number in brackets")
                    .maybe_help(attributes(info)),
            )),
            Some((Step::Member(attribute), rest)) => {
                let Some(schema) = info.attribute(attribute) else {
                    return Err(Box::new(no_attribute(name, info, attribute, reference.span)));
                };
                walk(schema, &info.attrs, rest, &|| format!("{name}.{attribute}"), reference.span)
            }
        }
    }

    /// Of a block with `for_each` one instance is meant, of any other block no instance.
    fn wrong_instance(
        &self,
        name: &str,
        reference: &Reference,
        declared: &Declared<'_>,
    ) -> Option<Diagnostic> {
        let span = reference.span;
        let Some(instances) = &declared.instances else {
            return reference.address.key().map(|_| {
                Diagnostic::error("PGF0112", format!("`{name}` is one resource, not several"))
                    .at(span, "this asks for one of several")
                    .help(format!("write `${{{name}.…}}`"))
            });
        };
        let Some(key) = reference.address.key() else {
            if !instances.sound {
                return None;
            }
            let index = match reference.path.first() {
                Some(Step::Index(index)) => instances.keys.get_key_value(&index.to_string()),
                _ => None,
            };
            let help = match index.or(instances.keys.first()).map(|(key, _)| key) {
                None => "its `for_each` is empty, so there is none to refer to".to_owned(),
                Some(key) if instances.keys.len() == 1 || index.is_some() => {
                    format!("write `${{{name}[\"{key}\"].…}}`")
                }
                Some(key) => {
                    let shown = instances.keys.keys().take(12).collect::<Vec<_>>();
                    let more = if instances.keys.len() > 12 { ", …" } else { "" };
                    format!(
                        "write `${{{name}[\"{key}\"].…}}`; the keys are: {}{more}",
                        listed(&shown)
                    )
                }
            };
            let message = format!("`{name}` is several resources, one for each key");
            let text = "which of them is not said";
            return Some(Diagnostic::error("PGF0112", message).at(span, text).help(help));
        };
        self.no_instance(name, key, instances, span)
    }

    /// A key that the `for_each` of `name` does not have.
    pub(crate) fn no_instance(
        &self,
        name: &str,
        key: &str,
        instances: &Instances,
        span: Span,
    ) -> Option<Diagnostic> {
        if !instances.sound || instances.keys.contains_key(key) {
            return None;
        }
        let help = match instances.keys.is_empty() {
            true => Some(format!("the `for_each` of `{name}` is empty")),
            false if !self.is_patient(instances.keys.len()) => None,
            false => {
                let known: Vec<&str> = instances.keys.keys().map(String::as_str).collect();
                suggestion(key, known, "the keys are")
            }
        };
        let message = format!("there is no resource `{name}[\"{key}\"]`");
        let text = format!("the `for_each` of `{name}` has no such key");
        Some(Diagnostic::error("PGF0112", message).at(span, text).maybe_help(help))
    }

    /// A name that no block has.
    pub(crate) fn no_resource(&self, name: &str, span: Span) -> Diagnostic {
        let mut mistake = Diagnostic::error("PGF0112", format!("there is no resource `{name}`"))
            .at(span, "refers to nothing in this spec");
        mistake.help = if self.variables.contains_key(name) {
            Some(format!("a variable is referred to by `${{var.{name}}}`"))
        } else {
            suggestion(name, self.names(), "the resources are")
        };
        mistake
    }

    /// Resources of this spec that have all of `needs`, for a hint.
    pub(crate) fn fitting(&self, needs: &[&str]) -> Vec<String> {
        self.names()
            .into_iter()
            .filter(|name| {
                let info = self.resources.get(*name).and_then(|declared| declared.info);
                info.is_some_and(|info| needs.iter().all(|need| info.attribute(need).is_some()))
            })
            .filter_map(|name| {
                let instances = self.resources.get(name)?.instances.as_ref();
                match instances.map(|instances| instances.keys.keys().next()) {
                    None => Some(format!("${{{name}}}")),
                    Some(key) => key.map(|key| format!("${{{name}[\"{key}\"]}}")),
                }
            })
            .collect()
    }
}

fn no_attribute(name: &str, info: &TypeInfo, attribute: &str, span: Span) -> Diagnostic {
    let known: Vec<&str> = info.attributes().collect();
    let help = match did_you_mean(attribute, known.iter().copied()) {
        Some(meant) => Some(format!("did you mean `${{{name}.{meant}}}`?")),
        None => attributes(info),
    };
    let text = if info.field(attribute).is_some() {
        "a field, but not an attribute of its type"
    } else {
        "no such attribute"
    };
    let message = format!("`{name}` ({}) has no attribute `{attribute}`", info.name);
    Diagnostic::error("PGF0113", message).at(span, text).maybe_help(help)
}

fn attributes(info: &TypeInfo) -> Option<String> {
    let known: Vec<&str> = info.attributes().collect();
    if known.is_empty() {
        return Some(format!("a `{}` has no attributes", info.name));
    }
    Some(format!("a `{}` has {}", info.name, listed(&known)))
}

/// Whether the value has no inside at all.
fn has_no_inside(shape: &Shape<'_>) -> bool {
    !shape.kinds().has(Kinds::LIST) && !shape.kinds().has(Kinds::MAP)
}

/// `told`, one step further.
fn told(told: String, step: &Step) -> String {
    match step {
        Step::Index(index) => format!("{told}[{index}]"),
        Step::Member(name) => format!("{told}.{name}"),
    }
}

/// Follows `path` into `schema`; `begins` is how what it leads from is called.
fn walk<'a>(
    schema: &'a Json,
    root: &'a Json,
    path: &[Step],
    begins: &dyn Fn() -> String,
    span: Span,
) -> Result<Target<'a>, Box<Diagnostic>> {
    let mut schema = schema;
    let mut secret = false;
    let passes = flag(schema, "x-accepts-secrets");
    for (number, step) in path.iter().enumerate() {
        let told = || path[..number].iter().fold(begins(), told);
        let shape = Shape::of(schema, root);
        secret |= shape.secret;
        let kind = match step {
            Step::Member(_) => Kinds::MAP,
            Step::Index(_) => Kinds::LIST,
        };
        let wrong = |what: &str, said: String| {
            Diagnostic::error("PGF0113", format!("`{}` has no {what}", told())).at(span, said)
        };
        let Some(branch) = shape.accepting(kind).next() else {
            let what = if kind == Kinds::LIST { "elements" } else { "members" };
            let help = match has_no_inside(&shape) {
                true => Some(format!("write `${{{}}}`", told())),
                false => None,
            };
            return Err(Box::new(wrong(what, format!("it is {}", shape.kinds())).maybe_help(help)));
        };
        let next = match step {
            Step::Index(_) => branch.get("items"),
            Step::Member(name) => {
                let listed = branch.get("properties").and_then(|map| map.get(name));
                let open = branch.get("additionalProperties").filter(|more| more.is_object());
                if listed.is_none() && open.is_none() && branch.get("properties").is_some() {
                    let members = branch.get("properties").and_then(Json::as_object);
                    let known = members.into_iter().flatten().map(|(name, _)| name.as_str());
                    return Err(Box::new(
                        wrong(&format!("member `{name}`"), "no such member".to_owned())
                            .maybe_help(suggestion(name, known, "the members are")),
                    ));
                }
                listed.or(open)
            }
        };
        match next {
            Some(next) => schema = next,
            None => return Ok(Target { secret, passes, ..Target::UNKNOWN }),
        }
    }
    secret |= mentions_secret(schema);
    Ok(Target { shape: Some(Shape::of(schema, root)), root: Some(root), secret, passes })
}
