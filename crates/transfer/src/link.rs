//! Symbolic links that point to nothing outside what is sent.

use crate::name;

/// Whether a link at this path leads to something below the first name of the path.
///
/// Its target may go up first, no further than to the first name, and then only down. A `..` behind a name is refused
/// even if it seems to stay inside: the name may be a link itself, and `..` is then above where that one leads.
#[must_use]
pub fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || target.contains(&0) || target.len() > name::PATH_BYTES_MAX {
        return false;
    }
    // A link below the first name itself can go up as often as there are folders between the two.
    let Some(mut ups_left) = name::names(path).count().checked_sub(2) else { return false };
    let mut went_down = false;
    for part in name::names(target.strip_suffix(b"/").unwrap_or(target)) {
        match part {
            b".." if went_down || ups_left == 0 => return false,
            b".." => ups_left -= 1,
            b"" => return false,
            b"." => {}
            _ => went_down = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_inside_are_told_from_others() {
        for (path, target) in [
            ("a/l", "b"),
            ("a/l", "b/c/"),
            ("a/b/l", "../c"),
            ("a/b/c/l", "../../d"),
            ("a/l", "./b"),
            ("a/l", "..."),
        ] {
            assert!(stays_inside(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in [
            ("l", "b"),
            ("a/l", "/b"),
            ("a/l", ""),
            ("a/l", ".."),
            ("a/l", "../a"),
            ("a/b/l", "../../c"),
            ("a/b/l", "c/../../.."),
            ("a/l", "b/.."),
            ("a/l", "b//c"),
            ("a/l", "b\0"),
        ] {
            assert!(!stays_inside(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }
}
