//! Durations for people.

/// Formats a duration: `43 s`, `12 min`, `3.4 h`, `2.1 d`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 99.5 * 60.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_short() {
        assert_eq!(
            [duration(43.2), duration(700.0), duration(12_240.0), duration(200_000.0)],
            ["43 s", "12 min", "3.4 h", "2.3 d"]
        );
    }
}
