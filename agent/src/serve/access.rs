//! Who is answered: whoever reaches the address, or who shows a token.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};

use super::fault::Fault;
use crate::receive::Token;

/// Who is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the address.
    Open,
    /// Who shows this.
    Token(Token),
}

impl Access {
    /// What a request shows in `Authorization`, if anything is asked for.
    #[must_use]
    pub fn to_show(&self) -> Option<HeaderValue> {
        match self {
            Self::Open => None,
            Self::Token(token) => token.to_show(),
        }
    }

    fn is_given(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Open => true,
            Self::Token(token) => token.is_shown(headers),
        }
    }

    /// Lets nobody else to what is answered there.
    pub(super) fn guard(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), check))
    }
}

async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    if access.is_given(request.headers()) {
        return next.run(request).await;
    }
    let error = "a token is asked for here (serve.token): send it as `authorization: Bearer <token>`";
    let fault = Fault::new(StatusCode::UNAUTHORIZED, error).because("NO_TOKEN");
    ([(header::WWW_AUTHENTICATE, "Bearer")], fault).into_response()
}
