use super::*;

fn step(number: u64) -> Step {
    let print = Print { digest: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), time: 1_700_000_000_000_000_000 + number };
    Step { print, start: number * 10, end: number * 10 + 10, beside: 0 }
}

fn position(bytes: Option<Vec<u8>>) -> Position {
    Position::decode(bytes.unwrap().as_slice()).unwrap()
}

#[test]
fn a_position_says_all_about_the_newest_entry_before_the_offset() {
    let place = Place::new(3, 4);
    (0..3).for_each(|number| place.read(Step { beside: number, ..step(number) }));
    place.seam(Seam { time: 7, length: 8 });

    let stored = position(place.at(ReadTo::whole(25)));

    let tail = Place::resumed(&stored).tail();
    assert_eq!((stored.epoch, stored.generation, stored.consumed), (3, 4, 25));
    assert_eq!((tail.end, tail.beside), (20, 1));
    let prints: Vec<Print> = tail.ring.runs().iter().map(|run| run.print).collect();
    assert_eq!(prints, [step(0).print, step(1).print]);
    assert_eq!(tail.ring.seams(), &[Seam { time: 7, length: 8 }]);
    assert_eq!(place.tail().end, 30);
}

#[test]
fn the_position_of_a_long_log_is_small() {
    let place = Place::new(0, 1);
    (0..1000).for_each(|number| place.read(step(number)));
    assert!(place.at(ReadTo::whole(10_000)).unwrap().len() < 512);
}

#[test]
fn an_earlier_offset_does_not_take_the_position_back() {
    let place = Place::new(0, 1);
    (0..3).for_each(|number| place.read(step(number)));
    let later = place.at(ReadTo::whole(20));
    assert_eq!(place.at(ReadTo::whole(10)), later);
}

#[test]
fn entries_that_were_passed_over_leave_a_position_before_or_after_them() {
    let place = Place::new(0, 1);
    let many = 2 * MAX_OUTSTANDING as u64;
    (0..many).for_each(|number| place.read(step(number)));
    assert!(place.lock().outstanding.len() <= MAX_OUTSTANDING + 1);

    let inside = position(place.at(ReadTo::whole(many * 10 - 35)));
    assert_eq!((inside.end, inside.consumed), (MAX_OUTSTANDING as u64 * 10, many * 10 - 35));
    (many..many + 3).for_each(|number| place.read(step(number)));

    let behind = position(place.at(ReadTo::whole(many * 10 + 20)));
    assert_eq!((behind.end, behind.digests.len()), (many * 10 + 20, 2));
}

#[test]
fn a_forgotten_place_leaves_nothing() {
    let place = Place::new(0, 1);
    place.read(step(0));
    place.forget();
    assert_eq!(place.at(ReadTo::whole(10)), Some(Vec::new()));
}
