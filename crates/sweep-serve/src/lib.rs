//! Hands a page and its changing data to browsers. It only reads: no request changes anything.
//!
//! ```text
//! program --Content--> Server --> GET /            the page
//!                                 GET /page.json   the report and the runs
//!                                 GET /events      events: how far the sweep is, and when the report changed
//! ```
//!
//! A server on a loopback address answers requests that name such an address, so that no foreign page can read it
//! through a name of its own. On any other address each request needs a token.

mod access;
mod visitors;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use visitors::Visitors;

pub use access::{Access, Token};
pub use axum::body::Bytes;

/// Interval at which a silent connection is kept alive.
const ALIVE: Duration = Duration::from_secs(15);

/// What a server hands out. The program changes it at any time.
#[derive(Clone, Debug)]
pub struct Content {
    /// How far the sweep is, as JSON in one line.
    pub state: watch::Receiver<Arc<str>>,
    /// The report and the runs, as JSON; empty until there are any.
    pub page: watch::Receiver<Bytes>,
}

/// The page itself, and what it may load.
#[derive(Clone, Debug)]
pub struct Shell {
    /// The page.
    pub html: Bytes,
    /// Its content security policy.
    pub policy: &'static str,
}

/// What every request sees.
#[derive(Clone)]
struct Shared {
    content: Content,
    shell: Shell,
    access: Arc<Access>,
    port: u16,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on an address. Port 0 chooses a free port.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns the address, with the chosen port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until the future is dropped.
    ///
    /// # Errors
    /// When no more connections can be accepted.
    pub async fn serve(self, shell: Shell, content: Content, access: Access) -> std::io::Result<()> {
        let shared = Shared { content, shell, access: Arc::new(access), port: self.address.port() };
        let routes = Router::new()
            .route("/", get(page))
            .route("/page.json", get(data))
            .route("/events", get(events))
            .layer(axum::middleware::from_fn_with_state(shared.clone(), access::check))
            .with_state(shared);
        axum::serve(Visitors::new(self.listener), routes).await
    }
}

/// Headers of every answer: nothing is kept by the browser, and nothing is taken for another kind.
fn headers(kind: &'static str) -> [(HeaderName, &'static str); 3] {
    [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")]
}

async fn page(State(shared): State<Shared>) -> Response {
    let policy = [(CONTENT_SECURITY_POLICY, shared.shell.policy)];
    (headers("text/html; charset=utf-8"), policy, shared.shell.html.clone()).into_response()
}

async fn data(State(shared): State<Shared>) -> Response {
    let json = shared.content.page.borrow().clone();
    if json.is_empty() {
        return (StatusCode::NOT_FOUND, headers("text/plain"), "nothing is measured yet").into_response();
    }
    (headers("application/json"), json).into_response()
}

async fn events(State(shared): State<Shared>) -> impl IntoResponse {
    let Content { state, page } = shared.content;
    let states = WatchStream::new(state).map(|json| Event::default().event("state").data(&*json));
    // The report may be large, so only its digest is sent. A page that has another one asks for it.
    let pages = WatchStream::new(page).map(|json| {
        let digest = blake3::hash(&json).to_hex();
        Event::default().event("page").data(if json.is_empty() { "" } else { digest.as_str() })
    });
    let events = states.merge(pages).map(Ok::<Event, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}
