use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Item, KeyRef, List, ListEntry, Parser};

/// A member of a header that is a list of strings with parameters.
pub(super) struct Member(Item);

impl Member {
    /// Returns the string, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.bare_item.as_string().map(sfv::StringRef::as_str)
    }

    /// Returns a parameter by its key.
    pub(super) fn parameter(&self, key: &str) -> Option<&BareItem> {
        self.0.params.get(KeyRef::from_str(key).ok()?)
    }

    /// Returns the number that a parameter is, and `None` within if there is no such parameter.
    /// `None` for what is there and no number, or below 0.
    pub(super) fn number(&self, key: &str) -> Option<Option<u64>> {
        let Some(value) = self.parameter(key) else {
            return Some(None);
        };
        let number = i64::from(value.as_integer()?);
        u64::try_from(number).ok().map(Some)
    }

    /// [`number`](Self::number), of seconds.
    pub(super) fn seconds(&self, key: &str) -> Option<Option<Duration>> {
        self.number(key)
            .map(|number| number.map(Duration::from_secs))
    }

    /// Returns the bytes that a parameter is, likewise.
    pub(super) fn bytes(&self, key: &str) -> Option<Option<Vec<u8>>> {
        let Some(value) = self.parameter(key) else {
            return Some(None);
        };
        value.as_byte_sequence().map(|bytes| Some(bytes.to_vec()))
    }
}

/// Reads the header `name`, in as many lines as there are, by what `read` makes of each member.
///
/// Empty if the header is not there, or is malformed in any of its members: then all of it is
/// ignored.
pub(super) fn members<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&Member) -> Option<T>,
) -> Vec<T> {
    list(headers, name)
        .and_then(|list| {
            list.into_iter()
                .map(|entry| read(&member(entry)?))
                .collect()
        })
        .unwrap_or_default()
}

fn list(headers: &HeaderMap, name: &HeaderName) -> Option<List> {
    let mut list = List::new();
    for line in headers.get_all(name) {
        let parser = Parser::new(line.as_bytes());
        parser.parse_list_with_visitor(&mut list).ok()?;
    }
    Some(list)
}

fn member(entry: ListEntry) -> Option<Member> {
    match entry {
        ListEntry::Item(item) => Some(Member(item)),
        ListEntry::InnerList(_) => None,
    }
}
