//! What happens when things break, with real processes: upstreams are killed with SIGKILL, plans are edited under load.

mod accounts;
mod chaos;
mod client;
mod kill;
mod plan_edit;
mod processes;
