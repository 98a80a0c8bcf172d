//! channel-sync keeps the settings of channel partners in step with their channel managers.

pub mod broker;
pub mod cli;
pub mod config;
pub mod contract;
pub mod delay;
pub mod domain;
pub mod flow;
pub mod http;
pub mod operations;
pub mod service;
pub mod store;
pub mod telemetry;
