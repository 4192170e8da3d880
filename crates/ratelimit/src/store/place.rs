/// The quotas of a layer are kept in this process: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InProcess;

/// The quotas of a layer are kept in a store. Made by
/// [`store`](crate::RateLimitBuilder::store). Handles are the same whatever the store: theirs has no
/// type.
#[derive(Clone, Copy, Debug)]
pub struct InStore<St = ()>(pub(crate) St);
