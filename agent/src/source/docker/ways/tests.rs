use super::*;
use crate::source::{
    docker::{frame::Stdio, log::key},
    file::position_of,
};

fn begun(positions: &[(String, Vec<u8>)], folder: &Folder) -> Ways {
    let ways = Ways::default();
    ways.begin(&positions.iter().cloned().collect(), folder);
    ways
}

#[test]
fn whoever_comes_first_reads_a_container_until_it_is_gone() {
    let ways = Ways::default();
    assert_eq!(ways.of("a"), None);
    assert_eq!([Way::File, Way::Engine].map(|way| ways.choose("a", way)), [Way::File; 2]);
    assert_eq!([Way::Engine, Way::File].map(|way| ways.choose("b", way)), [Way::Engine; 2]);
    ways.forget("a");
    assert_eq!((ways.of("a"), ways.of("b")), (None, Some(Way::Engine)));
}

#[test]
fn a_container_goes_on_as_an_agent_before_has_begun_it() {
    let [filed, asked, both] = ["a", "b", "c"].map(|letter| letter.repeat(64));
    let folder = Path::new("/docker/containers");
    let rotated = log(folder, &filed).with_extension("log.1");
    let positions = [
        position_of(&rotated),
        position_of(&log(folder, &both)),
        position_of(Path::new("/logs/d/d-json.log")),
        (key(&asked, Stdio::Out), vec![1]),
        (key(&both, Stdio::Err), vec![1]),
        (format!("docker/{}/life", "e".repeat(64)), vec![1]),
    ];
    let ways = begun(&positions, &Folder::OfEngine);
    let of = |ways: &Ways| [&filed, &asked, &both].map(|id| ways.of(id));
    assert_eq!(of(&ways), [Some(Way::File), Some(Way::Engine), Some(Way::Engine)]);
    assert_eq!((ways.of("d"), ways.of(&"e".repeat(64))), (None, None), "neither says how it was read");
    assert_eq!(of(&begun(&positions, &Folder::None)), [None, Some(Way::Engine), Some(Way::Engine)]);
}

#[test]
fn a_container_is_named_from_when_the_engine_speaks_of_it_until_it_does_not_any_more() {
    let ways = Ways::default();
    ways.name("a");
    // The list was made before.
    ways.list(std::iter::empty());
    assert!(ways.is_named("a"));
    ways.list(["b"].into_iter());
    assert_eq!((ways.is_named("a"), ways.is_named("b")), (false, true));
    let changes = ways.changes();
    ways.list(["b"].into_iter());
    ways.name("b");
    assert_eq!(ways.changes(), changes, "there is nothing new");
    ways.name("c");
    assert!(ways.changes() > changes);
}

#[test]
fn a_container_is_gone_when_the_engine_says_so() {
    let ways = Ways::default();
    assert!(!ways.is_gone("a"), "the engine was not heard yet");
    ways.name("a");
    assert!(!ways.is_gone("b"));
    ways.list(["b", "c"].into_iter());
    assert_eq!(["a", "b", "d"].map(|id| ways.is_gone(id)), [false, false, true]);
    let removals = ways.removals();
    ways.removed("b");
    assert!(ways.is_gone("b") && ways.removals() > removals);
    let removals = ways.removals();
    ways.list(["a"].into_iter());
    assert!(ways.is_gone("c") && ways.removals() > removals);
    let removals = ways.removals();
    ways.list(["a"].into_iter());
    assert_eq!(ways.removals(), removals);
}
