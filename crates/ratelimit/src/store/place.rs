/// The quotas of a layer are kept in this process: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InProcess;

/// The quotas of a layer are kept in a store. Made by
/// [`store`](crate::RateLimitBuilder::store).
#[derive(Clone, Copy, Debug)]
pub struct InStore<St>(pub(crate) St);
