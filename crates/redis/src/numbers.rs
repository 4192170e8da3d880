/// The numbers that a script has returned, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a>(&'a [i64]);

impl<'a> Numbers<'a> {
    pub(crate) const fn new(numbers: &'a [i64]) -> Self {
        Self(numbers)
    }

    /// Returns the next number, `None` if there is none, or if it is below 0.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.next_signed()?.try_into().ok()
    }

    /// Returns the next number that may be below 0.
    pub(crate) fn next_signed(&mut self) -> Option<i64> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Returns whether the next number is not 0.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        Some(self.next()? != 0)
    }
}
