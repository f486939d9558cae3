//! The rooms of the server in walking order.
