//! Which web pages may use a listener.

/// Pages that may use a listener although they come from another host.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origins {
    /// Every page of the world may.
    pub all: bool,
    /// Each as a browser says it: scheme, host in lower case, and port unless it is the usual one.
    pub listed: Vec<String>,
}

impl Origins {
    /// Whether a page of this `Origin` is among them.
    pub fn has(&self, origin: &str) -> bool {
        self.all || self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// Reads an entry: `*` or an origin such as `https://app.example`. In none there is anything behind the port.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str) -> Result<String, String> {
        if text == "*" {
            return Ok(text.into());
        }
        let wrong = || {
            "it must be \"*\", or an origin as browsers say it, such as \"https://app.example\"".to_owned()
        };
        let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme || authority.is_empty() {
            return Err(wrong());
        }
        if authority.contains(|c: char| "/?#@*".contains(c) || c.is_whitespace() || c.is_control()) {
            return Err(format!(
                "an origin is a scheme, a host and perhaps a port, without wildcards and nothing behind it; {}",
                wrong()
            ));
        }
        Ok(text.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_say_them() {
        for good in
            ["*", "https://app.example", "http://localhost:5173", "http://[::1]:80", "capacitor://localhost"]
        {
            assert_eq!(Origins::read(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "app.example",
            "https://",
            "://x",
            "https://app.example/",
            "https://*.example",
            "https://a b",
        ] {
            assert!(Origins::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_are_let_in_that_are_listed() {
        let listed = Origins { all: false, listed: vec!["https://app.example".into()] };
        assert!(listed.has("https://app.example") && listed.has("https://APP.example"));
        assert!(
            !listed.has("https://app.example.evil")
                && !listed.has("http://app.example")
                && !listed.has("null")
        );
        assert!(Origins { all: true, listed: vec![] }.has("null"));
    }
}
