//! Where an event goes next and what may be said. Pure: it decides, others send.

pub mod slip;
