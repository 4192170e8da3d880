//! Which requests are sent again, and how.

mod head_only;
mod http_repeat;
mod kept;
mod rules;
mod same_body;

pub use head_only::{HeadOnly, KeptHeadOnly};
pub use http_repeat::HttpRepeat;
pub use kept::KeptRequest;
pub use same_body::SameBody;
