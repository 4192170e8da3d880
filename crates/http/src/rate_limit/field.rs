use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::visitor::{
    EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, KeyRef, Parser};
use smallvec::SmallVec;

/// A member of a header that is a list of strings with parameters.
pub(super) struct Member<'a> {
    value: BareItemFromInput<'a>,
    /// Of those of one key, the last counts.
    parameters: SmallVec<[(&'a KeyRef, BareItemFromInput<'a>); 4]>,
}

impl<'a> Member<'a> {
    /// Returns the string, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.value.as_string().map(sfv::StringRef::as_str)
    }

    /// Returns a parameter by its key.
    pub(super) fn parameter(&self, key: &str) -> Option<&BareItemFromInput<'a>> {
        let mut latest_first = self.parameters.iter().rev();
        let (_, value) = latest_first.find(|(other, _)| other.as_str() == key)?;
        Some(value)
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
    read: impl Fn(&Member<'_>) -> Option<T>,
) -> Vec<T> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let reading = Reading {
            read: &read,
            members: &mut members,
        };
        let parser = Parser::new(line.as_bytes());
        if parser.parse_list_with_visitor(reading).is_err() {
            return Vec::new();
        }
    }
    members
}

/// Reads a line, member by member.
struct Reading<'r, F, T> {
    read: &'r F,
    members: &'r mut Vec<T>,
}

/// Reads a member, parameter by parameter.
struct ReadingMember<'a, 'r, F, T> {
    line: Reading<'r, F, T>,
    member: Member<'a>,
}

/// A member is not what the header is to have.
#[derive(Debug)]
struct Malformed;

impl<'a, F, T> ListVisitor<'a> for Reading<'_, F, T>
where
    F: Fn(&Member<'_>) -> Option<T>,
{
    type Out = ();
    type Error = Malformed;

    fn entry(&mut self) -> Result<impl EntryVisitor<'a>, Malformed> {
        Ok(Reading {
            read: self.read,
            members: self.members,
        })
    }

    fn finish(self) -> Result<(), Malformed> {
        Ok(())
    }
}

impl<'a, F, T> EntryVisitor<'a> for Reading<'_, F, T>
where
    F: Fn(&Member<'_>) -> Option<T>,
{
    type Error = Malformed;

    fn item(self) -> Result<impl ItemVisitor<'a>, Malformed> {
        Ok(|value: BareItemFromInput<'a>| {
            let parameters = SmallVec::new();
            Ok::<_, Malformed>(ReadingMember {
                line: self,
                member: Member { value, parameters },
            })
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Malformed> {
        Err::<Ignored, _>(Malformed)
    }
}

impl<'a, F, T> ParameterVisitor<'a> for ReadingMember<'a, '_, F, T>
where
    F: Fn(&Member<'_>) -> Option<T>,
{
    type Out = ();
    type Error = Malformed;

    fn parameter(
        &mut self,
        key: &'a KeyRef,
        value: BareItemFromInput<'a>,
    ) -> Result<(), Malformed> {
        self.member.parameters.push((key, value));
        Ok(())
    }

    fn finish(self) -> Result<(), Malformed> {
        let read = (self.line.read)(&self.member).ok_or(Malformed)?;
        self.line.members.push(read);
        Ok(())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member that is malformed")
    }
}

impl Error for Malformed {}
