//! A guess which file a player asks for next.
//!
//! Owns the one rule: the name of the next media segment is that of this one with its number raised
//! by one. Pure: no I/O; it does not know whether such a file exists, and being wrong costs one
//! look-up. The rule is seen in what ffmpeg, Bento4, Shaka Packager and the nginx VOD module call
//! their segments.

/// The longest name that is looked at, in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// The longest number that is counted up, in digits. Longer ones are hashes or times, not counters.
const MAX_DIGITS: usize = 18;

/// Extensions of media segments. Playlists and keys are not among them: they are not counted.
const EXTENSIONS: [&[u8]; 10] =
    [b"ts", b"m4s", b"mp4", b"m4a", b"m4v", b"cmfv", b"cmfa", b"aac", b"vtt", b"webm"];

/// The name of the segment after `name`: its last number before the extension is raised by one,
/// leading zeros kept (`seg_009.ts` to `seg_010.ts`, `seg-9.ts` to `seg-10.ts`). Track marks behind
/// the number (`-v1-a1`, `_1080p`) stay as they are. `None` for names that are no media segment or
/// have no number.
pub fn next_segment(name: &[u8]) -> Option<Vec<u8>> {
    if name.len() > MAX_NAME_LEN {
        return None;
    }
    let dot = name.iter().rposition(|b| *b == b'.')?;
    let (stem, extension) = name.split_at_checked(dot)?;
    let known = |known: &&[u8]| {
        extension.strip_prefix(b".").is_some_and(|it| it.eq_ignore_ascii_case(known))
    };
    EXTENSIONS.iter().find(|it| known(it))?;

    let counted = without_track_marks(stem);
    let end = counted.iter().rposition(u8::is_ascii_digit)? + 1;
    let (counted, _) = counted.split_at_checked(end)?;
    let digits = counted.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    if digits > MAX_DIGITS {
        return None;
    }
    let (head, number) = counted.split_at_checked(end - digits)?;
    let mut next = head.to_vec();
    next.extend_from_slice(&raised(number));
    next.extend_from_slice(name.get(end..)?);
    Some(next)
}

/// The stem without marks at its end that name a track and not a segment: a dash or underscore,
/// then `v`, `a` or `f` and digits, or digits and `p`. A stem that is nothing but marks is left
/// alone.
fn without_track_marks(stem: &[u8]) -> &[u8] {
    let mut rest = stem;
    while let Some(at) = rest.iter().rposition(|b| matches!(b, b'-' | b'_')) {
        let Some((before, mark)) = rest.split_at_checked(at) else {
            break;
        };
        let numbered = before.iter().any(u8::is_ascii_digit);
        if !(numbered && is_track_mark(mark.get(1..).unwrap_or_default())) {
            break;
        }
        rest = before;
    }
    rest
}

fn is_track_mark(mark: &[u8]) -> bool {
    let digits = match mark {
        [b'v' | b'a' | b'f', digits @ ..] | [digits @ .., b'p'] => digits,
        _ => return false,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Decimal digits and one more.
fn raised(number: &[u8]) -> Vec<u8> {
    let nines = number.iter().rev().take_while(|b| **b == b'9').count();
    let mut raised = number.to_vec();
    let tail = raised.len() - nines;
    raised.iter_mut().skip(tail).for_each(|digit| *digit = b'0');
    match tail.checked_sub(1).and_then(|last| raised.get_mut(last)) {
        Some(digit) => *digit += 1,
        None => raised.insert(0, b'1'),
    }
    raised
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(name: &str) -> Option<String> {
        next_segment(name.as_bytes()).map(|next| String::from_utf8(next).unwrap())
    }

    #[test]
    fn the_number_before_the_extension_is_raised_and_its_zeros_kept() {
        for (name, after) in [
            ("seg_000.ts", "seg_001.ts"),
            ("seg_009.ts", "seg_010.ts"),
            ("seg-9.ts", "seg-10.ts"),
            ("seg_999.ts", "seg_1000.ts"),
            ("chunk-stream0-00001.m4s", "chunk-stream0-00002.m4s"),
            ("0.ts", "1.ts"),
            ("fileSequence12.mp4", "fileSequence13.mp4"),
            ("live.41.aac", "live.42.aac"),
            ("12", ""),
            ("ABC099.TS", "ABC100.TS"),
            ("subs3.vtt", "subs4.vtt"),
            ("a1.m4a", "a2.m4a"),
            ("v1.m4v", "v2.m4v"),
            ("x1.cmfv", "x2.cmfv"),
            ("x1.cmfa", "x2.cmfa"),
            ("x1.webm", "x2.webm"),
            ("7_final.ts", "8_final.ts"),
        ] {
            assert_eq!(next(name).unwrap_or_default(), after, "{name}");
        }
    }

    #[test]
    fn track_marks_behind_the_number_stay() {
        for (name, after) in [
            ("seg-4-v1-a1.ts", "seg-5-v1-a1.ts"),
            ("seg-9-f2-v1.m4s", "seg-10-f2-v1.m4s"),
            ("seg_004_1080p.ts", "seg_005_1080p.ts"),
            ("show-v1.mp4", "show-v2.mp4"),
            ("a-v1-a1.ts", "a-v2-a1.ts"),
            ("s1-part3.ts", "s1-part4.ts"),
            ("s1-p.ts", "s2-p.ts"),
            ("s1-v.ts", "s2-v.ts"),
            ("s1-v2b.ts", "s1-v3b.ts"),
        ] {
            assert_eq!(next(name).as_deref(), Some(after), "{name}");
        }
    }

    #[test]
    fn what_is_no_numbered_segment_has_no_next() {
        for name in [
            "", ".", "1", "seg.ts", "init.mp4", "1.m3u8", "1.key", "1.txt", "1.jpg", "1.", ".ts",
            "seg1ts", "1.tsx", "a1.mpd",
        ] {
            assert_eq!(next(name), None, "{name}");
        }
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        assert_eq!(next(&format!("{}.ts", "9".repeat(MAX_DIGITS))).unwrap().len(), MAX_DIGITS + 4);
        assert_eq!(next(&format!("{}.ts", "9".repeat(MAX_DIGITS + 1))), None);
        let named = |len: usize| format!("{}1.ts", "a".repeat(len - 4));
        assert!(next(&named(MAX_NAME_LEN)).is_some());
        assert_eq!(next(&named(MAX_NAME_LEN + 1)), None);
    }

    proptest! {
        #[test]
        fn the_next_of_any_padded_number_is_one_more(number in 0_u64..99_999_999, width in 1_usize..10, head in "[a-z_-]{0,6}") {
            prop_assert_eq!(next(&format!("{head}{number:0width$}.ts")), Some(format!("{head}{:0width$}.ts", number + 1)));
        }

        #[test]
        fn any_bytes_have_a_next_or_none(name in "([0-9]|[-_.vafp]|ts|m4s|\\PC){0,20}") {
            if let Some(next) = next_segment(name.as_bytes()) {
                prop_assert!(next != name.as_bytes() && next.len() <= name.len() + 1);
                prop_assert!(!next.contains(&b'/') || name.contains('/'));
            }
        }
    }
}
