//! channel-sync keeps the settings of channel partners in step with their channel managers.

pub mod contract;
pub mod delay;
pub mod domain;
pub mod flow;
pub mod store;
