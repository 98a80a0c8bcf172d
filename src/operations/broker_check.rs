//! Whether the broker is as the service needs it, where somebody declared it by hand.

use serde::Serialize;

use crate::broker::{self, BrokerError, CheckState, Finding, Management};
use crate::config::BrokerConfig;

/// What was looked at on the broker, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokerCheck {
    /// `broker.prefix`, which the names begin with.
    pub prefix: String,
    /// All that was looked at, in the order exchanges, queues, bindings, policy.
    pub findings: Vec<Finding>,
}

impl BrokerCheck {
    /// How many things were found so.
    pub fn count(&self, state: CheckState) -> usize {
        self.findings.iter().filter(|finding| finding.state == state).count()
    }
}

/// Why the broker could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum BrokerCheckError {
    /// The URL of the management API is none.
    #[error("the URL of the management API: {0}")]
    ManagementUrl(String),
    /// The broker or its management API could not be asked.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Looks at exchanges, queues and their arguments; with the management API, at bindings and the policy too. Changes
/// nothing.
///
/// # Errors
/// Where there is nobody to ask.
pub async fn broker_check(
    config: &BrokerConfig,
    management_url: Option<&str>,
) -> Result<BrokerCheck, BrokerCheckError> {
    let management = management_url.map(|url| Management::new(url, config)).transpose();
    let management = management.map_err(BrokerCheckError::ManagementUrl)?;
    let findings = broker::check(config, management.as_ref()).await?;
    Ok(BrokerCheck { prefix: config.prefix.clone(), findings })
}
