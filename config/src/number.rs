//! Decimal numbers without floating point.

/// Why a text and a factor make no whole number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotDecimal {
    /// Not digits with at most one point between them.
    Syntax,
    /// The product has a fraction.
    Fraction,
    /// The product does not fit 64 bits.
    TooLarge,
}

/// `digits` times `factor`, exactly.
pub(crate) fn decimal(digits: &str, factor: u128) -> Result<u64, NotDecimal> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(NotDecimal::Syntax);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 18 {
        return Err(NotDecimal::Fraction);
    }
    let whole: u64 = whole.parse().map_err(|_| NotDecimal::TooLarge)?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| NotDecimal::TooLarge)? };
    let scaled = (u128::from(whole) * scale + fraction).checked_mul(factor).ok_or(NotDecimal::TooLarge)?;
    if !scaled.is_multiple_of(scale) {
        return Err(NotDecimal::Fraction);
    }
    u64::try_from(scaled / scale).map_err(|_| NotDecimal::TooLarge)
}
