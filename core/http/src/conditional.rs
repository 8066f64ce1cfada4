//! Conditional requests: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`,
//! `If-Range`.
//!
//! Owns the entity tag, the HTTP date and the order in which conditions are looked at. Pure: no
//! I/O, no clock. Must not know how a tag is made. Rules: RFC 9110 §5.6.7 (dates), §8.8
//! (validators), §13 (conditions).
//!
//! Conditions are about a representation that exists: ask only once the content has been found, or
//! `*` would promise content that is not there.

use std::fmt;

use coldfront::Cid;
use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderValue, Method};

/// An entity tag (RFC 9110 §8.8.3). Its text holds no quote, space or control byte: the
/// constructors see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag {
    weak: bool,
    /// The whole value of an `ETag` field, so that sending it copies nothing.
    value: HeaderValue,
}

impl ETag {
    /// The strong tag `"tag"`. `None` when the text holds a byte that a tag cannot carry.
    pub fn strong(tag: impl Into<String>) -> Option<Self> {
        Self::new(false, tag.into())
    }

    /// The weak tag `W/"tag"`. `None` when the text holds a byte that a tag cannot carry.
    pub fn weak(tag: impl Into<String>) -> Option<Self> {
        Self::new(true, tag.into())
    }

    fn new(weak: bool, tag: String) -> Option<Self> {
        if !tag.bytes().all(|byte| byte.is_ascii() && is_tag_byte(byte)) {
            return None;
        }
        let value = format!("{}\"{tag}\"", if weak { "W/" } else { "" });
        Some(Self { weak, value: HeaderValue::try_from(value).ok()? })
    }

    /// The strong tag of content under a CID.
    pub fn of_cid(cid: &Cid) -> Self {
        // The text of a CID fits any tag.
        Self::strong(cid.to_string())
            .unwrap_or(Self { weak: false, value: HeaderValue::from_static("\"\"") })
    }

    /// The value of an `ETag` field. Copies nothing.
    pub fn to_header_value(&self) -> HeaderValue {
        self.value.clone()
    }

    /// The text between the quotes.
    pub fn tag(&self) -> &[u8] {
        let quoted = self.value.as_bytes();
        let before = if self.weak { b"W/\"".len() } else { b"\"".len() };
        quoted.get(before..quoted.len() - 1).unwrap_or_default()
    }

    fn seen_by(&self, asked: Asked<'_>, comparison: Comparison) -> bool {
        let strong_enough = comparison == Comparison::Weak || !(self.weak || asked.weak);
        strong_enough && self.tag() == asked.tag
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value.to_str().unwrap_or_default())
    }
}

/// What is known of the representation that would be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// Every tag that stands for it; the first is the one that is sent. A listing has two: its own,
    /// and the tag of the directory's CID.
    pub etags: &'a [ETag],
    /// When it was last changed, in seconds since 1970, if that is known (the mtime of UnixFS 1.5).
    /// Sent as `Last-Modified`.
    pub last_modified: Option<i64>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Answer as if there were none; then look at [`range_applies`].
    Proceed,
    /// 304, without a body.
    NotModified,
    /// 412.
    Failed,
}

/// Looks at the conditions in the order of RFC 9110 §13.2.2. One pass over each field; memory for
/// none of it.
///
/// 1. `If-Match`, by strong comparison: none agrees -> `Failed`.
/// 2. Without it, `If-Unmodified-Since`: changed since -> `Failed`. Ignored without a known date.
/// 3. `If-None-Match`, by weak comparison: one agrees -> `NotModified` for GET and HEAD, else
///    `Failed`.
/// 4. Without it, for GET and HEAD, `If-Modified-Since`: not changed since -> `NotModified`.
///    Ignored without a known date.
///
/// A tag list is read up to its first malformed member. A date field that holds no date, or is sent
/// twice, is ignored.
pub fn evaluate(method: &Method, headers: &HeaderMap, validators: &Validators<'_>) -> Precondition {
    let safe = method == Method::GET || method == Method::HEAD;
    if headers.contains_key(IF_MATCH) {
        if !any_tag(headers, IF_MATCH, validators, Comparison::Strong) {
            return Precondition::Failed;
        }
    } else if changed_after(headers, IF_UNMODIFIED_SINCE, validators) == Some(true) {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        match (any_tag(headers, IF_NONE_MATCH, validators, Comparison::Weak), safe) {
            (false, _) => Precondition::Proceed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Failed,
        }
    } else if safe && changed_after(headers, IF_MODIFIED_SINCE, validators) == Some(false) {
        Precondition::NotModified
    } else {
        Precondition::Proceed
    }
}

