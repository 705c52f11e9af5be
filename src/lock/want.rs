//! What a waiter for the turn asks for.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::rules::Rules;

/// What a waiter for the turn wants written into the record when its time comes.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) owner: Uuid,
    pub(crate) label: Option<Arc<str>>,
    /// Further fields of the record: a gateway's.
    pub(crate) facts: Option<Arc<Map<String, Value>>>,
    pub(crate) rules: Arc<Rules>,
}
