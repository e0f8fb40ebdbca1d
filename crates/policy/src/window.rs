//! A time of the week in a zone, such as business hours.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// A time of the week in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    zone: TimeZone,
    /// By weekday from Monday; the day on which the window opens.
    days: [bool; 7],
    /// The minute of the day at which it opens.
    from: u16,
    /// The minute at which it closes, on the next day where that is not after `from`.
    until: u16,
}

impl TimeWindow {
    /// Makes a window; the times are `HH:MM`, and `24:00` is the end of a day. Without days it
    /// opens on every day. A window that closes at or before the time it opens closes on the
    /// next day.
    ///
    /// # Errors
    /// Says which part makes no sense.
    pub fn new(zone: &str, days: &[&str], from: &str, until: &str) -> Result<Self, BadWindow> {
        let zone = TimeZone::get(zone).map_err(|_unknown| BadWindow::Zone)?;
        let mut open = [days.is_empty(); 7];
        for day in days {
            mark(&mut open, day).ok_or(BadWindow::Day)?;
        }
        let from = minute(from).filter(|minute| *minute < DAY).ok_or(BadWindow::Time)?;
        let until = minute(until).ok_or(BadWindow::Time)?;
        Ok(Self { zone, days: open, from, until })
    }

    /// Returns whether the window is open at a moment, in seconds of the Unix epoch.
    #[must_use]
    pub fn is_open(&self, now: i64) -> bool {
        let Ok(now) = Timestamp::from_second(now) else { return false };
        let local = self.zone.to_datetime(now);
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = local.weekday();
        let opens = |day: Weekday| {
            self.days.get(usize::from(day.to_monday_zero_offset().unsigned_abs())) == Some(&true)
        };
        if self.until > self.from {
            return opens(today) && (self.from..self.until).contains(&minute);
        }
        (opens(today) && minute >= self.from) || (opens(today.previous()) && minute < self.until)
    }
}

/// Says which part of a window makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// The zone is not known.
    #[error("is no known time zone; write its name, such as `Europe/Berlin` or `UTC`")]
    Zone,
    /// The day is none.
    #[error(
        "is no day; write `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun` or a range `mon-fri`"
    )]
    Day,
    /// The time is none.
    #[error("is no time of day; write it as `08:00`, in quotes")]
    Time,
}

/// A window that remembers what it was in the minute that was asked for last.
#[derive(Debug)]
pub(crate) struct Remembered {
    window: TimeWindow,
    /// Twice the minute of the epoch, and one more if the window was open then.
    last: AtomicI64,
}

impl Remembered {
    pub(crate) const fn new(window: TimeWindow) -> Self {
        Self { window, last: AtomicI64::new(i64::MIN) }
    }

    /// Returns what [`TimeWindow::is_open`] does. Nothing changes within a minute: offsets of
    /// zones are whole minutes now, and so are the ends of windows.
    pub(crate) fn is_open(&self, now: i64) -> bool {
        let minute = now.div_euclid(60);
        let last = self.last.load(Ordering::Relaxed);
        if last.div_euclid(2) == minute {
            return last.rem_euclid(2) == 1;
        }
        let is_open = self.window.is_open(now);
        self.last.store(minute.saturating_mul(2) + i64::from(is_open), Ordering::Relaxed);
        is_open
    }
}

fn mark(open: &mut [bool; 7], text: &str) -> Option<()> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let place = |name: &str| DAYS.iter().position(|day| *day == name);
    let (mut day, last) = (place(first)?, place(last)?);
    loop {
        *open.get_mut(day)? = true;
        if day == last {
            return Some(());
        }
        day = (day + 1) % DAYS.len();
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two_digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let whole = hour * 60 + minute;
    (minute < 60 && whole <= DAY).then_some(whole)
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: u16 = 1_440;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_window_opens_and_closes_in_its_zone() {
        let business = TimeWindow::new("Europe/Berlin", &["mon-fri"], "08:00", "18:00").unwrap();
        let night = TimeWindow::new("UTC", &["fri"], "22:00", "06:00").unwrap();
        let always = TimeWindow::new("UTC", &[], "00:00", "24:00").unwrap();
        for (window, moment, is_open) in [
            // Winter: one hour ahead of UTC. 2026-11-23 is a Monday.
            (&business, "2026-11-23T06:59:59Z", false),
            (&business, "2026-11-23T07:00:00Z", true),
            (&business, "2026-11-23T16:59:59Z", true),
            (&business, "2026-11-23T17:00:00Z", false),
            (&business, "2026-11-22T12:00:00Z", false),
            // Summer: two hours.
            (&business, "2026-07-06T06:00:00Z", true),
            (&business, "2026-07-06T05:59:59Z", false),
            (&night, "2026-11-27T21:59:59Z", false),
            (&night, "2026-11-27T22:00:00Z", true),
            (&night, "2026-11-28T05:59:59Z", true),
            (&night, "2026-11-28T06:00:00Z", false),
            (&night, "2026-11-27T05:00:00Z", false),
            (&always, "2026-11-27T00:00:00Z", true),
            (&always, "2026-11-27T23:59:59Z", true),
        ] {
            assert_eq!(window.is_open(at(moment)), is_open, "{moment}");
            let remembered = Remembered::new(window.clone());
            assert_eq!(remembered.is_open(at(moment)), is_open, "{moment}");
            assert_eq!(remembered.is_open(at(moment)), is_open, "{moment}, again");
        }
        let remembered = Remembered::new(business.clone());
        assert!(!remembered.is_open(at("2026-11-23T06:59:59Z")));
        assert!(remembered.is_open(at("2026-11-23T07:00:00Z")));
        assert!(!business.is_open(i64::MAX) && !remembered.is_open(i64::MIN));
    }

    #[test]
    fn days_may_go_over_the_end_of_the_week() {
        let window = TimeWindow::new("UTC", &["sat-mon", "wed"], "00:00", "24:00").unwrap();
        assert_eq!(window.days, [true, false, true, false, false, true, true]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (zone, days, from, until, why) in [
            ("Europe/Atlantis", "mon", "08:00", "18:00", BadWindow::Zone),
            ("", "mon", "08:00", "18:00", BadWindow::Zone),
            ("UTC", "monday", "08:00", "18:00", BadWindow::Day),
            ("UTC", "mon-", "08:00", "18:00", BadWindow::Day),
            ("UTC", "mon", "8:00", "18:00", BadWindow::Time),
            ("UTC", "mon", "24:00", "18:00", BadWindow::Time),
            ("UTC", "mon", "08:00", "24:01", BadWindow::Time),
            ("UTC", "mon", "08:60", "18:00", BadWindow::Time),
            ("UTC", "mon", "+8:00", "18:00", BadWindow::Time),
        ] {
            assert_eq!(TimeWindow::new(zone, &[days], from, until), Err(why), "{zone} {days}");
        }
    }
}
