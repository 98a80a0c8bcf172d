//! Notifications that there is new work, from whatever process wrote it.

use std::future::poll_fn;

use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, NoTls};

use super::error::StoreError;
use super::pool::Store;

impl Store {
    /// Wakes everyone waiting on `wake` whenever a transaction has added letters, until the connection is
    /// lost. Wakes them once at the start too: letters may have come before anyone listened.
    ///
    /// # Errors
    /// Always ends with one: call it again after a pause.
    pub async fn listen(&self, wake: &Notify) -> Result<std::convert::Infallible, StoreError> {
        let unreachable =
            |error: tokio_postgres::Error| StoreError::from(deadpool_postgres::PoolError::Backend(error));
        let (client, mut connection) = self.config().connect(NoTls).await.map_err(unreachable)?;
        let listening = client.batch_execute("listen channel_sync_letters");
        tokio::pin!(listening);
        let mut listens = false;
        loop {
            tokio::select! {
                done = &mut listening, if !listens => {
                    done.map_err(unreachable)?;
                    listens = true;
                    wake.notify_waiters();
                }
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => wake.notify_waiters(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(unreachable(error)),
                    None => return Err(StoreError::Unreachable("the connection was closed".to_owned())),
                },
            }
        }
    }
}
