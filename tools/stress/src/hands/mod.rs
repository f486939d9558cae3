//! Those who work beside the clients, each on a thread and a connection of its own: administrators who give orders
//! ([`orders`]), read dumps ([`dumps`]) and statistics ([`lists`]), flush ([`flusher`]), and who reads so slowly that
//! items stay pinned ([`slow`]). One has no connection: it speaks UDP ([`datagrams`]).

pub mod datagrams;
pub mod dumps;
pub mod flusher;
pub mod lists;
pub mod orders;
pub mod slow;
