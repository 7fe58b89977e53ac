//! Times as Kubernetes writes them (RFC 3339, in UTC), as seconds since 1970.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970 in UTC; what is less than a second is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// `2026-11-21T10:00:00Z`, with any fraction of a second; no other zone.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        if fraction.is_some_and(|digits| digits.is_empty() || !digits.bytes().all(digit)) {
            return None;
        }
        // Each part has its own length, and nothing but digits.
        let shape = |(byte, sign): (u8, &u8)| match sign {
            b'0' => digit(byte),
            _ => byte == *sign,
        };
        let pattern = b"0000-00-00T00:00:00";
        if whole.len() != pattern.len() || !whole.bytes().zip(pattern).all(shape) {
            return None;
        }
        let part = |from: usize, to: usize| whole[from..to].parse::<i64>().ok();
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        let fits = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        fits.then(|| Self(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
    }

    /// A point of the system's clock.
    pub fn of(time: SystemTime) -> Self {
        let seconds = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => seconds(since),
            Err(before) => -seconds(before.duration()),
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

fn digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before the first of January of a year, from the year 0.
fn days_before(year: i64) -> i64 {
    let last = year - 1;
    year * 365 + last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
}

/// Days since 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    days_before(year) - days_before(1970) + months + day - 1
}

/// The date of a day since 1970.
fn date(days: i64) -> (i64, i64, i64) {
    let from_zero = days + days_before(1970);
    // 400 years have 146097 days; the guess is a year off at most.
    let mut year = from_zero * 400 / 146_097;
    while days_before(year + 1) <= from_zero {
        year += 1;
    }
    while days_before(year) > from_zero {
        year -= 1;
    }
    let mut day = from_zero - days_before(year);
    let mut month = 1;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_some_dates() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-21T10:00:00Z", 1_795_255_200),
            ("2038-01-19T03:14:08Z", 1 << 31),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(seconds)), "{text}");
            assert_eq!(Timestamp(seconds).to_string(), text);
        }
        let fraction = Timestamp::parse("1970-01-01T00:00:01.987654321Z");
        assert_eq!(fraction, Some(Timestamp(1)));
    }

    #[test]
    fn refuses_all_else() {
        for text in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00:00+01:00",
            "2026-11-21 10:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:60:00Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00.1aZ",
            "+026-11-21T10:00:00Z",
            "2026-11-21T10:00:00ZZ",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in 0_i64..253_402_300_800) {
            let time = Timestamp(seconds);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), like in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z") {
            let _ = Timestamp::parse(&text);
            let _ = Timestamp::parse(&like);
        }
    }
}
