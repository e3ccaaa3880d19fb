//! Who may read: on a loopback address, requests that name one; elsewhere, requests with the token.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{Shared, headers};

/// Name of the token in the address of the page. The cookie that keeps it has the port behind it: a browser sends
/// cookies to all ports of a machine.
const TOKEN: &str = "token";

/// A secret that the address of the page contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Makes a token from random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a text is this token. Digests are compared, so the time says nothing about the token.
    fn is(&self, text: &str) -> bool {
        blake3::hash(text.as_bytes()) == blake3::hash(self.0.as_bytes())
    }
}

/// Who may read.
#[derive(Clone, Debug)]
pub enum Access {
    /// Requests to a loopback address or to `localhost`.
    Loopback,
    /// Requests with this token.
    Token(Token),
}

/// Refuses a request that may not read. A token in the address becomes a cookie, for the requests of the page.
pub(crate) async fn check(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let refused = |why: &'static str| (StatusCode::FORBIDDEN, headers("text/plain"), why).into_response();
    match &*shared.access {
        Access::Loopback if names_loopback(request.headers()) => next.run(request).await,
        Access::Loopback => refused("this server answers requests to localhost only"),
        Access::Token(token) => {
            let cookie = format!("{TOKEN}{}", shared.port);
            let given = in_query(request.uri().query()).any(|text| token.is(text));
            if !given && !in_cookies(request.headers(), &cookie).any(|text| token.is(text)) {
                return refused("open the whole address that `serve` printed, with its token");
            }
            let mut answer = next.run(request).await;
            let cookie = format!("{cookie}={}; HttpOnly; SameSite=Strict; Path=/", token.text());
            if let (true, Ok(cookie)) = (given, HeaderValue::from_str(&cookie)) {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
    }
}

/// Whether the host of a request is a loopback address or `localhost`, with any port.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns all tokens in the address. There may be several, and only one needs to be right.
fn in_query(query: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = query.unwrap_or_default().split('&').filter_map(|part| part.split_once('='));
    parts.filter(|(name, _)| *name == TOKEN).map(|(_, text)| text)
}

/// Returns the values of all cookies of this name.
fn in_cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    pairs.filter(move |(known, _)| *known == name).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, HeaderValue::from_str(name).unwrap())])
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for name in ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]"] {
            assert!(names_loopback(&host(name)), "{name}");
        }
        for name in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "[fe80::1]"]
        {
            assert!(!names_loopback(&host(name)), "{name}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_read_from_the_address_and_from_cookies() {
        let token = Token::new([7; 16]);
        assert_eq!(token.text(), "07".repeat(16));
        let query = format!("a=b&token=x&token={}", token.text());
        assert!(in_query(Some(&query)).any(|text| token.is(text)));
        let cookies = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=b; token80=x; token8=y; token80=z"))]);
        assert_eq!(in_cookies(&cookies, "token80").collect::<Vec<_>>(), ["x", "z"]);
        assert!(!token.is("x") && in_query(Some("tokens=1")).next().is_none() && in_query(None).next().is_none());
    }
}
