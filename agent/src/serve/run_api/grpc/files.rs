//! The bytes of files, as streams of messages.

use std::{future::ready, io, pin::pin};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use runlog_proto::v1;
use tonic::{Status, Streaming};

use crate::{
    api::{Api, Problem, Reason},
    serve::run_api::{
        files::{Range, take_pieces},
        read::{open, pieces_of, unreadable},
    },
};

pub(super) type Pieces = BoxStream<'static, Result<v1::FilePiece, Status>>;

/// Takes a file, or what is missing of it.
pub(super) async fn take(api: &Api, mut pieces: Streaming<v1::FilePiece>) -> Result<v1::FileState, Status> {
    let nothing = || Problem::new(Reason::Malformed, "nothing was sent").at("sha256");
    let v1::FilePiece { sha256, size, offset, bytes } = pieces.message().await?.ok_or_else(nothing)?;
    let range = range(size, offset)?;
    let rest = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.message().await.transpose()?;
        let broken =
            |status: Status| Problem::new(Reason::Malformed, format!("the file broke off: {}", status.message()));
        Some((piece.map(|piece| Bytes::from(piece.bytes)).map_err(broken), pieces))
    });
    let pieces = pin!(stream::once(ready(Ok(Bytes::from(bytes)))).chain(rest));
    take_pieces(api, &sha256, range, pieces).await.map_err(|problem| {
        let is_range = problem.field == "content-range";
        Status::from(if is_range { problem.at("offset") } else { problem })
    })
}

/// What comes of a file: up to its end, unless it is cut.
fn range(size: u64, offset: u64) -> Result<Option<Range>, Problem> {
    match size {
        0 if offset == 0 => Ok(None),
        size if offset <= size => Ok(Some(Range { first: offset, end: size, total: size })),
        size => {
            let message = format!("byte {offset} is behind the end of a file of {size} bytes");
            Err(Problem::invalid("offset", message, &format!("0 to {size}")))
        }
    }
}

/// Gives the bytes of a run's file. The first message says what file it is.
pub(super) async fn fetch(api: &Api, request: v1::FetchFileRequest) -> Result<Pieces, Problem> {
    let v1::FetchFileRequest { run_id, name, offset } = request;
    let (artifact, file, size) = open(api, run_id, name, "name").await?;
    if offset > size {
        let message = format!("byte {offset} is behind the end of the file");
        return Err(Problem::invalid("offset", message, &format!("0 to {size}")));
    }
    let head = v1::FilePiece { sha256: artifact.sha256, size, offset, bytes: Vec::new() };
    let piece = |read: io::Result<Vec<u8>>| match read {
        Ok(bytes) => Ok(v1::FilePiece { bytes, ..v1::FilePiece::default() }),
        Err(error) => Err(unreadable(error).into()),
    };
    let pieces = pieces_of(file, offset).await?.map(piece);
    Ok(stream::once(ready(Ok(head))).chain(pieces).boxed())
}