/// Whether the `Range` field of this request counts: the method is GET (RFC 9110 §14.2) and
/// `If-Range` is absent or agrees. A tag must agree by strong comparison; a date must be exactly
/// the known one, so it never agrees when none is known (RFC 9110 §13.1.5). Anything else, and a
/// field sent twice, does not agree: the whole file is safe.
pub fn range_applies(method: &Method, headers: &HeaderMap, validators: &Validators<'_>) -> bool {
    if method != Method::GET {
        return false;
    }
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    let Some(value) = sole(headers, IF_RANGE) else {
        return false;
    };
    match next_tag(value) {
        Some((asked, b"")) => {
            validators.etags.iter().any(|etag| etag.seen_by(asked, Comparison::Strong))
        }
        Some(_) => false,
        None => validators.last_modified.is_some_and(|known| parse_date(value) == Some(known)),
    }
}

/// Reads an HTTP date in any of its three forms (RFC 9110 §5.6.7) as seconds since 1970. `None` for
/// anything else, days and times that do not exist included. A two-digit year is taken as 1970 to
/// 2069, since there is no clock here. The name of the day is read but not held against the date.
pub fn parse_date(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    imf_fixdate(text).or_else(|| rfc850_date(text)).or_else(|| asctime_date(text))
}

/// Writes seconds since 1970 as an HTTP date, `Sun, 06 Nov 1994 08:49:37 GMT`. `None` outside the
/// years 0 to 9999, which the form cannot hold.
pub fn format_date(seconds: i64) -> Option<String> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days)?;
    let weekday = DAYS.get(usize::try_from((days + 4).rem_euclid(7)).ok()?)?.get(..3)?;
    let month = MONTHS.get(usize::try_from(month - 1).ok()?)?;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// A tag of a request: opaque bytes of it.
#[derive(Clone, Copy)]
struct Asked<'h> {
    weak: bool,
    tag: &'h [u8],
}

/// Whether a list names one of our tags, or is `*`.
fn any_tag(
    headers: &HeaderMap,
    field: HeaderName,
    validators: &Validators<'_>,
    comparison: Comparison,
) -> bool {
    headers.get_all(field).iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        while let Some((asked, after)) = next_tag(rest) {
            if validators.etags.iter().any(|etag| etag.seen_by(asked, comparison)) {
                return true;
            }
            let Some(next) = after.strip_prefix(b",") else {
                return false;
            };
            rest = next;
        }
        false
    })
}

/// The tag at the head of a list, empty members before it left out, and what follows it. `None`
/// when there is none.
fn next_tag(list: &[u8]) -> Option<(Asked<'_>, &[u8])> {
    let empty = list.iter().take_while(|b| matches!(b, b',' | b' ' | b'\t')).count();
    let list = list.get(empty..)?;
    let (weak, quoted) = match list.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, list),
    };
    let text = quoted.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| !is_tag_byte(*byte))?;
    let (tag, after) = text.split_at_checked(end)?;
    Some((Asked { weak, tag }, after.strip_prefix(b"\"")?.trim_ascii()))
}

/// RFC 9110 §8.8.3, `etagc`.
fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF)
}

/// Whether the representation changed after the date of a field. `None` when the field or the
/// representation has no date.
fn changed_after(
    headers: &HeaderMap,
    field: HeaderName,
    validators: &Validators<'_>,
) -> Option<bool> {
    let asked = parse_date(sole(headers, field)?)?;
    Some(validators.last_modified? > asked)
}

