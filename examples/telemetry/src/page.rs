//! Serves the page with the charts. It talks to the hub by itself; this server only hands out its files.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

const HTML: &str = include_str!("../web/index.html");
const STYLE: &str = include_str!("../web/telemetry.css");
const SCRIPT: &str = include_str!("../web/telemetry.js");
const CHART: &str = include_str!("../web/chart.js");
const LOGO: &str = include_str!("../../../console/logo.svg");

/// The page, bound to its port and not yet serving.
pub(crate) struct Page {
    listener: TcpListener,
    router: Router,
}

impl Page {
    /// Takes the port, so that one that is in use is told before anything else happens. `hub` is the address of the
    /// hub's WebSocket, for the page.
    pub(crate) async fn bind(address: SocketAddr, hub: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let configuration = serde_json::json!({ "hub": hub }).to_string();
        let router = Router::new()
            .route("/", get(|| file("text/html; charset=utf-8", HTML.to_owned())))
            .route("/telemetry.css", get(|| file("text/css", STYLE.to_owned())))
            .route("/telemetry.js", get(|| file("text/javascript", SCRIPT.to_owned())))
            .route("/chart.js", get(|| file("text/javascript", CHART.to_owned())))
            .route("/logo.svg", get(|| file("image/svg+xml", LOGO.to_owned())))
            .route("/configuration.json", get(move || file("application/json", configuration.clone())));
        Ok(Self { listener, router })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the program ends.
    pub(crate) async fn serve(self) -> io::Result<()> {
        axum::serve(self.listener, self.router).await
    }
}

async fn file(content_type: &'static str, body: String) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        // The hub may be anywhere, so any WebSocket is allowed; everything else comes from here.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'",
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
        let page = Page::bind("127.0.0.1:0".parse().unwrap(), "ws://127.0.0.1:8080/ws").await.unwrap();
        let address = page.address().unwrap();
        tokio::spawn(page.serve());
        assert!(fetch(address, "/").await.contains("<title>"));
        assert!(fetch(address, "/telemetry.js").await.contains("content-type: text/javascript"));
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
