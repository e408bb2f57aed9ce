//! Time as tests want it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use pgferry_engine::cx::Clock;

/// A clock that is moved by hand; who sleeps on it sleeps until then.
#[derive(Clone)]
pub(crate) struct Hands(Arc<tokio::sync::watch::Sender<i64>>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tokio::sync::watch::Sender::new(0)))
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.0.send_modify(|now| *now += seconds);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(*self.0.borrow())
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut hands = self.0.subscribe();
        let until = *self.0.borrow() + i64::try_from(time.as_secs()).expect("no longer");
        Box::pin(async move {
            let _gone = hands.wait_for(|now| *now >= until).await;
        })
    }
}
