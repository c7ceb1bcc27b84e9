//! Grams as people write them.

/// 1500 becomes `1.5 kg`, 320 stays `320 g`.
pub fn weight(grams: u32) -> String {
    let mut digits = itoa::Buffer::new();
    if grams < 1000 {
        return format!("{} g", digits.format(grams));
    }
    format!("{}.{} kg", grams / 1000, digits.format(grams % 1000 / 100))
}
