//! The HTTP endpoints of a running operator: `/healthz`, `/readyz` and `/metrics`.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    controller::Health,
    metrics::{self, Metrics},
};

/// The state that the endpoints share.
#[derive(Clone)]
struct AppState {
    health: Health,
    metrics: Metrics,
}

/// Serves the endpoints for as long as it is polled.
///
/// # Errors
/// Returns an error if the address can't be listened on.
pub async fn serve(address: SocketAddr, health: Health, metrics: Metrics) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz, /readyz and /metrics");
    let router = Router::new()
        .route(
            "/healthz",
            get(async |State(app): State<AppState>| probe(app.health.alive())),
        )
        .route(
            "/readyz",
            get(async |State(app): State<AppState>| probe(app.health.ready())),
        )
        .route(
            "/metrics",
            get(async |State(app): State<AppState>| page(&app.metrics)),
        )
        .with_state(AppState { health, metrics });
    axum::serve(listener, router).await
}

fn probe(answer: Result<(), &'static str>) -> (StatusCode, &'static str) {
    match answer {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn page(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
