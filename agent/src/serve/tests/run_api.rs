//! The Run API over HTTP, on a store that is written to at once.

use super::*;
use crate::store::{Digest, MetricsQuery};

const KEY: &str = "00000000000000000000000000000007";

impl Site {
    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, Json) {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(body.into()).unwrap()).await;
        let (status, body) = (response.status(), bytes(response).await);
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    async fn ask(&self, path: &str, body: Json) -> (StatusCode, Json) {
        self.call(Method::POST, path, &[], body.to_string().into_bytes()).await
    }

    pub(super) async fn started(&self, run: &str) {
        let (status, answer) = self.ask("/api/v1/runs", json!({"run_id": run, "experiment": "diabetes"})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    pub(super) async fn logged(&self, run: &str, entries: Json) -> Json {
        let (status, answer) = self.ask(&format!("/api/v1/runs/{run}/log"), json!({"entries": entries})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn metrics(&self, path: &str) -> Json {
        let (status, mut answer) = self.json::<Json>(path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["metrics"].take()
    }
}

#[tokio::test]
async fn a_run_is_found_with_what_it_was_started_with_and_how_it_ended() {
    let site = Site::open().await;
    let request = json!({
        "run_id": "ridge/1", "experiment": "diabetes", "name": "ridge", "time": 5,
        "tags": {"model": "ridge"}, "parameters": {"alpha": 0.4, "depth": 3}, "properties": {"commit": "abc"},
    });
    let (status, answer) = site.ask("/api/v1/runs", request).await;
    assert_eq!((status, &answer["run"]["status"]), (StatusCode::OK, &json!("running")));
    let failure = json!({"error_code": "OutOfMemory", "error_message": "no memory", "time": "1970-01-01T00:00:01Z"});
    let (status, answer) = site.ask("/api/v1/runs/ridge%2F1/fail", failure).await;
    assert_eq!((status, &answer["run"]["status"]), (StatusCode::OK, &json!("failed")));

    let (_, run): (_, v1::Run) = site.json("/api/v1/runs/ridge%2F1").await;
    let texts = [&run.experiment, &run.name, &run.error_code, &run.error_message];
    assert_eq!(texts, ["diabetes", "ridge", "OutOfMemory", "no memory"]);
    assert_eq!((run.start_time_unix_nano, run.end_time_unix_nano), (5, 1_000_000_000));
    let notes = serde_json::to_value([&run.tags, &run.parameters, &run.properties]).unwrap();
    assert_eq!(notes, json!([{"model": "ridge"}, {"alpha": 0.4, "depth": 3}, {"commit": "abc"}]));
}

#[tokio::test]
async fn every_kind_of_metric_reads_back_as_it_was_logged() {
    let site = Site::open().await;
    site.started("r").await;
    let long: Vec<i64> = (0..600).collect();
    let wide: Vec<String> = (0..900).map(|row| format!("{row:0100}")).collect();
    let entries = json!([
        {"scalar": {"name": "loss", "value": 0.1, "step": 1}, "time": 10},
        {"scalar": {"name": "loss", "value": {"number": "NaN"}}, "time": 20},
        {"scalar": {"name": "loss", "value": -0.0, "step": 3}, "time": 30},
        {"scalar": {"name": "text", "value": "\u{1f642}"}},
        {"scalar": {"name": "nothing", "value": null}},
        {"scalar": {"name": "truth", "value": true}},
        {"scalar": {"name": "large", "value": i64::MIN}},
        {"scalar": {"name": "double", "value": 3.0}},
        {"list": {"name": "long", "values": long}},
        {"row": {"name": "cosine", "columns": {"angle": 0.5, "cos": 0.878}}, "time": 1},
        {"row": {"name": "cosine", "columns": {"angle": 1, "note": "x"}}, "time": 2},
        {"table": {"name": "wide", "columns": {"a": wide, "b": [1]}}},
    ]);
    let answer = site.logged("r", entries).await;
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(12), &json!([])));
    assert_eq!(answer["warnings"][0]["entry"], 11, "a table with unequal columns: {answer}");

    let metrics = site.metrics("/api/v1/runs/r/metrics").await;
    assert_eq!(metrics["loss"]["values"].to_string(), r#"[0.1,{"number":"NaN"},-0.0]"#);
    assert_eq!(metrics["loss"]["steps"], json!([1, null, 3]));
    assert_eq!(metrics["loss"]["times_unix_nano"], json!([10, 20, 30]));
    let single = ["text", "nothing", "truth", "large", "double"].map(|name| metrics[name]["values"].to_string());
    assert_eq!(single, ["[\"\u{1f642}\"]", "[null]", "[true]", "[-9223372036854775808]", "[3.0]"]);
    assert_eq!((&metrics["long"]["kind"], &metrics["long"]["values"]), (&json!("list"), &json!(long)));
    let rows = json!({"angle": [0.5, 1], "cos": [0.878, null], "note": [null, "x"]});
    assert_eq!((&metrics["cosine"]["kind"], &metrics["cosine"]["columns"]), (&json!("row"), &rows));
    assert_eq!(metrics["wide"]["columns"]["a"], json!(wide));
    assert_eq!(metrics["wide"]["columns"]["b"][1], Json::Null);
}

#[tokio::test]
async fn a_call_that_is_sent_again_with_its_key_counts_once() {
    let site = Site::open().await;
    site.started("r").await;
    let entries = json!([{"scalar": {"name": "a", "value": 1}}, {"list": {"name": "b", "values": vec![2; 300]}}]);
    for _ in 0..2 {
        let call = json!({"key": KEY, "entries": entries});
        assert_eq!(site.ask("/api/v1/runs/r/log", call).await.0, StatusCode::OK);
    }
    let metrics = site.metrics("/api/v1/runs/r/metrics").await;
    assert_eq!((&metrics["a"]["total"], &metrics["b"]["total"]), (&json!(1), &json!(300)));
    let twice = json!([{"scalar": {"name": "c", "value": 1}}]);
    site.logged("r", twice.clone()).await;
    site.logged("r", twice).await;
    assert_eq!(site.metrics("/api/v1/runs/r/metrics?name=c").await["c"]["total"], 2, "without a key both count");

    let born = json!({"key": KEY, "experiment": "e"});
    let (first, again) = (site.ask("/api/v1/runs", born.clone()).await.1, site.ask("/api/v1/runs", born).await.1);
    assert_eq!(first["run"]["run_id"], again["run"]["run_id"]);
}

#[tokio::test]
async fn an_entry_that_cannot_be_kept_costs_no_other() {
    let site = Site::open().await;
    site.started("r").await;
    let entries = json!([
        {"scalar": {"name": "good", "value": 1}},
        {"scalar": {"name": "", "value": 1}},
        {"scalar": {"name": "list", "value": [1]}},
        {"scalar": {"name": "long", "value": "x".repeat(70_000)}},
        {"artifact": {"name": "../etc/passwd", "sha256": "0".repeat(64)}},
        {"artifact": {"name": "a", "sha256": "beef"}},
        {"row": {"name": "t", "columns": {}}},
        {"tag": {"key": "a\nb", "value": 1}},
        {},
        {"scalar": {"name": "late", "value": 1}, "time": "yesterday"},
    ]);
    let answer = site.logged("r", entries).await;
    assert_eq!(answer["accepted"], 1);
    let rejected = answer["rejected"].as_array().unwrap().iter();
    let told: Vec<_> =
        rejected.map(|remark| [&remark["field"], &remark["reason"]].map(|text| text.as_str().unwrap())).collect();
    let expected = [
        ["scalar.name", "INVALID"],
        ["scalar.value", "MALFORMED"],
        ["scalar.value", "TOO_LARGE"],
        ["artifact.name", "INVALID"],
        ["artifact.sha256", "INVALID"],
        ["row.columns", "INVALID"],
        ["tag.key", "INVALID"],
        ["", "INVALID"],
        ["time", "INVALID"],
    ];
    assert_eq!(told, expected);
    assert_eq!(site.metrics("/api/v1/runs/r/metrics").await["good"]["values"], json!([1]));
}

#[tokio::test]
async fn a_call_of_which_nothing_can_be_kept_says_why_and_where() {
    let site = Site::open().await;
    site.started("r").await;
    site.started("over").await;
    site.ask("/api/v1/runs/over/complete", json!({})).await;
    let scalar = json!({"entries": [{"scalar": {"name": "a", "value": 1}}]});
    let cases = [
        ("/api/v1/runs/nobody/log", scalar.clone(), StatusCode::NOT_FOUND, "UNKNOWN_RUN", "run_id"),
        ("/api/v1/runs/over/log", scalar, StatusCode::CONFLICT, "RUN_ENDED", "entries[0]"),
        ("/api/v1/runs/over/fail", json!({}), StatusCode::CONFLICT, "RUN_ENDED", "run_id"),
        (
            "/api/v1/runs/r/log",
            json!({"entries": [{"scalar": {"name": 5}}]}),
            StatusCode::BAD_REQUEST,
            "MALFORMED",
            "entries[0].scalar.name",
        ),
        ("/api/v1/runs/r/log", json!("x"), StatusCode::BAD_REQUEST, "MALFORMED", ""),
        ("/api/v1/runs/r/log", json!({"key": "x", "entries": []}), StatusCode::BAD_REQUEST, "INVALID", "key"),
        ("/api/v1/runs/r/status", json!({"status": "done"}), StatusCode::BAD_REQUEST, "INVALID", "status"),
        ("/api/v1/runs", json!({"run_id": "a\u{7}"}), StatusCode::BAD_REQUEST, "INVALID", "run_id"),
        (
            "/api/v1/runs",
            json!({"tags": {"t": "x".repeat(70_000)}}),
            StatusCode::PAYLOAD_TOO_LARGE,
            "TOO_LARGE",
            "tags.t",
        ),
        ("/api/v1/runs/r/children", json!({"count": 5000}), StatusCode::BAD_REQUEST, "INVALID", "count"),
    ];
    for (path, body, status, reason, field) in cases {
        let (found, answer) = site.ask(path, body).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert_eq!(answer["reason"], reason, "{path}: {answer}");
        assert_eq!(answer.get("field").and_then(Json::as_str).unwrap_or_default(), field, "{path}: {answer}");
    }
    let page = site.call(Method::POST, "/api/v1/runs", &[("origin", "http://evil.example")], vec![]).await;
    assert_eq!((page.0, &page.1["reason"]), (StatusCode::FORBIDDEN, &json!("WEB_PAGE")));
}

#[tokio::test]
async fn a_run_that_has_ended_takes_tags_and_goes_on_when_it_is_taken_up() {
    let site = Site::open().await;
    site.started("r").await;
    site.ask("/api/v1/runs/r/complete", json!({})).await;
    site.logged("r", json!([{"tag": {"key": "best", "value": true}}])).await;
    let (_, run): (_, Json) = site.json("/api/v1/runs/r").await;
    assert_eq!((&run["status"], &run["tags"]), (&json!("completed"), &json!({"best": true})));
    site.ask("/api/v1/runs/r/status", json!({"status": "running"})).await;
    site.logged("r", json!([{"scalar": {"name": "a", "value": 1}}])).await;
    assert_eq!(site.json::<Json>("/api/v1/runs/r").await.1["status"], "running");
}

#[tokio::test]
async fn a_run_that_was_canceled_before_it_began_goes_on_when_it_is_taken_up() {
    let site = Site::open().await;
    site.ask("/api/v1/runs", json!({"run_id": "r", "status": "queued"})).await;
    site.ask("/api/v1/runs/r/cancel", json!({})).await;
    let (_, run) = site.ask("/api/v1/runs/r/status", json!({"status": "running"})).await;
    assert_eq!(run["run"]["status"], "running", "{run}");
}

#[tokio::test]
async fn what_clashes_with_a_name_is_said() {
    let site = Site::open().await;
    site.started("r").await;
    site.logged("r", json!([{"scalar": {"name": "a", "value": 1}}])).await;
    let answer = site.logged("r", json!([{"row": {"name": "a", "columns": {"x": 1}}}])).await;
    assert!(answer["warnings"][0]["message"].as_str().unwrap().contains("not among the metrics"), "{answer}");
    assert_eq!(site.metrics("/api/v1/runs/r/metrics").await["a"]["values"], json!([1]));
    assert!(site.bodies("r").contains(&"a x=1".to_owned()), "it is in the log");
}

#[tokio::test]
async fn children_are_found_by_their_parent_and_their_metrics_with_it() {
    let site = Site::open().await;
    site.started("sweep").await;
    let (_, answer) = site.ask("/api/v1/runs/sweep/children", json!({"count": 2, "name": "alpha"})).await;
    let children: Vec<v1::Run> = serde_json::from_value(answer["runs"].clone()).unwrap();
    assert_eq!([&children[0].name, &children[1].name, &children[0].experiment], ["alpha-1", "alpha-2", "diabetes"]);
    for (child, mse) in children.iter().zip([3, 4]) {
        site.logged(&child.run_id, json!([{"scalar": {"name": "mse", "value": mse}}])).await;
    }
    let (_, list): (_, v1::ListRunsResponse) = site.json("/api/v1/runs?parent=sweep&experiment=diabetes").await;
    assert_eq!(list.runs.len(), 2);
    assert_eq!(site.metrics("/api/v1/runs/sweep/metrics?recursive=1").await["mse"]["values"], json!([3, 4]));
    assert_eq!(site.metrics("/api/v1/runs/sweep/metrics").await, json!({}));
}

#[tokio::test]
async fn runs_are_found_by_tag_and_status() {
    let site = Site::open().await;
    for (run, model) in [("a", "ridge"), ("b", "lasso"), ("c", "ridge")] {
        site.ask("/api/v1/runs", json!({"run_id": run, "tags": {"model": model, "n": 1}})).await;
    }
    site.ask("/api/v1/runs/c/complete", json!({})).await;
    let cases = [
        ("tag=model%3Dridge", vec!["c", "a"]),
        ("tag=model", vec!["c", "b", "a"]),
        ("tag=model%3Dridge&status=running", vec!["a"]),
        ("tag=n%3D1&tag=model%3Dlasso", vec!["b"]),
        ("before=b", vec!["a"]),
        ("limit=1", vec!["c"]),
        ("tag=model%3Dother", vec![]),
    ];
    for (question, expected) in cases {
        let (_, list): (_, v1::ListRunsResponse) = site.json(&format!("/api/v1/runs?{question}")).await;
        assert_eq!(list.runs.iter().map(|run| &run.run_id[..]).collect::<Vec<_>>(), expected, "{question}");
    }
    let (status, answer) = site.json::<Json>("/api/v1/runs?tags=x").await;
    assert_eq!((status, &answer["field"]), (StatusCode::BAD_REQUEST, &json!("tags")));
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_is_read_back_by_its_name() {
    let site = Site::open().await;
    site.started("r").await;
    let model: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
    let (digest, _) = Digest::of(&model[..]).unwrap();
    let path = format!("/api/v1/files/{}", digest.as_str());
    let piece = |first: usize, end: usize| {
        let range = format!("bytes {first}-{}/40000", end - 1);
        let (site, path, body) = (&site, &path, model[first..end].to_vec());
        async move { site.call(Method::PUT, path, &[("content-range", &range)], body).await }
    };
    assert_eq!(piece(0, 15_000).await.0, StatusCode::ACCEPTED);
    let (status, answer) = piece(20_000, 40_000).await;
    assert_eq!((status, &answer["reason"]), (StatusCode::CONFLICT, &json!("WRONG_RANGE")));
    let head = site.send(Request::head(site.url(&path)).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (head.status(), &head.headers()["runlog-held-bytes"]),
        (StatusCode::NOT_FOUND, &"15000".parse().unwrap())
    );
    let (status, answer) = piece(15_000, 40_000).await;
    assert_eq!((status, &answer["is_whole"]), (StatusCode::OK, &json!(true)));

    let artifact = json!({"name": "outputs/model.bin", "sha256": digest.as_str(), "size": 40_000, "key": KEY});
    assert_eq!(site.ask("/api/v1/runs/r/artifacts", artifact).await.0, StatusCode::OK);
    let (_, list): (_, v1::ListFilesResponse) = site.json("/api/v1/runs/r/files").await;
    assert_eq!((&list.files[0].name[..], list.files[0].is_held), ("outputs/model.bin", true));
    let response = site.get("/api/v1/runs/r/files/outputs/model.bin").await;
    assert_eq!(bytes(response).await, model);
    let rest = Request::get(site.url("/api/v1/runs/r/files/outputs/model.bin")).header("range", "bytes=39990-");
    let response = site.send(rest.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (response.status(), bytes(response).await),
        (StatusCode::PARTIAL_CONTENT, model[39_990..].to_vec().into())
    );
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_thrown_away() {
    let site = Site::open().await;
    let path = format!("/api/v1/files/{}", "0".repeat(64));
    for headers in [&[][..], &[("content-range", "bytes 0-2/3")]] {
        let (status, answer) = site.call(Method::PUT, &path, headers, b"abc".to_vec()).await;
        assert_eq!((status, &answer["reason"]), (StatusCode::BAD_REQUEST, &json!("WRONG_DIGEST")));
        let head = site.send(Request::head(site.url(&path)).body(Body::empty()).unwrap()).await;
        assert_eq!(head.headers()["runlog-held-bytes"], "0");
    }
    let (status, answer) = site.call(Method::PUT, "/api/v1/files/..%2F..%2Fx", &[], b"abc".to_vec()).await;
    assert_eq!((status, &answer["field"]), (StatusCode::BAD_REQUEST, &json!("sha256")));
}

#[tokio::test]
async fn a_deleted_run_is_gone_with_its_files_but_for_those_of_others() {
    let site = Site::open().await;
    let files: Vec<Digest> = [&b"own"[..], b"shared"].map(|file| Digest::of(file).unwrap().0).into();
    for (digest, body) in files.iter().zip([b"own".to_vec(), b"shared".to_vec()]) {
        site.call(Method::PUT, &format!("/api/v1/files/{}", digest.as_str()), &[], body).await;
    }
    for (run, digests) in [("gone", &files[..]), ("kept", &files[1..])] {
        site.started(run).await;
        for digest in digests {
            let artifact = json!({"name": digest.as_str(), "sha256": digest.as_str()});
            site.ask(&format!("/api/v1/runs/{run}/artifacts"), artifact).await;
        }
        site.logged(run, json!([{"scalar": {"name": "a", "value": 1}}])).await;
    }
    let (status, answer) = site.call(Method::DELETE, "/api/v1/runs/gone", &[], vec![]).await;
    assert_eq!((status, &answer["reason"]), (StatusCode::CONFLICT, &json!("NOT_ENDED")));
    site.ask("/api/v1/runs/gone/complete", json!({})).await;
    assert_eq!(site.call(Method::DELETE, "/api/v1/runs/gone", &[], vec![]).await.0, StatusCode::NO_CONTENT);

    assert_eq!(site.get("/api/v1/runs/gone").await.status(), StatusCode::NOT_FOUND);
    let held: Vec<_> = files.iter().map(|digest| site.store.held(digest).unwrap().0).collect();
    assert_eq!(held, [false, true]);
    site.started("gone").await;
    let metrics = site.store.reader().metrics(&MetricsQuery::of("gone")).unwrap();
    assert!(metrics.metrics.is_empty(), "a new run of that name has nothing of the old one");
}

#[tokio::test]
async fn what_runs_have_logged_is_the_same_when_the_index_was_made_again() {
    let site = Site::open().await;
    site.ask("/api/v1/runs", json!({"run_id": "r", "tags": {"a": 1}, "parameters": {"b": 0.5}})).await;
    let entries = json!([
        {"scalar": {"name": "loss", "value": 0.1, "step": 1}},
        {"list": {"name": "list", "values": [1, null, "x", {"number": "NaN"}]}},
        {"row": {"name": "row", "columns": {"a": 1, "b": {"number": "-Infinity"}}}},
        {"table": {"name": "table", "columns": {"a": [1, 2], "b": [true, null]}}},
        {"artifact": {"name": "model", "sha256": "0".repeat(64), "size": 7}},
        {"tag": {"key": "a", "value": 2}},
        {"parameter": {"key": "b", "value": 0.75}},
    ]);
    for _ in 0..2 {
        let answer = site.ask("/api/v1/runs/r/log", json!({"key": KEY, "entries": entries})).await;
        assert_eq!(answer.1["accepted"], 7, "{}", answer.1);
    }
    site.ask("/api/v1/runs/r/fail", json!({"error_code": "UserError"})).await;
    let told = |store: &Store| {
        let reader = store.reader();
        let metrics = serde_json::to_string(&reader.metrics(&MetricsQuery::of("r")).unwrap()).unwrap();
        let (run, files) = (reader.find("r").unwrap(), reader.files("r").unwrap());
        (metrics, serde_json::to_string(&run).unwrap(), serde_json::to_string(&files).unwrap())
    };
    let before = told(&site.store);
    assert!(
        before.1.contains(r#""a":2"#) && before.1.contains(r#""b":0.5"#),
        "the last tag, the first parameter: {}",
        before.1
    );
    std::fs::remove_file(site.dir.path().join("index.sqlite")).unwrap();
    assert_eq!(told(&Store::open(site.dir.path()).unwrap()), before);
}

#[tokio::test]
async fn every_question_of_a_run_waits_until_the_store_has_what_was_answered_before() {
    let questions = ["", "/metrics", "/files", "/logs", "/logs?follow=1"];
    for question in questions {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let late = Arc::clone(&store);
        let api = Api::new(crate::api::Parts {
            sink: Arc::new(Receiver::new(Arc::clone(&store))),
            store: Some(Arc::clone(&store)),
            settle: Arc::new(move || {
                append(&late, 0, "r", &[line(1, Severity::INFO, "said before")]);
                Box::pin(async {})
            }),
            own: None,
            clock: Arc::new(SystemClock),
        });
        let site = Site::of(dir, store, api, Access::Open, Arc::new(Well)).await;
        let answer = site.get(&format!("/api/v1/runs/r{question}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{question}");
    }
}
