//! Connections, from packets alone: both ends' state, what each segment is for, what each acknowledgment covers.
//!
//! A [`Segment`] goes into a [`Table`], an [`Observation`] comes out. Observations are facts; `story` makes
//! sentences of them and `diagram` a picture. Nothing here reads a packet: [`segment`] is what it needs of one.
//!
//! Memory is bounded. A table holds so many conversations and so many outstanding segments; when there are more, those
//! that have been silent longest are taken out and go into [`Totals`].

mod acknowledge;
mod again;
mod counts;
mod observation;
pub mod packets;
mod pass;
mod rtt;
pub mod segment;
mod side;
mod spans;
mod state;
pub mod stream;
mod summary;
mod table;
mod track;

pub use counts::Counts;
pub use observation::{Again, Cause, Covered, End, Kind, Marks, Observation, Selective, Window};
pub use segment::{Options, Segment, Stamps};
pub use side::MOST_OUTSTANDING;
pub use spans::Offset;
pub use state::State;
pub use stream::Stream;
pub use summary::{Agreed, Summary};
pub use table::{Limits, Table, Totals};
pub use track::{Close, Conversation};
