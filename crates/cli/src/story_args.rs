//! The options of `bypath decode` that look at connections instead of packets: the table of them, one's byte stream, and
//! how much a story tells.

use bypath_trace::conversation::End;
use bypath_trace::diagram::Diagram;
use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;
use bypath_trace::style::conversations::Conversations;
use bypath_trace::style::follow::{Follow, Form};
use clap::{Args, ValueEnum};

/// What is said about connections.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connections")]
pub(crate) struct StoryArgs {
    /// Print a table of the TCP connections instead: packets, bytes, duration, RTT, retransmissions, who closed.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    conversations: Option<TableForm>,

    /// Print the byte stream of this connection instead, both directions put in order. The table has the numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "conversations")]
    follow: Option<u64>,

    /// How --follow shows the bytes; means nothing without it.
    #[arg(long, value_name = "FORM", default_value = "text")]
    follow_as: FollowForm,

    /// Follow what one end has sent only.
    #[arg(long, value_name = "END", requires = "follow")]
    follow_from: Option<FollowEnd>,

    /// Draw this connection only, with --style diagram.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    connection: Option<u64>,

    /// How much a story tells: what matters, a remark for each packet, or all numbers as well.
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    pub(crate) detail: DetailLevel,
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TableForm {
    /// Columns.
    Text,
    /// One JSON document.
    Json,
}

/// How bytes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FollowForm {
    /// Line by line, what is not text escaped.
    #[default]
    Text,
    /// As numbers.
    Hex,
    /// As they are.
    Raw,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FollowEnd {
    /// Who opened it.
    Client,
    /// Who listened.
    Server,
}

/// How much a story tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DetailLevel {
    /// What matters.
    Short,
    /// A remark for each packet.
    #[default]
    Normal,
    /// And all numbers.
    Full,
}

impl StoryArgs {
    /// The style that these options ask for instead of --style's.
    pub(crate) fn instead(&self) -> Option<Box<dyn Style>> {
        if let Some(form) = self.conversations {
            return Some(Box::new(Conversations::new(form == TableForm::Json)));
        }
        let form = match self.follow_as {
            FollowForm::Text => Form::Text,
            FollowForm::Hex => Form::Hex,
            FollowForm::Raw => Form::Raw,
        };
        let only = self.follow_from.map(|end| match end {
            FollowEnd::Client => End::Client,
            FollowEnd::Server => End::Server,
        });
        self.follow.map(|id| Box::new(Follow::new(id, form, only)) as Box<dyn Style>)
    }

    /// Whether a table in JSON was asked for.
    pub(crate) fn is_json_table(&self) -> bool {
        self.conversations == Some(TableForm::Json)
    }

    /// The picture that was asked for.
    pub(crate) fn diagram(&self) -> Diagram {
        Diagram::new(self.connection)
    }

    /// A story of the detail that was asked for.
    pub(crate) fn story(&self) -> Story {
        Story::new(self.detail.into())
    }
}

impl From<DetailLevel> for Detail {
    fn from(level: DetailLevel) -> Self {
        match level {
            DetailLevel::Short => Self::Short,
            DetailLevel::Normal => Self::Normal,
            DetailLevel::Full => Self::Full,
        }
    }
}
