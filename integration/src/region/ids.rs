//! Identifiers and secrets of AWS' shapes from one seed: the same seed gives the same region.

/// The source of everything that AWS would draw at random.
#[derive(Clone, Debug)]
pub struct Ids(fastrand::Rng);

impl Ids {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// `PREFIX-` and 17 hexadecimal digits, as EC2 names its resources: `i-0…`, `eni-0…`.
    pub fn resource(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{}", self.hex(16))
    }

    /// A request ID, reservation token and the like.
    pub fn uuid(&mut self) -> String {
        let digits = self.hex(32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[13..16],
            &digits[17..20],
            &digits[20..32]
        )
    }

    /// IAM's unique IDs and access keys: `AROA`, `AIDA`, `AIPA`, `AKIA`, `ASIA` and 17 or 16 more.
    pub fn unique(&mut self, prefix: &str) -> String {
        let more = if prefix.ends_with("KIA") || prefix.ends_with("SIA") { 16 } else { 17 };
        format!("{prefix}{}", self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", more))
    }

    /// A secret access key: 40 characters.
    pub fn secret(&mut self) -> String {
        self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40)
    }

    /// A session token or a metadata token of so many characters, base64's alphabet.
    pub fn token(&mut self, length: usize) -> String {
        self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", length)
    }

    /// So many hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        self.of("0123456789abcdef", digits)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    fn of(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..length).map(|_| char::from(alphabet[self.0.usize(..alphabet.len())])).collect()
    }
}
