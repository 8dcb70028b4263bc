//! The page: its files, compiled in.

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::{MethodRouter, get},
};

const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html; charset=utf-8", include_str!("../../ui/index.html")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../../ui/app.js")),
    ("/chart.js", "text/javascript; charset=utf-8", include_str!("../../ui/chart.js")),
    ("/lines.js", "text/javascript; charset=utf-8", include_str!("../../ui/lines.js")),
    ("/results.js", "text/javascript; charset=utf-8", include_str!("../../ui/results.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../../ui/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("../../ui/icon.svg")),
];

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, media_type, text)| router.route(path, file(media_type, text)))
}

fn file<S: Clone + Send + Sync + 'static>(media_type: &'static str, text: &'static str) -> MethodRouter<S> {
    get(move || async move { ([(CONTENT_TYPE, media_type)], text).into_response() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_puts_text_in_as_text_and_loads_nothing_from_elsewhere() {
        for (path, _, text) in FILES {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""] {
                assert!(!text.contains(forbidden), "{path} contains {forbidden}");
            }
            // The one address that is written out names a kind of picture and is never asked.
            let addresses = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!addresses.contains("://"), "{path} names an address");
        }
    }
}
