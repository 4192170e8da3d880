use watertight_core::ConfigError;

/// Checks that an algorithm's limits are `1 <= min <= initial <= max`.
pub(super) fn check(min: usize, initial: usize, max: usize) -> Result<(), ConfigError> {
    if min == 0 {
        return Err(ConfigError::new("limit.min", min, "at least 1"));
    }
    if max < min {
        let allowed = format!("at least `limit.min`, {min}");
        return Err(ConfigError::new("limit.max", max, allowed));
    }
    if !(min..=max).contains(&initial) {
        let allowed = format!("in {min}..={max}, from `limit.min` to `limit.max`");
        return Err(ConfigError::new("limit.initial", initial, allowed));
    }
    Ok(())
}

/// Checks a ratio above 0.0 and up to, or below, 1.0.
pub(super) fn check_share(
    field: &'static str,
    value: f64,
    one_too: bool,
) -> Result<(), ConfigError> {
    if value > 0.0 && (value < 1.0 || (one_too && value == 1.0)) {
        return Ok(());
    }
    let allowed = match one_too {
        true => "a ratio above 0.0 and up to 1.0",
        false => "a ratio above 0.0 and below 1.0",
    };
    Err(ConfigError::new(field, value, allowed))
}
