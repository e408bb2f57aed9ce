//! The statements of an archive's entry of rights, and whom they name.
//!
//! `pg_dump` writes one grantee a statement (`buildACLCommands`, dumputils.c). Tested beside it.

use super::restorer::Restorer;

/// Those of `definition` that `restorer` can carry out, and the roles of those that it cannot. Nothing is left where no
/// statement can.
pub(crate) fn fitting(definition: &str, restorer: &Restorer) -> (Option<String>, Vec<String>) {
    let (mut kept, mut lost) = (String::new(), Vec::new());
    let mut impersonating = false;
    for statement in split(definition, ';') {
        let words: Vec<&str> =
            split(statement, ' ').into_iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        // Rights that somebody else than the owner has granted.
        if let Some(at) = words.windows(2).position(|pair| pair == ["SESSION", "AUTHORIZATION"]) {
            impersonating = words[0] == "SET";
            let role = words.get(at + 2).map(|role| plain(role));
            if restorer.superuser && role.is_none_or(|role| restorer.knows(&role)) {
                kept.push_str(&format!("{};\n", statement.trim()));
            }
            continue;
        }
        let grantee = words.iter().rposition(|word| ["TO", "FROM"].contains(word));
        let grantee = grantee.and_then(|at| words[at + 1..].iter().find(|word| **word != "GROUP"));
        let of = words.windows(3).find(|three| three[..2] == ["FOR", "ROLE"]).map(|three| three[2]);
        let Some(role) = grantee.map(|role| plain(role)) else {
            lost.push(statement.trim().to_owned());
            continue;
        };
        let fits = restorer.knows(&role)
            && of.is_none_or(|of| restorer.decides_for(&plain(of)))
            && object(&words).is_none_or(|object| restorer.may_close(&object))
            && (!impersonating || restorer.superuser);
        if fits {
            kept.push_str(&format!("{};\n", statement.trim()));
        } else {
            lost.push(role);
        }
    }
    (Some(kept).filter(|kept| !kept.is_empty()), lost)
}

/// What the rights are on, `SCHEMA public`; none of those of the future.
fn object(words: &[&str]) -> Option<String> {
    if words.first() == Some(&"ALTER") {
        return None;
    }
    let on = words.iter().position(|word| *word == "ON")?;
    Some(words.get(on + 1..on + 3)?.join(" "))
}

/// Divides at `mark`, or any white space for a space, outside of quotes and parentheses.
fn split(text: &str, mark: char) -> Vec<&str> {
    let (mut parts, mut begin, mut quoted, mut depth) = (Vec::new(), 0, false, 0_i32);
    for (at, sign) in text.char_indices() {
        let is_mark = sign == mark || (mark == ' ' && sign.is_ascii_whitespace());
        match sign {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if is_mark && !quoted && depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + sign.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// A role's name without its quotes.
fn plain(role: &str) -> String {
    match role.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None if role == "PUBLIC" => "public".to_owned(),
        None => role.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_by_their_roles() {
        let restorer = |superuser| Restorer {
            role: "me".into(),
            superuser,
            roles: ["me", "reader", "we\"ird TO x"].map(str::to_owned).into(),
            ..Restorer::default()
        };
        let check = |text: &str, superuser: bool, kept: &str, lost: &[&str]| {
            let (found, missing) = fitting(text, &restorer(superuser));
            assert_eq!(
                (
                    found.unwrap_or_default().as_str(),
                    &missing.iter().map(String::as_str).collect::<Vec<_>>()[..]
                ),
                (kept, lost),
                "{text}"
            );
        };
        let grant = "GRANT SELECT ON TABLE public.t TO reader;\n";
        check(grant, false, grant, &[]);
        check(
            "REVOKE ALL ON TABLE public.t FROM app;\nGRANT ALL ON TABLE public.t TO app;\nGRANT SELECT ON TABLE public.t TO reader;\n",
            false,
            grant,
            &["app", "app"],
        );
        let odd = "GRANT SELECT(\"a TO b\") ON TABLE \"x; TO y\".\"t \"\" FROM z\" TO \"we\"\"ird TO x\" WITH GRANT OPTION;\n";
        check(odd, false, odd, &[]);
        let public =
            "REVOKE ALL ON FUNCTION public.f(a timestamp with time zone, b integer) FROM PUBLIC;\n";
        check(public, false, public, &[]);
        let default =
            "ALTER DEFAULT PRIVILEGES FOR ROLE me IN SCHEMA s GRANT SELECT ON TABLES TO reader;\n";
        check(default, false, default, &[]);
        let foreign = default.replace("ROLE me", "ROLE reader");
        check(&foreign, false, "", &["reader"]);
        check(&foreign, true, &foreign, &[]);
        let member = Restorer { acts_for: ["reader".to_owned()].into(), ..restorer(false) };
        assert_eq!(fitting(&foreign, &member), (Some(foreign.clone()), vec![]));
        let by_another = "SET SESSION AUTHORIZATION reader;\nGRANT SELECT ON TABLE t TO me;\nRESET SESSION AUTHORIZATION;\n";
        check(by_another, true, by_another, &[]);
        check(by_another, false, "", &["me"]);
        let schema = "REVOKE USAGE ON SCHEMA public FROM PUBLIC;\n";
        check(schema, false, "", &["public"]);
        check(schema, true, schema, &[]);
        let language = "REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;\n";
        check(language, false, "", &["public"]);
        check("ANYTHING ELSE;", true, "", &["ANYTHING ELSE"]);
        let heroku = Restorer { heroku: true, ..restorer(false) };
        assert_eq!(fitting(public, &heroku), (None, vec!["public".to_owned()]));
    }
}
