//! Takes secrets out of texts that others wrote.
//!
//! Our own texts hold none; but an error may repeat a URL or a token that a person put where it does not belong.

/// Names whose value is a secret, up to the next character that ends a value.
const NAMES: [&str; 8] = [
    "sig=",
    "accountkey=",
    "sharedaccesssignature=",
    "aws_secret_access_key=",
    "access_key=",
    "password=",
    "token=",
    "x-amz-signature=",
];

/// `text` with the value of every such name, and everything that looks like a web token, as `***`.
pub(crate) fn redact(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &lower[at..];
        let named = NAMES.iter().find(|name| rest.starts_with(**name)).map(|name| name.len());
        // Three base64 parts that begin with `{"`: a JSON web token.
        let start = named.or_else(|| rest.starts_with("eyj").then_some(0));
        match start {
            Some(kept) => {
                clean.push_str(&text[at..at + kept]);
                clean.push_str("***");
                at += kept;
                at += text[at..].find(ends_value).unwrap_or(text.len() - at);
            }
            None => {
                let next = text[at..].chars().next().map_or(1, char::len_utf8);
                clean.push_str(&text[at..at + next]);
                at += next;
            }
        }
    }
    clean
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '"' | '\'' | ',' | ';' | ')' | '}' | ']')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::redact;

    #[test]
    fn values_go_and_names_stay() {
        let text = "GET https://a.blob/c?sv=1&SIG=abc%3D&se=2 failed; AccountKey=Zm9v== \"eyJhbGciOi.eyJ.sig\" end";
        assert_eq!(redact(text), "GET https://a.blob/c?sv=1&SIG=***&se=2 failed; AccountKey=*** \"***\" end");
    }

    proptest! {
        #[test]
        fn no_signature_survives(before in "\\PC{0,20}", secret in "[a-zA-Z0-9%/+]{8,40}", after in "\\PC{0,20}") {
            let text = format!("{before} sig={secret}&{after}");
            let clean = redact(&text);
            let signature = format!("sig={secret}");
            prop_assert!(!clean.contains(&signature));
        }

        #[test]
        fn plain_text_is_left_alone(text in "[ a-df-rt-z0-9é]{0,60}") {
            prop_assert_eq!(redact(&text), text);
        }
    }
}