/// The value of a field that may be sent once.
fn sole(headers: &HeaderMap, field: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(field).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value.as_bytes().trim_ascii())
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(text: &[u8]) -> Option<i64> {
    let text = after_short_day(text)?.strip_prefix(b", ")?;
    let (day, text) = digits::<2>(text)?;
    let (month, text) = month(text.strip_prefix(b" ")?)?;
    let (year, text) = digits::<4>(text.strip_prefix(b" ")?)?;
    let (time, text) = time(text.strip_prefix(b" ")?)?;
    if text == b" GMT" { seconds(year, month, day, time) } else { None }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850_date(text: &[u8]) -> Option<i64> {
    let text =
        DAYS.iter().find_map(|day| text.strip_prefix(day.as_bytes()))?.strip_prefix(b", ")?;
    let (day, text) = digits::<2>(text)?;
    let (month, text) = month(text.strip_prefix(b"-")?)?;
    let (year, text) = digits::<2>(text.strip_prefix(b"-")?)?;
    let (time, text) = time(text.strip_prefix(b" ")?)?;
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    if text == b" GMT" { seconds(year, month, day, time) } else { None }
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime_date(text: &[u8]) -> Option<i64> {
    let (month, text) = month(after_short_day(text)?.strip_prefix(b" ")?)?;
    let text = text.strip_prefix(b" ")?;
    let (day, text) = match text.strip_prefix(b" ") {
        Some(text) => digits::<1>(text)?,
        None => digits::<2>(text)?,
    };
    let (time, text) = time(text.strip_prefix(b" ")?)?;
    let (year, text) = digits::<4>(text.strip_prefix(b" ")?)?;
    if text.is_empty() { seconds(year, month, day, time) } else { None }
}

fn after_short_day(text: &[u8]) -> Option<&[u8]> {
    DAYS.iter().filter_map(|day| day.as_bytes().get(..3)).find_map(|day| text.strip_prefix(day))
}

/// The month, 1 to 12, at the head of a text.
fn month(text: &[u8]) -> Option<(i64, &[u8])> {
    (1..).zip(MONTHS).find_map(|(number, name)| Some((number, text.strip_prefix(name.as_bytes())?)))
}

/// `08:49:37` as seconds of the day. 60 stands for a leap second.
fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, text) = digits::<2>(text)?;
    let (minute, text) = digits::<2>(text.strip_prefix(b":")?)?;
    let (second, text) = digits::<2>(text.strip_prefix(b":")?)?;
    (hour < 24 && minute < 60 && second <= 60).then_some((hour * 3600 + minute * 60 + second, text))
}

