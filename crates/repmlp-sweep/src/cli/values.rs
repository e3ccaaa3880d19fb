//! Values of options: names, points, times and durations.

use chrono::{DateTime, Local, NaiveDateTime, NaiveTime, TimeZone};
use repmlp_interop::Fc3Point;
use sweep_protocol::{NAME_RULE, check_name};

pub(super) fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|fault| format!("the name {fault}: {NAME_RULE}"))
}

/// Reads an output of FC3, as in `0,6,6`.
pub(super) fn parse_point(text: &str) -> Result<Fc3Point, String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[channel, y, x]) => Ok(Fc3Point { channel, y, x }),
        _ => Err("a point is a channel, a row and a column, each counted from 0: 0,6,6".to_owned()),
    }
}

/// Reads a time of the local clock. A time without a date is the next one.
pub(super) fn parse_time(text: &str) -> Result<DateTime<Local>, String> {
    time_after(&Local::now(), text)
}

fn time_after<Z: TimeZone>(now: &DateTime<Z>, text: &str) -> Result<DateTime<Z>, String> {
    let wrong = || "a time is written as 07:30 or 2026-11-29T07:30".to_owned();
    let local = |time: NaiveDateTime| now.timezone().from_local_datetime(&time).earliest();
    // Each number has two digits: `7:3` may be a slip for 7:30.
    if !text.split(['T', '-', ':']).all(|number| matches!(number.len(), 2 | 4)) {
        return Err(wrong());
    }
    let of_day = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
    if let Some(time) = of_day {
        let today = now.naive_local().date();
        // A clock that is set forward leaves a time out.
        let days = [Some(today), today.succ_opt(), today.succ_opt().and_then(|day| day.succ_opt())];
        let times = days.into_iter().flatten().filter_map(|day| local(day.and_time(time)));
        return times.into_iter().find(|time| time > now).ok_or_else(wrong);
    }
    let dated = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let time = dated.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let time = time.and_then(local).ok_or_else(wrong)?;
    if time > *now { Ok(time) } else { Err("this time has passed".to_owned()) }
}

pub(super) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    units
        .iter()
        .find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds))
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a time is a number and a unit: 90s, 45m, 8h, 2d".to_owned())
}

/// Reads an interval. A shorter one would keep the disk busy for nothing.
pub(super) fn parse_interval(text: &str) -> Result<std::time::Duration, String> {
    let interval = parse_duration(text)?;
    if interval < std::time::Duration::from_millis(100) { Err("at least 100ms".to_owned()) } else { Ok(interval) }
}

pub(super) fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "this must be a number above 0".to_owned())
}

/// Reads a probability that a plan can reach.
pub(super) fn parse_power(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.05 && *number < 1.0);
    number.ok_or_else(|| "a power is a number above 0.05 and below 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_three_numbers() {
        assert_eq!(parse_point("0,6, 5"), Ok(Fc3Point { channel: 0, y: 6, x: 5 }));
        for wrong in ["", "0,6", "0,6,6,0", "0,-1,2", "a,b,c"] {
            assert!(parse_point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_the_next_one_of_the_local_clock() {
        let zone = chrono::FixedOffset::east_opt(3600).unwrap();
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&zone);
        let now = at("2026-11-28T21:00:30+01:00");
        for (text, expected) in [
            ("22:15", "2026-11-28T22:15:00+01:00"),
            ("21:00", "2026-11-29T21:00:00+01:00"),
            ("07:30", "2026-11-29T07:30:00+01:00"),
            ("21:00:31", "2026-11-28T21:00:31+01:00"),
            ("2027-01-01T00:00", "2027-01-01T00:00:00+01:00"),
        ] {
            assert_eq!(time_after(&now, text), Ok(at(expected)), "{text}");
        }
        for wrong in ["", "25:00", "7", "7:3", "07:3", "2026-11-28T20:00", "2026-13-01T00:00", "tomorrow"] {
            assert!(time_after(&now, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1.5m").unwrap().as_secs(), 90);
        for bad in ["", "5", "m", "-1s", "1w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
