//! Tests of the engine as its callers see it, and of what must hold inside.
//!
//! `lab` builds engines; `verbs`, `large`, `memory`, `queues`, `cursors`, `crawler`, `expiry` and `moving` test one subject
//! each; `model` drives random verbs against a plain map; `threads` hammers one engine from many threads and checks the
//! invariants; `flooding` chooses keys against the key hash.

mod crawler;
mod cursors;
mod expiry;
mod flooding;
mod invariants;
mod lab;
mod large;
mod memory;
mod model;
mod moving;
mod queues;
mod threads;
mod verbs;
