use std::fmt::Write as _;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;

use super::*;

/// A connection on which the request is answered with `parts`, and closed after the last.
fn answered(parts: Vec<Vec<u8>>) -> UnixStream {
    let (ours, mut engine) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(engine.read_u8().await.unwrap());
        }
        for part in parts {
            // A client that has its answer may be gone.
            if engine.write_all(&part).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    ours
}

async fn read(parts: Vec<Vec<u8>>) -> Result<(StatusCode, Vec<u8>), Broken> {
    let (status, mut body) = Body::ask(answered(parts), "/_ping").await?;
    let mut payload = Vec::new();
    while let Some(bytes) = body.next().await? {
        assert!(!bytes.is_empty());
        payload.extend_from_slice(bytes);
    }
    Ok((status, payload))
}

async fn read_by_hyper(parts: Vec<Vec<u8>>) -> Result<(StatusCode, Vec<u8>), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(answered(parts))).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/_ping").header("host", "docker").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let payload = answer.into_body().collect().await?.to_bytes().to_vec();
    connection.abort();
    Ok((status, payload))
}

fn head(length: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{length}\r\n\r\n").into_bytes()
}

fn chunk(data: &[u8], extension: &str) -> Vec<u8> {
    [format!("{:X}{extension}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// Cuts at the given shares of the length.
fn cut(bytes: &[u8], shares: &[f64]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = shares.iter().map(|share| (bytes.len() as f64 * share) as usize).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn an_answer_is_read_as_hyper_reads_it_wherever_it_is_cut(
        chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..300), 0_usize..3), 0..8),
        trailers in 0_usize..3,
        is_chunked: bool,
        ends_at in prop::option::of(0.0..1.0_f64),
        cuts in prop::collection::vec(0.0..=1.0_f64, 0..6),
    ) {
        let payload: Vec<u8> = chunks.iter().flat_map(|(data, _)| data.clone()).collect();
        let mut answer = if is_chunked {
            let encoded = chunks.iter().flat_map(|(data, extension)| chunk(data, ["", ";a=b", " ;x"][*extension]));
            let mut answer = head("Transfer-Encoding: chunked");
            answer.extend(encoded.chain(b"0\r\n".to_vec()));
            (0..trailers).for_each(|n| answer.extend(format!("x-{n}: y\r\n").into_bytes()));
            answer.extend(b"\r\n");
            answer
        } else {
            let mut length = String::new();
            write!(length, "Content-Length: {}", payload.len()).unwrap();
            [head(&length), payload.clone()].concat()
        };
        answer.truncate(ends_at.map_or(answer.len(), |share| (answer.len() as f64 * share) as usize));
        let parts = cut(&answer, &cuts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ours, theirs) = runtime.block_on(async { (read(parts.clone()).await, read_by_hyper(parts).await) });
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} and {:?}", ours, theirs);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(ours.1, payload);
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_trusted_to_end_is_refused() {
    let cases = [
        (head("Connection: close"), "the answer does not say how it will end"),
        (head("Transfer-Encoding: gzip"), "the answer does not say how it will end"),
        (head("Content-Length: many"), "the answer does not say how it will end"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "the answer is not HTTP"),
        (
            [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; BUFFER]].concat(),
            "the answer's head is longer than 65536 bytes",
        ),
        ([head("Transfer-Encoding: chunked"), b"\r\n".to_vec()].concat(), "the answer has a chunk without a size"),
        ([head("Transfer-Encoding: chunked"), b"1\r\nab".to_vec()].concat(), "the answer has a chunk without a size"),
        (
            [head("Transfer-Encoding: chunked"), b"10000000000000000\r\n".to_vec()].concat(),
            "the answer has a chunk without a size",
        ),
        ([head("Transfer-Encoding: chunked"), chunk(b"line\n", "")].concat(), "the answer ends in its midst"),
    ];
    for (answer, message) in cases {
        assert_eq!(read(vec![answer]).await.unwrap_err().to_string(), message);
    }
}

#[tokio::test]
async fn what_arrives_together_is_given_out_together() {
    let lines: Vec<u8> = (0..100).flat_map(|n| chunk(format!("line {n}\n").as_bytes(), "")).collect();
    let end = b"0\r\n\r\n".to_vec();
    let all = [head("Transfer-Encoding: chunked"), lines, end].concat();
    let (_, mut body) = Body::ask(answered(vec![all]), "/_ping").await.unwrap();
    let first = body.next().await.unwrap().map(<[u8]>::to_vec).unwrap();
    assert_eq!(String::from_utf8(first).unwrap().lines().count(), 100);
    assert!(body.next().await.unwrap().is_none());
}
