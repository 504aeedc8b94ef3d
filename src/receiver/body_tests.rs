//! What is read of a body, and what is refused.

use futures::stream;

use super::*;

fn budget() -> Budget {
    Budget::new(16 << 20)
}

#[test]
fn the_room_for_a_body_never_grows_past_the_cap() {
    let mut sink = Sink::new(100, &budget());
    sink.put(&[0; 60]).unwrap();
    sink.put(&[0; 40]).unwrap();
    assert_eq!(sink.bytes.capacity(), 100);
    assert_eq!(sink.put(&[0]), Err(too_large(100)));
}

#[tokio::test]
async fn the_room_of_a_body_is_used_again_and_stays_bounded() {
    let budget = Budget::new(64 << 20);
    let taken_in = async |bytes: usize| {
        let held = read(Body::from(vec![1; bytes]), 16 << 20, &budget).await.unwrap();
        assert_eq!(held.bytes, vec![1; bytes]);
        held
    };
    let first = taken_in(100_000).await;
    let room = first.bytes.as_ptr();
    let reader = first.bytes.clone();
    drop(first);
    assert_ne!(taken_in(90_000).await.bytes.as_ptr(), room, "it is still read");
    drop(reader);
    let kept = |budget: &Budget| budget.spares.0.lock().iter().map(Vec::capacity).sum::<usize>();
    assert_eq!(kept(&budget), 190_000);
    let again = taken_in(95_000).await;
    assert_eq!((again.bytes.as_ptr(), kept(&budget)), (room, 90_000));
    drop(again);
    let mut large = Vec::new();
    for _ in 0..9 {
        large.push(taken_in(4 << 20).await);
    }
    drop(large);
    assert!(kept(&budget) <= SPARES_BYTES_MAX);
    assert_eq!(budget.free_kib.available_permits(), 64 << 10);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_however_it_comes() {
    let announced = read(Body::from(vec![0; 11]), 10, &budget()).await.unwrap_err();
    assert_eq!(announced, too_large(10));
    let pieces = stream::iter([Ok::<_, std::io::Error>(vec![0; 6]), Ok(vec![0; 5])]);
    let unannounced = read(Body::from_stream(pieces), 10, &budget()).await.unwrap_err();
    assert_eq!(unannounced, too_large(10));
    assert_eq!(read(Body::from(vec![0; 10]), 10, &budget()).await.unwrap().bytes.len(), 10);
}

#[tokio::test]
async fn a_sender_that_breaks_off_is_told_where() {
    let pieces = stream::iter([Ok(vec![0; 6]), Err(std::io::Error::other("gone"))]);
    let failure = read(Body::from_stream(pieces), 10, &budget()).await.unwrap_err();
    assert_eq!(failure.message, "the body breaks off after 6 bytes: gone");
}

#[tokio::test]
async fn without_room_in_the_budget_the_sender_comes_back_later() {
    let budget = Budget::new(4096);
    let first = read(Body::from(vec![0; 3000]), 4096, &budget).await.unwrap();
    let failure = read(Body::from(vec![0; 3000]), 4096, &budget).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Busy { retry_after: RETRY_AFTER });
    assert_eq!(failure.message, "the requests at work hold 4096 bytes (bytes_in_flight_max)");
    drop(first);
    let mut again = read(Body::from(vec![0; 2000]), 4096, &budget).await.unwrap();
    again.cover_twice().unwrap();
    assert_eq!(budget.free_kib.available_permits(), 0);
    assert_eq!(again.cover_twice().unwrap_err().kind, failure.kind);
    drop(again);
    assert_eq!(budget.free_kib.available_permits(), 4);
}
