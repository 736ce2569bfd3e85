//! Which words of a foreign answer may be repeated to a user.
//!
//! A store that refuses a signature sends back what it hashed, and a metadata service may answer with
//! anything: whatever could be a secret or could break a log line is not repeated at all.

/// Longest text that is repeated, in bytes.
const LONGEST: usize = 300;

/// No secret is shorter than this without a break: AWS secret keys have 40 characters, signatures 64.
const LONGEST_RUN: usize = 36;

/// `text` if it is certain to be harmless.
pub(super) fn speakable(text: &str) -> Option<&str> {
    let text = text.trim();
    let plain = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    let lower = text.to_ascii_lowercase();
    let telling = ["aws4-", "signature", "credential=", "x-amz-", "secret", "token=", "bearer", "password"];
    (plain && !telling.iter().any(|word| lower.contains(word)) && !has_long_run(text)).then_some(text)
}

/// An error code, a region or a request id: one short word.
pub(super) fn word(text: &str) -> Option<&str> {
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(sound)).then_some(text)
}

/// Whether there is an unbroken run of the characters that base64 and hexadecimal use.
fn has_long_run(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
        .any(|run| run.len() > LONGEST_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_repeated() {
        for text in [
            "User: arn:aws:iam::123456789012:user/bob is not authorized to perform: s3:GetObject",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        ] {
            assert_eq!(speakable(text), Some(text));
        }
        assert_eq!(word("eu-west-1"), Some("eu-west-1"));
    }

    #[test]
    fn what_could_be_a_secret_is_not() {
        for text in [
            "the key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY is wrong",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            "Signature=abc",
            "AWS4-HMAC-SHA256 Credential=x",
            "a\nb",
            "",
        ] {
            assert_eq!(speakable(text), None);
        }
        assert_eq!(word("eu west"), None);
        assert_eq!(word(&"a".repeat(65)), None);
    }
}
