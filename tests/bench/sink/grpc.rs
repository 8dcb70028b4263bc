//! As much of gRPC as OTLP clients use: unary calls of `LogsService/Export` over HTTP/2 without TLS.
//!
//! Source: the gRPC project's "gRPC over HTTP2". Every call is taken for an `Export`, since agents make no other.

use std::{io, net::TcpStream, sync::Arc};

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};

use super::arrivals::{Arrivals, Encoding};

/// Whether a message is compressed, and its length: before each message.
const PREFIX_BYTES: usize = 5;
/// Large, so that no call is held up by the sink's windows.
const WINDOW_BYTES: u32 = 16 << 20;
const FRAME_BYTES: u32 = 1 << 20;
/// A message in which nothing was rejected is empty: only its prefix is sent.
const ACCEPTED: &[u8] = &[0; PREFIX_BYTES];

/// Answers the calls of one connection until its client ends it.
///
/// # Errors
/// If the connection breaks, or speaks another protocol.
pub fn answer(stream: TcpStream, arrivals: &Arc<Arrivals>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let mut connection = builder.max_frame_size(FRAME_BYTES).handshake(stream).await.map_err(io::Error::other)?;
        while let Some(call) = connection.accept().await {
            let (request, respond) = call.map_err(io::Error::other)?;
            // Ends with its call, or with the connection; a call that breaks is the client's to notice.
            tokio::spawn(export(request, respond, Arc::clone(arrivals)));
        }
        Ok(())
    })
}

async fn export(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    arrivals: Arc<Arrivals>,
) -> Result<(), h2::Error> {
    let named = request.headers().get("grpc-encoding").map_or("", |name| name.to_str().unwrap_or("?"));
    let encoding = Encoding::named(named);
    let mut stream = request.into_body();
    let mut message = Vec::new();
    while let Some(frame) = stream.data().await {
        let frame = frame?;
        stream.flow_control().release_capacity(frame.len())?;
        message.extend_from_slice(&frame);
    }
    let wire_bytes = message.len() as u64;
    // 12 is UNIMPLEMENTED, which gRPC asks for an encoding that is not known.
    let status = match (encoding, message.first()) {
        (Some(encoding), Some(compressed)) if message.len() >= PREFIX_BYTES => {
            let encoding = if *compressed == 1 { encoding } else { Encoding::Identity };
            arrivals.take(encoding, message.split_off(PREFIX_BYTES), wire_bytes);
            "0"
        }
        _ => "12",
    };
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut answer = respond.send_response(head, false)?;
    if status == "0" {
        answer.send_data(Bytes::from_static(ACCEPTED), false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    answer.send_trailers(trailers)
}
