use watertight_core::{Call, Finish, Note, QuotaStatus};

/// Notes on a response how the limit stood, and leaves the rest to another finish.
#[derive(Clone)]
pub(crate) struct Noting<N, T> {
    finish: N,
    notes: T,
    /// `None` if nothing is to be said.
    quota: Option<QuotaStatus>,
}

impl<N, T> Noting<N, T> {
    #[inline]
    pub(crate) const fn new(finish: N, notes: T, quota: Option<QuotaStatus>) -> Self {
        Self {
            finish,
            notes,
            quota,
        }
    }
}

impl<N, T> Noting<N, T> {
    /// Has it note this.
    pub(crate) const fn say(&mut self, quota: Option<QuotaStatus>) {
        self.quota = quota;
    }
}

impl<Res, C, N, T> Finish<Res, C> for Noting<N, T>
where
    N: Finish<Res, C>,
    T: Note<Res, QuotaStatus>,
{
    type Response<K: Call> = N::Response<K>;

    #[inline(always)]
    fn finish<K: Call>(&self, mut response: Res, classify: &C, call: K) -> N::Response<K> {
        if let Some(quota) = self.quota {
            self.notes.note(&mut response, quota);
        }
        self.finish.finish(response, classify, call)
    }
}
