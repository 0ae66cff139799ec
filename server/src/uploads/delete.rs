//! `DELETE /uploads/{id}` and `POST /uploads/{id}/delete`: deletes an upload for the holder of its token.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use headers::{Authorization, HeaderMapExt, authorization::Bearer};
use url::form_urlencoded;
use worker::UploadId;

use super::body::{PacedBody, body_problem};
use crate::{
    answer::{NO_STORE, see_other},
    app::App,
    client::Client,
    extract::Id,
    problem::Problem,
    telemetry,
};

/// The longest form, in bytes: a token has 43.
const MAX_FORM_BYTES: usize = 4096;

/// The field of the form.
const FIELD: &str = "token";

/// Deletes an upload: `204`, also if it was deleted before.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Id(id): Id,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.check_change(&headers)?;
    let bearer = headers.typed_get::<Authorization<Bearer>>().ok_or_else(Problem::token_needed)?;
    permitted(app, id, client, bearer.token()).await?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE))];
    Ok((StatusCode::NO_CONTENT, no_store).into_response())
}

/// The same by a form, for pages without script. Redirects to the page of the upload, which says that it is gone.
pub(crate) async fn delete_form(
    State(app): State<Arc<App>>,
    Id(id): Id,
    client: Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    app.check_change(&headers)?;
    let form = read_form(body).await?;
    let token =
        form_urlencoded::parse(&form).find(|(name, _)| name == FIELD).map(|(_, token)| token.into_owned());
    let token = token.filter(|token| !token.is_empty()).ok_or_else(Problem::token_needed)?;
    let page = app.links.links(id).this;
    permitted(app, id, client, &token).await?;
    Ok(see_other(page))
}

async fn read_form(body: Body) -> Result<Vec<u8>, Problem> {
    let (mut body, mut form) = (PacedBody::new(body), Vec::new());
    while let Some(piece) = body.next().await {
        form.extend_from_slice(&piece.map_err(|error| body_problem(&error))?);
        if form.len() > MAX_FORM_BYTES {
            return Err(Problem::malformed(format!("The form has more than {MAX_FORM_BYTES} bytes.")));
        }
    }
    Ok(form)
}

/// Deletes an upload if the token permits it. A wrong token costs no read of storage.
async fn permitted(app: Arc<App>, id: UploadId, client: Client, token: &str) -> Result<(), Problem> {
    app.senders.check_guesses(client)?;
    if !app.tokens.secrets(&app.storage).await?.permits(id, token) {
        app.senders.charge_guess(client);
        return Err(Problem::wrong_token());
    }
    // A task of its own finishes the deletion even if the client disconnects now.
    let deleting = {
        let app = Arc::clone(&app);
        async move { app.delete(id).await }
    };
    let deleted = app.in_flight.spawn(deleting).await.map_err(|_panic| Problem::internal())??;
    if deleted.is_some_and(|deleted| deleted.is_new) {
        telemetry::deleted("client");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
