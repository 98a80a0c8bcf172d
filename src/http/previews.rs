//! Previews over HTTP: few at one time, and none for long.

use axum::http::StatusCode;

use super::App;
use super::problem::Problem;
use super::turns::Turns;
use crate::operations::{self, Preview, PreviewOptions, RehearsalLimits};

/// How many previews are worked on at one time.
const PREVIEWS_MAX: usize = 2;

/// How many entries a preview goes through, by and large. Each is kept in memory, in half a kilobyte: for two previews at
/// one time some 200 MiB, in a process that has other things to do. On the command line it is
/// [`operations::PREVIEW_ENTRIES_MAX`].
pub(super) const ENTRIES_MAX: usize = 200_000;

/// The turns for previews.
#[derive(Debug, Clone)]
pub struct Previews(Turns);

/// How much of a preview is told.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Most jobs of an event.
    pub jobs_max: usize,
    /// Most entries of a job.
    pub entries_max: usize,
}

impl Default for Previews {
    fn default() -> Self {
        Self(Turns::new(PREVIEWS_MAX, "preview"))
    }
}

impl Previews {
    /// What the events of this text would do: one, or JSON Lines.
    ///
    /// # Errors
    /// 400 where the text cannot be read, 503 where others are at it or it takes too long, or what the database says.
    pub async fn preview(&self, app: &App, text: &str, shown: Shown) -> Result<Preview, Problem> {
        let events = operations::read_supposed(text).map_err(|malformed| {
            Problem::new(StatusCode::BAD_REQUEST, "malformed-body", malformed.to_string())
        })?;
        if events.is_empty() {
            let detail = "there is no event; expected one, or several as JSON Lines";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-body", detail));
        }
        let options = PreviewOptions {
            catalogue: &app.config.catalogue,
            limits: app.config.ingest.limits(),
            rehearsal: RehearsalLimits {
                batch_letters_max: app.config.executor.batch_letters_max,
                batch_writes_max: app.config.executor.batch_writes_max,
                entries_max: ENTRIES_MAX,
            },
            jobs_max: shown.jobs_max,
            entries_max: shown.entries_max,
        };
        let _turn = self.0.take().await?;
        self.0.within(operations::preview(&app.store, &events, &options)).await
    }
}
