//! How the queue stands, for whoever asks: the broker is asked by one at a time, and not more than once in a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use crate::broker::{Depth, LinkState, Lookout, Topology};
use crate::config::BrokerConfig;
use crate::operations::{self, Lookup, QueueStatus};

/// For how long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// How the queue stands.
#[derive(Debug, Clone)]
pub struct QueueLook {
    config: Arc<BrokerConfig>,
    lookout: Lookout,
    last: Arc<Mutex<Option<Answer>>>,
}

/// What the broker said, and when.
#[derive(Debug)]
struct Answer {
    at: Instant,
    queue: Lookup<QueueStatus>,
}

impl QueueLook {
    /// Of this broker, over the link that looks there.
    pub fn new(config: &BrokerConfig, lookout: Lookout) -> Self {
        Self { config: Arc::new(config.clone()), lookout, last: Arc::default() }
    }

    /// How the queue stands, as of some seconds ago at most. While the service's own link is not up, nobody tries to
    /// reach the broker.
    pub async fn look(&self, link: &watch::Receiver<LinkState>) -> Lookup<QueueStatus> {
        if !matches!(&*link.borrow(), LinkState::Up { .. }) {
            return Lookup::Unknown("the service is not connected to the broker".to_owned());
        }
        let mut last = self.last.lock().await;
        if let Some(Answer { at, queue }) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return queue.clone();
        }
        let queue = match self.lookout.look().await {
            Some(Depth { messages, consumers }) => {
                let name = Topology::new(&self.config.prefix).events;
                Lookup::Known(QueueStatus { name, messages, consumers })
            }
            // A connection of its own says why.
            None => operations::queue(&self.config).await,
        };
        *last = Some(Answer { at: Instant::now(), queue: queue.clone() });
        queue
    }
}
