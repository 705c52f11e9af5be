//! What a waiter for the turn asks for.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::rules::Rules;

/// What is written into the record when a waiter gets the turn, and the rules that it goes by.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) owner: Uuid,
    pub(crate) label: Option<Arc<str>>,
    /// Further fields of the record, which a gateway has.
    pub(crate) facts: Option<Arc<Map<String, Value>>>,
    pub(crate) rules: Arc<Rules>,
}