/// A number of exactly `N` digits at the head of a text.
fn digits<const N: usize>(text: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let number = digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

/// Seconds since 1970 of a day and a second in it. `None` for a day that its month does not have.
fn seconds(year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
    let days = days_before(year, month)? + day - 1;
    // Only a day that exists is found again where it was put.
    (date_of(days)? == (year, month, day)).then_some(days * 86_400 + time)
}

/// Days from 1 January 1970 to the first of a month, in the Gregorian calendar reckoned backwards
/// too.
fn days_before(year: i64, month: i64) -> Option<i64> {
    // Years are reckoned from March, so that a leap day ends one; day 0 is 1 March of year 0.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let in_year = (153 * month + 2) / 5;
    (0..12).contains(&month).then_some(year * 365 + leap_days + in_year - 719_468)
}

/// The date of a day counted from 1 January 1970. `None` outside the years 0 to 9999.
fn date_of(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_528..=2_932_896).contains(&days) {
        return None;
    }
    let day = days + 719_468;
    let era = day.div_euclid(146_097);
    let day = day.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (carry, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    Some((era * 400 + year + carry, month, day))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::header::IntoHeaderName;
    use proptest::prelude::*;

    use super::*;

    /// 6 November 1994, 08:49:37 GMT: the date of RFC 9110 §5.6.7.
    const THEN: i64 = 784_111_777;
    const THEN_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER_TEXT: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER_TEXT: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers<K: IntoHeaderName>(
        fields: impl IntoIterator<Item = (K, &'static str)>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    /// A file under the tags `"cid"` and `W/"cid.tar"`, changed at `THEN`.
    fn decide(method: Method, fields: &[(HeaderName, &'static str)]) -> Precondition {
        let etags = [ETag::strong("cid").unwrap(), ETag::weak("cid.tar").unwrap()];
        let validators = Validators { etags: &etags, last_modified: Some(THEN) };
        evaluate(&method, &headers(fields.iter().cloned()), &validators)
    }

    /// The same without a date.
    fn decide_dateless(fields: &[(HeaderName, &'static str)]) -> Precondition {
        let etags = [ETag::strong("cid").unwrap()];
        let validators = Validators { etags: &etags, last_modified: None };
        evaluate(&Method::GET, &headers(fields.iter().cloned()), &validators)
    }

    fn ranges_apply(fields: &[(HeaderName, &'static str)], last_modified: Option<i64>) -> bool {
        let etags = [ETag::strong("cid").unwrap(), ETag::weak("cid.tar").unwrap()];
        range_applies(
            &Method::GET,
            &headers(fields.iter().cloned()),
            &Validators { etags: &etags, last_modified },
        )
    }

    #[test]
    fn a_tag_is_written_in_quotes_and_holds_no_byte_that_would_end_it_rfc9110_8_8_3() {
        assert_eq!(ETag::strong("bafy.raw").unwrap().to_header_value(), "\"bafy.raw\"");
        assert_eq!(ETag::weak("bafy.x-tar").unwrap().to_header_value(), "W/\"bafy.x-tar\"");
        assert_eq!(ETag::strong("").unwrap().to_string(), "\"\"");
        for text in ["a\"b", "a b", "a\nb", "a\u{7F}b", "ą"] {
            assert_eq!(ETag::strong(text), None, "{text:?}");
        }
    }

    #[test]
    fn without_conditions_a_request_proceeds() {
        assert_eq!(decide(Method::GET, &[]), Precondition::Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly_and_answers_304_rfc9110_13_1_2() {
        for value in [
            "\"cid\"",
            "W/\"cid\"",
            "*",
            " * ",
            "\"fakeEtag1\", \"fakeEtag2\", \"cid\"",
            "\"a,b\",W/\"x\" ,\t\"cid\"",
            ",, \"cid\"",
            "\"cid.tar\"",
        ] {
            assert_eq!(
                decide(Method::GET, &[(IF_NONE_MATCH, value)]),
                Precondition::NotModified,
                "{value}"
            );
            assert_eq!(
                decide(Method::HEAD, &[(IF_NONE_MATCH, value)]),
                Precondition::NotModified,
                "{value}"
            );
        }
        for value in ["\"other\"", "\"cid.raw\"", "\"CID\"", "\"\"", "\"*\""] {
            assert_eq!(
                decide(Method::GET, &[(IF_NONE_MATCH, value)]),
                Precondition::Proceed,
                "{value}"
            );
        }
    }

    #[test]
    fn if_none_match_in_several_fields_is_one_list_rfc9110_5_3() {
        let fields = [(IF_NONE_MATCH, "\"a\""), (IF_NONE_MATCH, "\"cid\"")];
        assert_eq!(decide(Method::GET, &fields), Precondition::NotModified);
    }

    #[test]
    fn a_malformed_tag_ends_the_list() {
        assert_eq!(
            decide(Method::GET, &[(IF_NONE_MATCH, "\"cid\", broken")]),
            Precondition::NotModified
        );
        for value in [
            "broken, \"cid\"",
            "cid",
            "\"cid",
            "w/\"cid\"",
            "\"a\" \"cid\"",
            "W/ \"cid\"",
            "",
            "*, \"x\"",
            "'cid'",
        ] {
            assert_eq!(
                decide(Method::GET, &[(IF_NONE_MATCH, value)]),
                Precondition::Proceed,
                "{value}"
            );
        }
    }

    #[test]
    fn if_none_match_fails_for_other_methods_rfc9110_13_1_2() {
        assert_eq!(decide(Method::PUT, &[(IF_NONE_MATCH, "\"cid\"")]), Precondition::Failed);
        assert_eq!(decide(Method::PUT, &[(IF_NONE_MATCH, "\"other\"")]), Precondition::Proceed);
    }

    #[test]
    fn if_match_compares_strongly_and_answers_412_rfc9110_13_1_1() {
        for value in ["\"cid\"", "*", "\"other\", \"cid\""] {
            assert_eq!(decide(Method::GET, &[(IF_MATCH, value)]), Precondition::Proceed, "{value}");
        }
        for value in ["W/\"cid\"", "\"cid.tar\"", "W/\"cid.tar\"", "\"other\"", "", "cid"] {
            assert_eq!(decide(Method::GET, &[(IF_MATCH, value)]), Precondition::Failed, "{value}");
        }
    }

    #[test]
    fn if_modified_since_answers_304_when_nothing_changed_rfc9110_13_1_3() {
        for (value, expected) in [
            (THEN_TEXT, Precondition::NotModified),
            (LATER_TEXT, Precondition::NotModified),
            (EARLIER_TEXT, Precondition::Proceed),
            ("yesterday", Precondition::Proceed),
        ] {
            assert_eq!(decide(Method::GET, &[(IF_MODIFIED_SINCE, value)]), expected, "{value}");
        }
        assert_eq!(decide(Method::PUT, &[(IF_MODIFIED_SINCE, THEN_TEXT)]), Precondition::Proceed);
        assert_eq!(decide_dateless(&[(IF_MODIFIED_SINCE, LATER_TEXT)]), Precondition::Proceed);
        let twice = [(IF_MODIFIED_SINCE, THEN_TEXT), (IF_MODIFIED_SINCE, THEN_TEXT)];
        assert_eq!(decide(Method::GET, &twice), Precondition::Proceed);
    }

    #[test]
    fn if_unmodified_since_answers_412_when_something_changed_rfc9110_13_1_4() {
        for (value, expected) in [
            (THEN_TEXT, Precondition::Proceed),
            (LATER_TEXT, Precondition::Proceed),
            (EARLIER_TEXT, Precondition::Failed),
            ("yesterday", Precondition::Proceed),
        ] {
            assert_eq!(decide(Method::GET, &[(IF_UNMODIFIED_SINCE, value)]), expected, "{value}");
        }
        assert_eq!(decide_dateless(&[(IF_UNMODIFIED_SINCE, EARLIER_TEXT)]), Precondition::Proceed);
    }

    #[test]
    fn tags_beat_dates_and_if_match_comes_first_rfc9110_13_2_2() {
        for (fields, expected) in [
            // If-Match agrees, so If-Unmodified-Since is not looked at.
            ([(IF_MATCH, "\"cid\""), (IF_UNMODIFIED_SINCE, EARLIER_TEXT)], Precondition::Proceed),
            // If-None-Match disagrees, so If-Modified-Since is not looked at.
            ([(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, LATER_TEXT)], Precondition::Proceed),
            (
                [(IF_NONE_MATCH, "\"cid\""), (IF_MODIFIED_SINCE, EARLIER_TEXT)],
                Precondition::NotModified,
            ),
            // Both are looked at, the first that fails decides.
            ([(IF_NONE_MATCH, "\"cid\""), (IF_MATCH, "\"x\"")], Precondition::Failed),
            ([(IF_NONE_MATCH, "\"cid\""), (IF_MATCH, "\"cid\"")], Precondition::NotModified),
            (
                [(IF_NONE_MATCH, "\"cid\""), (IF_UNMODIFIED_SINCE, EARLIER_TEXT)],
                Precondition::Failed,
            ),
        ] {
            assert_eq!(decide(Method::GET, &fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn if_range_takes_a_strong_tag_or_the_exact_date_rfc9110_13_1_5() {
        assert!(ranges_apply(&[], None));
        assert!(ranges_apply(&[(IF_RANGE, "\"cid\"")], None));
        assert!(ranges_apply(&[(IF_RANGE, THEN_TEXT)], Some(THEN)));
        for value in [
            "W/\"cid\"",
            "\"cid.tar\"",
            "W/\"cid.tar\"",
            "\"other\"",
            "\"x\", \"cid\"",
            "\"cid\", \"x\"",
            "*",
            "cid",
            "",
        ] {
            assert!(!ranges_apply(&[(IF_RANGE, value)], Some(THEN)), "{value}");
        }
        for value in [EARLIER_TEXT, LATER_TEXT, "yesterday"] {
            assert!(!ranges_apply(&[(IF_RANGE, value)], Some(THEN)), "{value}");
        }
        assert!(!ranges_apply(&[(IF_RANGE, THEN_TEXT)], None));
        assert!(!ranges_apply(&[(IF_RANGE, "\"cid\""), (IF_RANGE, "\"cid\"")], None));
    }

    #[test]
    fn ranges_are_for_get_alone_rfc9110_14_2() {
        let none = Validators::default();
        assert!(range_applies(&Method::GET, &HeaderMap::new(), &none));
        assert!(!range_applies(&Method::HEAD, &HeaderMap::new(), &none));
    }

    #[test]
    fn all_three_forms_of_a_date_are_read_rfc9110_5_6_7() {
        for text in [
            THEN_TEXT,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse_date(text.as_bytes()), Some(THEN), "{text}");
        }
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Tuesday, 19-Jan-38 03:14:07 GMT", 2_147_483_647),
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
            ("Fri Nov 16 08:49:37 2012", 1_353_055_777),
        ] {
            assert_eq!(parse_date(text.as_bytes()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 29 Feb 2023 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:00:61 GMT",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_written_in_the_preferred_form_and_only_where_it_fits() {
        assert_eq!(format_date(THEN).unwrap(), THEN_TEXT);
        assert_eq!(format_date(-1).unwrap(), "Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(format_date(253_402_300_799).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(format_date(-62_167_219_200).unwrap(), "Sat, 01 Jan 0000 00:00:00 GMT");
        for seconds in [253_402_300_800, -62_167_219_201, i64::MAX, i64::MIN] {
            assert_eq!(format_date(seconds), None);
        }
    }

    proptest! {
        #[test]
        fn a_written_date_is_read_back(seconds in -62_167_219_200_i64..=253_402_300_799) {
            prop_assert_eq!(parse_date(format_date(seconds).unwrap().as_bytes()), Some(seconds));
        }

        #[test]
        fn a_written_tag_is_found_in_any_list(tag in "[!#-~]{0,20}", weak: bool, before in "(\"[!#-~]{0,5}\" ?, ?){0,4}") {
            let etag = [if weak { ETag::weak(tag) } else { ETag::strong(tag) }.unwrap()];
            let mut asked = HeaderMap::new();
            asked.insert(IF_NONE_MATCH, HeaderValue::try_from(format!("{before}{}", etag[0])).unwrap());
            let validators = Validators { etags: &etag, last_modified: None };
            prop_assert_eq!(evaluate(&Method::GET, &asked, &validators), Precondition::NotModified);
        }

        #[test]
        fn any_bytes_are_a_field_that_never_panics(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            parse_date(&value);
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let etags = [ETag::strong("cid").unwrap()];
                let validators = Validators { etags: &etags, last_modified: Some(0) };
                for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
                    let mut asked = HeaderMap::new();
                    asked.insert(name, value.clone());
                    evaluate(&Method::GET, &asked, &validators);
                    range_applies(&Method::GET, &asked, &validators);
                }
            }
        }
    }
}
