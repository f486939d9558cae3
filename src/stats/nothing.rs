//! For unit tests: what rooms above would tell, where there are none.

#![forbid(unsafe_code)]

use crate::stats::{ConnFigures, Figures, Section, TlsFigures};

/// No conns, no TLS, no lines.
pub(crate) struct Nothing;

impl Figures for Nothing {
    fn conns(&self) -> ConnFigures {
        ConnFigures::default()
    }

    fn tls(&self) -> Option<TlsFigures> {
        None
    }

    fn reset(&self) {}
}

impl Section for Nothing {
    fn lines(&self, _line: &mut dyn FnMut(&str, &str)) {}
}
