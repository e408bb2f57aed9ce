//! Every code that the engine can end with, and its page under `schema/errors`.
//!
//! PGF00xx the file as YAML, PGF01xx the spec, PGF02xx the plan; PGF03xx is kept for applying. The findings of the
//! providers (PGF1xxx) have tables of their own. A code is never used for anything else, even after it is retired.

/// Code, title, explanation.
pub type Code = (&'static str, &'static str, &'static str);

/// In order of the codes.
pub const CODES: &[Code] = &[
    (
        "PGF0001",
        "the spec is not valid YAML",
        "The file cannot be read as YAML 1.2. The mark stands where reading stopped; the cause is often on the line \
         before: a quote or bracket that is not closed, a tab in the indentation, or text with `: ` in it that needs \
         quotes. Nothing after this place has been looked at.",
    ),
    (
        "PGF0002",
        "anchors, aliases and merge keys are not allowed",
        "`&name`, `*name` and `<<` make one line stand for many and let a small file grow without bound. Keep a value \
         that is used twice in `variables:` and refer to it by `${var.name}`.",
    ),
    (
        "PGF0003",
        "tags are not allowed",
        "`!!str` and other tags change what a value is. Quote a value that must be text; leave the tag out otherwise.",
    ),
    (
        "PGF0004",
        "a spec is one YAML document",
        "A line `---` after the beginning starts a second document. Put it into a file of its own.",
    ),
    (
        "PGF0005",
        "lists and maps are nested too deeply",
        "More than 32 lists and maps stand inside one another. No field of any resource needs that.",
    ),
    (
        "PGF0006",
        "the spec is too large",
        "A spec may have 256 MiB and two million keys and values. Split the migration into several specs, each with a \
         state of its own.",
    ),
    (
        "PGF0007",
        "a key is there twice",
        "Both places are marked. YAML readers disagree about which of two equal keys wins, so neither does here.",
    ),
    (
        "PGF0008",
        "a key must be text",
        "A list or a map stands where a key is wanted. A value that begins with `[`, `{` or `?` needs quotes.",
    ),
    (
        "PGF0009",
        "the spec is not UTF-8",
        "Save the file as UTF-8; the message names the first line that is not.",
    ),
    (
        "PGF0010",
        "the spec is empty, or no map",
        "A spec is a map that begins with `pgferry: 1` and has at least a `name:`.",
    ),
    (
        "PGF0101",
        "unknown key of the spec",
        "The keys of a spec are `pgferry`, `name`, `run`, `state`, `variables`, `providers`, `resources` and `outputs`.",
    ),
    (
        "PGF0102",
        "the format of the spec",
        "`pgferry: 1` says which format the file is written in. A higher number needs a newer pgferry.",
    ),
    (
        "PGF0103",
        "unknown resource type",
        "A type is `provider.noun`, such as `postgres.dump`. `pgferry schema` lists those of this build.",
    ),
    (
        "PGF0104",
        "unknown field",
        "The type, provider or variable has no field of this name. Fields are never ignored, since an ignored field \
         is a wish that nobody fulfils.",
    ),
    (
        "PGF0105",
        "a required field is missing",
        "The block cannot work without it; the mark stands at the block.",
    ),
    (
        "PGF0106",
        "a value of the wrong kind",
        "Text, a number, a boolean, a list or a map stands where another of these is wanted. Numbers that are meant as \
         text need quotes (`\"16.10\"`). Only `true` and `false` are booleans; `yes`, `no`, `on` and `off` are text.",
    ),
    (
        "PGF0107",
        "a value that is not one of those allowed",
        "The field takes one of a fixed set of words.",
    ),
    (
        "PGF0108",
        "a value of the wrong form",
        "The service or the field has a rule for such names or values, which the message tells.",
    ),
    (
        "PGF0109",
        "a value outside its range",
        "The number, or the count of letters or elements, is too small or too large.",
    ),
    (
        "PGF0110",
        "a bad name",
        "Names of resources, variables and outputs are a letter or `_`, then letters, digits, `_` and `-`. `var`, \
         `env` and `each` are taken: they begin references of their own.",
    ),
    (
        "PGF0111",
        "a malformed reference",
        "A reference is `${resource.attribute}`, `${resource.list[0].member}`, `${var.name}` or `${env.NAME}`. There are \
         no functions and no operators. `$${` is a literal `${`.",
    ),
    (
        "PGF0112",
        "a reference to a resource that is not there",
        "No block under `resources:` has this name. Of a block with `for_each`, one instance is referred to, by a key \
         that it has: `${dump[\"eu\"].object}`, or `${dump[each.key].object}` in a block with the same keys.",
    ),
    (
        "PGF0113",
        "a reference to an attribute that is not there",
        "What may be referred to is fixed by the resource's type. Fields are not attributes: only what the type lists \
         can be referred to.",
    ),
    ("PGF0114", "a reference to a variable that is not declared", "Declare it under `variables:`."),
    (
        "PGF0115",
        "a variable has no value",
        "It has no `default:`, and none was given. Give one with `--var name=value`, in a file with `--var-file`, or by \
         the environment variable `PGFERRY_VAR_name`.",
    ),
    (
        "PGF0116",
        "a bad declaration of a variable",
        "A variable has `default`, `description`, `type` (`string`, `number`, `bool`, `list` or `map`), `sensitive` and \
         `validation` (`pattern`, `one_of`, `min`, `max` and a `message`), all of them optional. Its default is a plain \
         value and of its type. A sensitive variable is text and has no default: a secret does not belong in the file.",
    ),
    (
        "PGF0117",
        "a value given for a variable does not fit",
        "The text given cannot be read as the variable's `type`. Lists and maps are given as YAML or JSON: \
         `--var 'regions=[us-ord, de-fra]'`.",
    ),
    (
        "PGF0118",
        "an environment variable is not set",
        "The spec refers to it by `${env.NAME}`. Set it, or refer to a variable with a default.",
    ),
    (
        "PGF0119",
        "a whole resource is wanted",
        "The field takes another resource, not one of its values: `source: ${name}`. That resource must have the \
         attributes that the field needs; a database, for instance, is anything with a `url`.",
    ),
    (
        "PGF0120",
        "a value is wanted, not a whole resource",
        "`${name}` alone is the resource itself. Refer to one of its attributes: `${name.attribute}`.",
    ),
    (
        "PGF0121",
        "an attribute of the wrong kind",
        "The attribute referred to has another kind of value than the field takes, or has no form as text and stands \
         inside one.",
    ),
    (
        "PGF0122",
        "a secret in a field that is not secret",
        "Fields are shown in plans and kept in the state. A secret may go only where the type says that it is one: \
         such a field is masked and never stored.",
    ),
    (
        "PGF0123",
        "a secret in a command",
        "Arguments of a process are visible to every user of the machine. Hand the secret over by `env:`.",
    ),
    (
        "PGF0124",
        "a password written in clear",
        "The spec is checked in, so a password in it is known to everybody who reads the repository, for ever. Keep it \
         in the environment and write `${env.NAME}`. If it was committed already, change it.",
    ),
    (
        "PGF0125",
        "resources wait for each other",
        "Each of the resources named refers to the next, or lists it in `depends_on`, and the last to the first. Take \
         one of these references away; each is marked.",
    ),
    (
        "PGF0126",
        "unknown provider",
        "The keys under `providers:` are the first halves of resource types.",
    ),
    (
        "PGF0127",
        "a reference that is not possible here",
        "Settings of providers, `name`, `run` and `state` are needed before any resource is looked at, so they take \
         only variables and the environment. The type of a resource and the default of a variable take plain values \
         only.",
    ),
    // PGF0128 is retired: it was "not in this version yet".
    (
        "PGF0129",
        "a key that has no meaning here",
        "`on_remove`, `on_exists` and `lifecycle` are for managed resources: only these are made, found to exist \
         already, or deleted. Of runs, `lifecycle` takes `replace_when`. `timeouts` has `create`, `update` and `delete` \
         for managed resources, `create` for runs, and `create` (opening) and `delete` (closing) for scopes; what is \
         looked up has none.",
    ),
    (
        "PGF0130",
        "a value for a variable that is not declared",
        "A warning: the value given on the command line, in a file or by the environment is used by nothing.",
    ),
    (
        "PGF0131",
        "fields that do not go together",
        "Some fields are alternatives: exactly one of them, or at least one, must be there.",
    ),
    (
        "PGF0132",
        "a former name that cannot be",
        "`renamed_from: OLD` says that what the state knows as OLD is this resource now. So OLD is an address that no \
         block of the spec has any more, and that only one block claims.",
    ),
    (
        "PGF0133",
        "a bad `for_each`",
        "`for_each` takes a list of texts and numbers, each there once, or a map. What is listed, or the keys of the \
         map, name the instances: `dump[\"eu\"]`. They are written as they are, or put in by variables; nothing that \
         an apply brings about can decide how many resources there are.",
    ),
    (
        "PGF0134",
        "`each` outside of a `for_each`",
        "`${each.key}` and `${each.value}` are what differs between the instances of a block with `for_each`. Anywhere \
         else there is nothing that they could stand for.",
    ),
    (
        "PGF0135",
        "a variable's value is not allowed",
        "The variable's `validation` says what its value may be: `pattern`, a regular expression for text; `one_of`, the \
         values allowed; `min` and `max`, for the number, for how many letters a text has, or for how many elements a \
         list or a map has. Of a list, `pattern` and `one_of` are for each element.",
    ),
    (
        "PGF0201",
        "looking at it failed",
        "A plan compares the spec with what is really there, and what is there could not be read: no answer, an answer \
         that says no, or credentials that are missing or not allowed. The message holds the cause. What would be an \
         answer after a while (a limit of requests, a server that is busy) was asked for several times before. Nothing \
         was changed; plan again when the cause is gone.",
    ),
    (
        "PGF0202",
        "what is looked up is not there",
        "A lookup such as `linode.database` is only ever read, and what it names does not exist where the credentials \
         can see it. Check the fields that name it, and that the token belongs to the account that has it. A migration \
         that is done stays plannable after its source is gone: this is said only where something still needs it.",
    ),
    (
        "PGF0203",
        "a field that cannot be changed in place",
        "The app, add-on or bucket exists with another value of the field, and its provider can only make a new one. \
         Since that loses what it holds, it is never planned by itself. Put the former value back; or give the new one \
         a block of its own, let the data move there under a new `run:`, and take the old block away later; or, if what \
         it holds may be lost, plan again with `--replace ADDRESS` and, of an app or add-on, `--confirm ADDRESS=NAME`.",
    ),
    (
        "PGF0204",
        "the target is gone with the data in it",
        "Something that data was moved into (an add-on, its app) is no longer there, though a restore into it is \
         remembered as done. A new one would be empty, and the runs that filled the former one would not run again by \
         themselves. To move the data again, change `run:` in a reviewed commit. If the former one can be had back, \
         bring it back and plan again. It is the same where the spec names another target than the one that a restore \
         was done to, and what comes after it would go on with that one.",
    ),
    (
        "PGF0205",
        "deleting needs a confirmation of the day",
        "An app or add-on would be deleted with everything in it: because its block left the spec after saying \
         `on_remove: destroy`, or because what it belongs to is deleted. That takes `--confirm ADDRESS=NAME` on the \
         command line, where NAME is its name at the provider, given for this one run; the spec cannot say it in \
         advance. To keep it, put the block back, or leave out the confirmation that takes it along.",
    ),
    (
        "PGF0206",
        "it is protected from being deleted",
        "Its block said `lifecycle: { prevent_destroy: true }` when it was last applied, and the state remembers: taking \
         the block away, `--replace` and `destroy` do not lift that. To lift it, write `prevent_destroy: false` in its \
         block and apply; then delete it in a second run. To let it go without deleting it, take it out of the state \
         with `pgferry state rm ADDRESS`.",
    ),
    (
        "PGF0207",
        "it exists already",
        "Its block says `on_exists: fail`, and something of that name exists that is not in the state and that pgferry \
         has not begun to make. Give the resource another name; or, if it is the one that is meant, leave `on_exists` \
         out: it is then taken into the state and brought to what the spec says.",
    ),
    (
        "PGF0208",
        "it cannot be renamed so",
        "A block says `renamed_from: OLD`, but the state knows both names, or knows OLD as something of another type. \
         With both names in the state, one of them is another thing: leave `renamed_from` out, or forget the one that \
         is wrong with `pgferry state rm ADDRESS`. A thing of another type is never the same thing: leave \
         `renamed_from` out.",
    ),
    (
        "PGF0209",
        "what was begun has no block any more",
        "An act was cut short, or goes on elsewhere, and the spec no longer has the block that stands for it. Passing \
         over it could leave a restore running into the target, or something half made that nobody remembers. Put the \
         block back and apply, which settles it; or say under which name it goes on with `renamed_from:`. If you know \
         that nothing of it can be going on, `pgferry state rm ADDRESS` forgets it.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_unique() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
