//! Serves the page of an example. The page talks to the hub by itself; this server only hands out its files.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use tokio::net::TcpListener;

use crate::HubArguments;

/// What every page has beside its own files.
const SHARED: [File; 6] = [
    ("/base.css", include_str!("../web/base.css")),
    ("/connection.js", include_str!("../web/connection.js")),
    ("/element.js", include_str!("../web/element.js")),
    ("/hub.js", include_str!("../web/hub.js")),
    ("/logo.svg", include_str!("../../../console/logo.svg")),
    ("/trefoil.mjs", include_str!("../../../console/trefoil.mjs")),
];

/// A file of a page: its path, beginning with `/`, and its text.
pub type File = (&'static str, &'static str);

/// A page, bound to its port and not yet serving.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    router: Router,
}

impl Page {
    /// Takes the port, so that one that is in use is told before anything else happens. Beside `files` there are
    /// `/logo.svg`, `/base.css` with the colours, `/element.js`, the JavaScript client as `/trefoil.mjs` with `/connection.js`, by which
    /// it finds the hub, and `/hub.js`, a small connection that needs no client; `/configuration.json` says what only the program knows: `{"hub": …}`, the address of the hub's
    /// WebSocket, for instance.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(
        address: SocketAddr,
        configuration: &serde_json::Value,
        files: &[File],
    ) -> io::Result<Page> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot serve the page on {address}: {error}"))
        })?;
        let configuration = configuration.to_string();
        let mut router = Router::new()
            .route("/configuration.json", get(move || answer("application/json", configuration.clone())));
        for &(path, text) in SHARED.iter().chain(files) {
            router = router.route(path, get(move || answer(content_type(path), text.to_owned())));
        }
        Ok(Page { listener, router })
    }

    /// The same with something more to serve, beside the files.
    #[must_use]
    pub fn route(self, path: &str, method: MethodRouter) -> Page {
        Page { router: self.router.route(path, method), ..self }
    }

    /// Where the page is.
    ///
    /// # Errors
    /// When the system has forgotten its address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Prints where the page is.
    ///
    /// # Errors
    /// When nobody reads standard output.
    pub fn announce(&self, arguments: &HubArguments) -> io::Result<()> {
        let address = self.address()?;
        let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
        let mut out = io::stdout();
        writeln!(out, "the page is at http://{}/", SocketAddr::new(ip, address.port()))?;
        match arguments.page_on_a_telephone(address.port()) {
            Some(url) => writeln!(out, "on a telephone in this network: {url}"),
            None => Ok(()),
        }
    }

    /// Serves until the program ends.
    ///
    /// # Errors
    /// When the system gives no more connections.
    pub async fn serve(self) -> io::Result<()> {
        axum::serve(self.listener, self.router).await
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css",
        Some("js" | "mjs") => "text/javascript",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

async fn answer(content_type: &'static str, body: String) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        // The hub may be anywhere, so any connection is allowed; everything else comes from here.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'self'; connect-src 'self' ws: wss: http: https:; base-uri 'none'; form-action 'none'",
        ),
    ];
    (headers, body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn serves_the_page_and_tells_it_where_the_hub_is() {
        let configuration = serde_json::json!({ "hub": "ws://127.0.0.1:8080/ws" });
        let files = [("/", "<title>x</title>"), ("/x.js", "let x;")];
        let page = Page::bind("127.0.0.1:0".parse().unwrap(), &configuration, &files).await.unwrap();
        let address = page.address().unwrap();
        tokio::spawn(page.serve());
        assert!(fetch(address, "/").await.contains("<title>"));
        assert!(fetch(address, "/x.js").await.contains("content-type: text/javascript"));
        assert!(fetch(address, "/logo.svg").await.contains("<svg"));
        assert!(fetch(address, "/configuration.json").await.ends_with(r#"{"hub":"ws://127.0.0.1:8080/ws"}"#));
        assert!(fetch(address, "/../Cargo.toml").await.starts_with("HTTP/1.1 404"));
    }

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
