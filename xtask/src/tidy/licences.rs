//! Licences, banned crates and crates that come in twice, by the rules of deny.toml.
//!
//! deny.toml is the file of cargo-deny, which reads it too; this check needs nothing installed.

use super::metadata::Package;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// The part of deny.toml that is checked here.
pub(super) struct Rules {
    allowed: Vec<String>,
    /// Licences allowed for one crate only.
    exceptions: Vec<(String, Vec<String>)>,
    /// A banned crate and why.
    banned: Vec<(String, String)>,
    /// Crates that may come in more than one version.
    doubled: Vec<String>,
}

impl Rules {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let list = |section: &str, key: &str| {
            let value = table.get(section).and_then(|section| section.get(key));
            value.and_then(Value::as_array).cloned().ok_or(format!("no list `{key}` in [{section}]"))
        };
        let exceptions = list("licenses", "exceptions")?;
        let exceptions = exceptions.iter().map(|entry| Ok((crate_name(entry)?, strings(entry.get("allow")))));
        let banned = list("bans", "deny")?;
        let banned = banned.iter().map(|entry| {
            let reason = entry
                .get("reason")
                .and_then(Value::as_str)
                .ok_or(format!("{entry}: a ban needs a reason"))?;
            Ok((crate_name(entry)?, reason.to_owned()))
        });
        let doubled = list("bans", "skip")?;
        Ok(Self {
            allowed: strings(Some(&Value::Array(list("licenses", "allow")?))),
            exceptions: exceptions.collect::<Result<_, String>>()?,
            banned: banned.collect::<Result<_, String>>()?,
            doubled: doubled.iter().map(crate_name).collect::<Result<_, _>>()?,
        })
    }

    fn allows(&self, package: &Package, licence: &str) -> bool {
        let special =
            self.exceptions.iter().find(|(name, _)| *name == package.name).map(|(_, licences)| licences);
        let mut all = self.allowed.iter().chain(special.into_iter().flatten());
        all.any(|allowed| allowed == licence)
    }
}

/// cargo-deny takes a name alone, or a table with `crate` or `name`.
fn crate_name(entry: &Value) -> Result<String, String> {
    let name = entry
        .as_str()
        .or(entry.get("crate").and_then(Value::as_str))
        .or(entry.get("name").and_then(Value::as_str));
    // A version may follow after `@`.
    let name = name.and_then(|name| name.split('@').next());
    name.map(str::to_owned).ok_or(format!("{entry}: names no crate"))
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn check(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
        if let Some((name, reason)) = rules.banned.iter().find(|(name, _)| *name == package.name) {
            findings.push(format!("{name} {}: banned: {reason}", package.version));
        }
        if package.ours {
            continue;
        }
        match &package.licence {
            None => findings.push(format!("{} {}: names no licence", package.name, package.version)),
            Some(licence) if !satisfied(licence, &|name| rules.allows(package, name)) => {
                findings.push(format!(
                    "{} {}: `{licence}` is not among the licences of deny.toml",
                    package.name, package.version
                ))
            }
            Some(_) => {}
        }
    }
    for (name, versions) in versions {
        if versions.len() > 1 && !rules.doubled.iter().any(|doubled| doubled == name) {
            findings.push(format!("{name}: comes in {} versions ({})", versions.len(), versions.join(", ")));
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied with allowed licences. `AND` binds closer than `OR`; the
/// slash of old manifests means `OR`; `WITH` belongs to the licence's name.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut result = all_of(rest, allowed);
    while take(rest, "OR") {
        result |= all_of(rest, allowed);
    }
    result
}

fn all_of(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut result = one(rest, allowed);
    while take(rest, "AND") {
        result &= one(rest, allowed);
    }
    result
}

fn one(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    if take(rest, "(") {
        let result = any_of(rest, allowed);
        return take(rest, ")") && result;
    }
    let Some((name, tail)) = rest.split_first() else { return false };
    *rest = tail;
    if take(rest, "WITH") {
        let Some((exception, tail)) = rest.split_first() else { return false };
        *rest = tail;
        return allowed(&format!("{name} WITH {exception}"));
    }
    allowed(name)
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    match rest.split_first() {
        Some((first, tail)) if *first == token => {
            *rest = tail;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: Some(licence.into()),
            ours: false,
            manifest: String::new(),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn expressions_are_read_as_spdx_does() {
        let allowed = |name: &str| ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].contains(&name);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0 AND (MIT OR Zlib)", "GPL-3.0 OR", "(MIT", ""] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn each_breach_is_found() {
        let rules = Rules::parse(
            "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"b\", allow = [\"NCSA\"] }]\n\
             [bans]\ndeny = [{ crate = \"c\", reason = \"old\" }]\nskip = [\"d\"]\n",
        )
        .expect("the rules are well formed");
        let packages = [
            package("a", "1.0.0", "GPL-3.0"),
            package("b", "1.0.0", "NCSA"),
            package("c", "1.0.0", "MIT"),
            package("d", "1.0.0", "MIT"),
            package("d", "2.0.0", "MIT"),
            package("e", "1.0.0", "MIT"),
            package("e", "2.0.0", "MIT"),
        ];
        let findings = check(&rules, &packages);
        assert_eq!(
            findings,
            [
                "a 1.0.0: `GPL-3.0` is not among the licences of deny.toml",
                "c 1.0.0: banned: old",
                "e: comes in 2 versions (1.0.0, 2.0.0)",
            ]
        );
    }
}
