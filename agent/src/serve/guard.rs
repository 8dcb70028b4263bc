//! Keeps the web pages of others from reading what is served here.
//!
//! A page from anywhere may have its own name point at this machine (DNS rebinding); the browser then lets it read
//! the answers, but sends that name as `Host`. So only names are served that cannot be such: `localhost`, loopback
//! addresses, the address listened on, and any literal address where all are listened on.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::fault::Fault;

// Nothing but our own script, style, picture and API; the page contains no code and no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses requests that name another host.
pub(super) async fn check_host(State(listen): State<SocketAddr>, request: Request, next: Next) -> Response {
    if is_ours(request.headers(), listen) {
        return next.run(request).await;
    }
    let error = format!("this is not the host that was asked for; use http://localhost:{}/", listen.port());
    Fault::new(StatusCode::MISDIRECTED_REQUEST, error).into_response()
}

/// Tells browsers to trust the answer with nothing.
pub(super) async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap, listen: SocketAddr) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == listen.ip() || listen.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_only_names_that_no_one_else_can_own_are_served() {
        let loopback = "127.0.0.1:4319";
        let cases = [
            (loopback, Some("localhost:4319"), true),
            (loopback, Some("LOCALHOST"), true),
            (loopback, Some("127.0.0.1:8080"), true),
            (loopback, Some("[::1]:4319"), true),
            (loopback, Some("192.0.2.7:4319"), false),
            (loopback, Some("evil.example:4319"), false),
            (loopback, Some("localhost.evil.example"), false),
            (loopback, Some("127.0.0.1.evil.example"), false),
            (loopback, Some("evil.example@localhost"), false),
            (loopback, Some(""), false),
            (loopback, None, false),
            ("192.0.2.7:4319", Some("192.0.2.7:4319"), true),
            ("0.0.0.0:4319", Some("192.0.2.7:4319"), true),
            ("0.0.0.0:4319", Some("evil.example"), false),
        ];
        for (listen, host, ours) in cases {
            let headers = host.map(|host| (header::HOST, HeaderValue::from_str(host).unwrap())).into_iter().collect();
            assert_eq!(is_ours(&headers, listen.parse().unwrap()), ours, "{host:?} on {listen}");
        }
    }
}
